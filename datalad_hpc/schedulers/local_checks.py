"""What the local scheduler has to say of itself."""

from __future__ import annotations

import os
import socket

from datalad_hpc.finding import Finding, Inspection, Standing
from datalad_hpc.schedulers.local_spool import Spool
from datalad_hpc.schedulers.slurm_here import job_around_us


def inspection(spool: Spool, slots: int) -> Inspection:
    """Whether jobs can be queued and run on this machine; nothing is made or started."""
    room = f"{slots} task{'s' * (slots != 1)} at a time"
    facts = {"slots": slots, "processors": os.cpu_count()}
    advice = "" if os.cpu_count() else "set datalad.hpc.local.slots"
    free = Finding("slots", Standing.OK, room, advice, facts)
    return Inspection((_node(), free, _queue(spool)), runs_elsewhere=False)


def _node() -> Finding:
    host = socket.gethostname()
    job = job_around_us()
    facts = {"role": "compute" if job else "alone", "host": host, "job": job}
    if not job:
        return Finding("this node", Standing.OK, f"{host}: all jobs run here", "", facts)
    text = f"{host}, inside job {job} of Slurm, whose programs are not used"
    advice = "jobs would share what that job was given: schedule where sbatch is on PATH"
    return Finding("this node", Standing.LIMITED, text, advice, facts)


def _queue(spool: Spool) -> Finding:
    facts = {"spool": str(spool.folder), "queued": 0, "dispatched": False}
    if not spool.queue.is_dir():
        text = f"no job was ever queued in {spool.folder}"
        return Finding("queue", Standing.OK, text, "", facts)
    try:
        with spool.lock(), spool.dispatching() as right:
            facts |= {"queued": len(spool.queued()), "dispatched": right is None}
    except OSError as error:
        text = f"{spool.folder} cannot be used: {error.strerror}"
        advice = "mend its permissions, or set datalad.hpc.local.spool to another folder"
        return Finding("queue", Standing.BROKEN, text, advice, facts)
    text = f"{facts['queued']} jobs are queued in {spool.folder}"
    if facts["queued"] and not facts["dispatched"]:
        advice = "`datalad finish --list-open-jobs` starts what runs them"
        return Finding("queue", Standing.LIMITED, f"{text}, and nothing runs them", advice, facts)
    return Finding("queue", Standing.OK, text, "", facts)
