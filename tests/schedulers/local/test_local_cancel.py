"""The local scheduler ends jobs: what waits at once, what runs when it has heard of it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from datalad_hpc.schedulers import local_ending
from datalad_hpc.schedulers.base import Cancellation
from datalad_hpc.schedulers.local_tasks import alive
from datalad_hpc.schedulers.people import user_of
from datalad_hpc.status import JobKey, JobStatus, Phase

if TYPE_CHECKING:
    from conftest import Bench

HOLD = "while [ ! -e go ]; do sleep 0.02; done"


def wanted(job_id: str, *tasks: int, token: str = "token") -> Cancellation:
    key = JobKey(job_id, "", token, datetime.now(timezone.utc))
    return Cancellation(key, tasks or None)


def cancel(bench: Bench, *cancellations: Cancellation) -> None:
    assert bench.local.cancel(cancellations) == {}


def process_of(bench: Bench, job_id: str, task: int | None = None) -> tuple[int, str]:
    bench.until(lambda: task in bench.progress(job_id).started)
    start = bench.progress(job_id).started[task]
    return start.pid, start.born


def assert_cancelled(status: JobStatus) -> None:
    for task in status.tasks:
        assert (task.state, task.phase) == ("CANCELLED", Phase.FAILED)
        assert task.reason == f"by {user_of(str(os.getuid()))}"


def test_a_job_that_runs_is_told_to_end(bench: Bench) -> None:
    job_id = bench.submit("--wrap", f"trap 'touch told; exit 0' TERM; {HOLD}")
    bench.until(lambda: bench.progress(job_id).running)
    process = process_of(bench, job_id)
    cancel(bench, wanted(job_id))
    status = bench.wait(job_id)
    # Also one that takes its leave well.
    assert_cancelled(status)
    assert status.tasks[0].elapsed is not None
    assert not alive(*process)
    assert bench.spool.wishes() == {}


def test_what_does_not_heed_the_signal_is_killed_with_all_its_children(bench: Bench) -> None:
    job_id = bench.submit("--wrap", f"trap '' TERM; touch deaf; (sleep 60) & {HOLD}")
    bench.until(lambda: (bench.folder / "deaf").exists())
    cancel(bench, wanted(job_id))
    status = bench.wait(job_id)
    assert_cancelled(status)
    assert status.tasks[0].signal == 9
    assert (status.tasks[0].elapsed or 0) >= local_ending.GRACE


def test_what_waits_ends_at_once(bench: Bench) -> None:
    bench.use(slots=1)
    first = bench.submit("--wrap", HOLD)
    second = bench.submit("--wrap", "touch ran")
    dependent = bench.submit("-d", f"afterok:{second}", "--wrap", "touch ran")
    bench.until(lambda: bench.progress(first).running)
    cancel(bench, wanted(second))
    assert_cancelled(bench.wait(second))
    bench.until(lambda: bench.states(first) == ["RUNNING"])
    (bench.folder / "go").touch()
    (task,) = bench.wait(dependent).tasks
    assert (task.state, task.reason) == ("CANCELLED", "DependencyNeverSatisfied")
    assert not (bench.folder / "ran").exists()


def test_tasks_of_an_array(bench: Bench) -> None:
    bench.use(slots=2)
    job_id = bench.submit("-a", "0-4", "--wrap", HOLD)
    bench.until(lambda: bench.progress(job_id).running == 2)
    cancel(bench, wanted(job_id, 1, 3))
    cancel(bench, wanted(job_id, 4, 17))
    bench.until(lambda: len(bench.progress(job_id).ended) == 3)
    assert bench.states(job_id)[3:] == ["CANCELLED"] * 2
    (bench.folder / "go").touch()
    states = [task.state for task in bench.wait(job_id).tasks]
    assert states == ["COMPLETED", "CANCELLED", "COMPLETED", "CANCELLED", "CANCELLED"]


def test_what_has_ended_and_what_is_not_ours_stays_as_it_is(bench: Bench) -> None:
    ended = bench.submit("--wrap", "true")
    bench.wait(ended)
    running = bench.submit("--wrap", HOLD)
    cancel(bench, wanted(ended), wanted(running, token="another"), wanted("999"), wanted("x"))
    assert bench.states(ended) == ["COMPLETED"]
    assert bench.spool.wishes() == {}
    (bench.folder / "go").touch()
    assert bench.wait(running).phase is Phase.COMPLETED


def test_nothing_is_cancelled_before_the_first_job(bench: Bench) -> None:
    cancel(bench, wanted("1"))
    assert not bench.spool_folder.exists()


def test_another_process_may_ask(bench: Bench) -> None:
    job_id = bench.submit("--wrap", HOLD)
    program = (
        "import sys; from pathlib import Path; from datetime import datetime, timezone\n"
        "from datalad_hpc.schedulers.base import Cancellation\n"
        "from datalad_hpc.schedulers.local import Local\n"
        "from datalad_hpc.status import JobKey\n"
        "key = JobKey(sys.argv[2], '', 'token', datetime.now(timezone.utc))\n"
        "Local(Path(sys.argv[1])).cancel([Cancellation(key)])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(
        [sys.executable, "-c", program, str(bench.spool_folder), job_id],
        env=environment,
        check=True,
    )
    assert_cancelled(bench.wait(job_id))


def test_nothing_that_is_said_to_be_cancelled_runs_on_when_dispatchers_are_killed(
    bench: Bench,
) -> None:
    bench.use(slots=2)
    deaf = f"trap '' TERM; touch deaf-$SLURM_ARRAY_TASK_ID; {HOLD}"
    job_id = bench.submit("-a", "0-3", "--wrap", deaf)
    processes = [process_of(bench, job_id, task) for task in (0, 1)]
    bench.until(lambda: all((bench.folder / f"deaf-{task}").exists() for task in (0, 1)))
    cancel(bench, wanted(job_id))
    bench.until(lambda: len(bench.progress(job_id).ended) == 2)
    bench.kill_dispatcher()
    # They were told, and ran on.
    assert bench.states(job_id) == ["RUNNING"] * 2 + ["CANCELLED"] * 2
    assert_cancelled(bench.wait(job_id))
    assert not any(alive(*process) for process in processes)


def test_a_wish_outlives_the_dispatcher(bench: Bench) -> None:
    bench.use(slots=1)
    job_id = bench.submit("-a", "0-2", "--wrap", HOLD)
    process = process_of(bench, job_id, 0)
    bench.kill_dispatcher()
    cancel(bench, wanted(job_id))
    assert_cancelled(bench.wait(job_id))
    assert not alive(*process)


def test_what_was_gone_before_was_not_cancelled(bench: Bench) -> None:
    job_id = bench.submit("--wrap", HOLD)
    process = process_of(bench, job_id)
    bench.kill_dispatcher()
    (bench.folder / "go").touch()
    bench.until(lambda: not alive(*process))
    cancel(bench, wanted(job_id))
    assert [task.state for task in bench.wait(job_id).tasks] == ["NODE_FAIL"]
