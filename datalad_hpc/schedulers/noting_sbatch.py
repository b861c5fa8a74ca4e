"""The ``sbatch`` that a submission program finds first on PATH.

It notes what it is asked for, has the scheduler's own sbatch submit it, notes the id, and says
what that one said. The program, its jobs and their environment see no difference.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import datalad_hpc
from datalad_hpc.errors import BadRequest, HpcError
from datalad_hpc.schedulers import scheduler_loader
from datalad_hpc.schedulers.attempts import Notes, Settings, new_token
from datalad_hpc.schedulers.base import Answer, Handover, Scheduler
from datalad_hpc.schedulers.dependency import dependency_options
from datalad_hpc.schedulers.sbatch import (
    BatchCommand,
    comment_with_token,
    read_batch_command,
    tasks_of,
)
from datalad_hpc.schedulers.sbatch_options import SUBMITS_NOTHING, read_words

STAND_IN = """\
#!/bin/sh
exec {python} -E -c {code} "${{LC_CTYPE+=$LC_CTYPE}}" "$@"
"""

CODE = """\
import sys
sys.path[:] = {path}
from datalad_hpc.schedulers.noting_sbatch import main
sys.exit(main({place}, *sys.argv[1:]))
"""
"""What the program has loaded or set for its own Python is no matter to ours."""


def write_stand_in(notes: Notes) -> None:
    """Make the executable for a submission program."""
    path = [str(Path(datalad_hpc.__path__[0]).parent), *filter(None, sys.path)]
    code = CODE.format(path=ascii(path), place=ascii(str(notes.place)))
    file = notes.bin / "sbatch"
    file.write_text(
        STAND_IN.format(python=shlex.quote(sys.executable), code=shlex.quote(code)),
        errors="surrogateescape",
    )
    file.chmod(0o700)


def main(place: str, locale: str, *words: str) -> int:
    """Be sbatch.

    Parameters
    ----------
    place:
      The folder of the submission program.
    locale:
      ``LC_CTYPE`` as it was before Python set it, behind a ``=``; empty if it was not set.
    words:
      The arguments.

    Returns
    -------
    int
      The exit code.
    """
    os.environ.pop("LC_CTYPE", None)
    if locale:
        os.environ["LC_CTYPE"] = locale[1:]
    notes = Notes(Path(place))
    others = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(each for each in others if each != str(notes.bin))
    # Who stops the program does not stop a submission in the middle: it takes a moment only.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        answer = _answer(notes, ("sbatch", *words))
    except (HpcError, OSError) as error:
        answer = Answer(1, b"", f"sbatch: error: {error}\n".encode(errors="replace"))
    sys.stdout.buffer.write(answer.output)
    sys.stderr.buffer.write(answer.errors)
    return answer.code if answer.code >= 0 else 128 - answer.code


def _answer(notes: Notes, argv: tuple[str, ...]) -> Answer:
    settings = notes.settings()
    scheduler = scheduler_loader(lambda name: settings.configuration.get(name, ""))(
        settings.scheduler
    )
    if SUBMITS_NOTHING & dict(read_words(argv[1:]).options).keys():
        return scheduler.answer(Handover(argv, os.getcwd(), ""), parsable=False)
    if not _lacks_script(argv):
        return _submit(notes, settings, scheduler, argv)
    with tempfile.TemporaryDirectory(dir=notes.place) as folder:
        # The name that Slurm gives to such a job.
        script = Path(folder) / "sbatch"
        script.write_bytes(sys.stdin.buffer.read())
        return _submit(notes, settings, scheduler, (*argv, str(script)))


def _lacks_script(argv: Sequence[str]) -> bool:
    """Whether sbatch would read the batch script from its standard input."""
    words = [word for word in argv[1:] if word != ":"]
    reading = read_words(words)
    return reading.end == len(words) and "wrap" not in dict(reading.options)


def _submit(notes: Notes, settings: Settings, scheduler: Scheduler, argv: Sequence[str]) -> Answer:
    folder = os.getcwd()
    batch = read_batch_command(argv, folder, os.environ)
    _refuse_unsuited(batch)
    token = new_token(settings.token)
    words = comment_with_token(batch, token, dependency_options(batch, settings.conditions))
    with notes.attempt(folder, batch, token) as entry:
        handover = Handover(words, folder, token, (entry.descriptor,))
        answer = scheduler.answer(handover, parsable="parsable" in batch.options)
        entry.answered(answer)
    return answer


def _refuse_unsuited(batch: BatchCommand) -> None:
    tasks_of(batch)
    if "wait" in batch.options:
        raise BadRequest(
            "with --wait it does not return before the job has ended, which does not go with "
            "tracking the job; leave it out, and have jobs wait for each other by --dependency"
        )
