"""The dataset's file system, and what that means for jobs, for Git and for the job store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from datalad_hpc.checking.mounts import Mount, Reach, mount_of
from datalad_hpc.checking.trials import WORKS, Trials, try_out
from datalad_hpc.finding import Finding, Standing
from datalad_hpc.wording import some_of

SMALL = 2**30
"""Bytes. With less room we warn."""

FEW = 10_000
"""Files. Likewise."""

CLOCKS_APART = 5.0
"""Seconds."""

ELSEWHERE = (
    "clone it to a file system that all nodes share, or schedule with `--alt-dir PATH` on one"
)


def file_system(root: Path, runs_elsewhere: bool | None) -> Finding:
    """What the dataset lies on, and whether jobs can reach it there.

    Parameters
    ----------
    runs_elsewhere:
      Whether jobs run on other machines too; ``None`` where that is not known.
    """
    mount = mount_of(root)
    if mount is None:
        text = "the system does not tell its kind"
        return Finding("file system", Standing.LIMITED, text, "", {"type": ""})
    facts = {
        "type": mount.kind,
        "mount_point": mount.point,
        "source": mount.source,
        "shared": {Reach.SHARED: True, Reach.UNKNOWN: None}.get(mount.reach, False),
        "options": sorted(mount.options),
    }
    text = f"{mount.kind} at {mount.point}, {mount.reach.value}"
    standing, advice = _reach(mount, runs_elsewhere)
    if mount.lock_warning and standing is Standing.OK:
        standing = Standing.LIMITED
        advice = f"{mount.lock_warning}: run datalad for this dataset on one node only"
    return Finding("file system", standing, text, advice, facts)


def _reach(mount: Mount, runs_elsewhere: bool | None) -> tuple[Standing, str]:
    if mount.reach is Reach.MEMORY:
        if runs_elsewhere:
            return Standing.BROKEN, f"jobs on other nodes cannot reach it: {ELSEWHERE}"
        return Standing.LIMITED, "the dataset goes with the next restart: clone it to a disk"
    if runs_elsewhere is False or mount.reach is Reach.SHARED:
        return Standing.OK, ""
    return (
        Standing.LIMITED,
        f"unless it is exported to all nodes, jobs cannot reach it: {ELSEWHERE}",
    )


def room(root: Path) -> Finding:
    """How much may still be written."""
    told = os.statvfs(root)
    free, files = told.f_bavail * told.f_frsize, told.f_favail if told.f_files else None
    text = f"{free / 2**30:,.1f} GiB" + ("" if files is None else f", {files:,} files")
    facts = {"bytes": free, "files": files}
    if free < SMALL or (files is not None and files < FEW):
        advice = "free some, or have your quota raised: a job's outputs are stored beside the old"
        return Finding("free space", Standing.LIMITED, text, advice, facts)
    return Finding("free space", Standing.OK, text, "", facts)


def trials(folder: Path) -> Iterator[Finding]:
    """What was tried out beside the job store.

    Parameters
    ----------
    folder:
      Where the store's file is, or will be; where there is none yet what lies above counts.
    """
    place = next(each for each in (folder, *folder.parents) if each.is_dir())
    try:
        tried = try_out(place)
    except OSError as error:
        text = f"{place} cannot be written: {error.strerror}"
        yield Finding("locks", Standing.BROKEN, text, "mend its permissions, or your quota")
        return
    yield _locks(place, tried)
    yield _features(tried)
    yield _clock(tried)


def _locks(place: Path, tried: Trials) -> Finding:
    wrong = {name: said for name, said in tried.locks.items() if said != WORKS}
    facts = {"folder": str(place), **tried.locks}
    if not wrong:
        text = "two programs keep out of each other's way (SQLite, fcntl, flock)"
        return Finding("locks", Standing.OK, text, "", facts)
    text = some_of([f"{name}: {said}" for name, said in wrong.items()])
    if wrong.keys() == {"flock"}:
        advice = "only the local scheduler needs it: set datalad.hpc.local.spool to another disk"
        return Finding("locks", Standing.LIMITED, text, advice, facts)
    advice = (
        "the job store is not safe here: move the dataset, or have the file system mounted with "
        "locks (for Lustre the option `flock`)"
    )
    return Finding("locks", Standing.BROKEN, text, advice, facts)


def _features(tried: Trials) -> Finding:
    lacking = [name.replace("_", " ") for name, there in tried.features.items() if not there]
    if not lacking:
        text = "symbolic links, hard links, execute bit"
        return Finding("files", Standing.OK, text, "", tried.features)
    advice = "git-annex takes that for a crippled file system: contents are kept twice, unlocked"
    text = f"without {', '.join(lacking)}"
    return Finding("files", Standing.LIMITED, text, advice, tried.features)


def _clock(tried: Trials) -> Finding:
    facts = {"seconds_ahead": round(tried.clock, 3)}
    if abs(tried.clock) <= CLOCKS_APART:
        return Finding("clock of the files", Standing.OK, "that of new files is ours", "", facts)
    way = "ahead" if tried.clock > 0 else "behind"
    text = f"that of new files is {abs(tried.clock):.0f} s {way}"
    advice = "have the site set both right: what is newer than what cannot be told"
    return Finding("clock of the files", Standing.LIMITED, text, advice, facts)
