"""Pure: which jobs run the same, so that one tells what another will need."""

from __future__ import annotations

import os.path
import re
import shlex

from datalad_hpc.errors import BadRequest
from datalad_hpc.placeholders import is_submission
from datalad_hpc.schedulers.sbatch_options import read_words

INTERPRETERS = re.compile(
    r"(?:ba|da|k|z)?sh|python[\d.]*|pypy\d?|Rscript|perl|ruby|julia|octave|matlab|node|java|time"
)
"""Programs that run a script, which is what counts; their options are flags as a rule."""

LAUNCHERS = re.compile(r"env|nice|srun|mpirun|mpiexec|timeout|xargs")
"""Programs that run another one, and whose options have values of any kind."""

CONTAINERS = re.compile(r"apptainer|singularity|docker|podman|ch-run|datalad")
"""Programs whose options say what runs, in so many ways that only the same words are the same."""


TEXT_FOLLOWS = ("-c", "-e")
"""Options of interpreters before the program's own text."""


def program_of(command: str) -> str:
    """What a command runs, without its arguments: ``python fit.py`` of ``python fit.py sub-01``.

    Of a submission that is the script, or what is to be wrapped into one.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    if not words or not is_submission(command):
        return _program(words) or command
    try:
        read = read_words(words[1:])
    except BadRequest:
        return command
    wrapped = dict(read.options).get("wrap")
    if wrapped is not None:
        return program_of(wrapped)
    return (words[1:][read.end :] or [command])[0]


def _program(words: list[str]) -> str:
    """The first words up to the one that names what runs; all of them where that cannot be told."""
    kept: list[str] = []
    for position, word in enumerate(words):
        name = os.path.basename(word)
        if CONTAINERS.fullmatch(name) or word in TEXT_FOLLOWS:
            return shlex.join(words)
        if word.startswith("-") and kept and LAUNCHERS.fullmatch(os.path.basename(kept[-1])):
            return shlex.join(words)
        kept.append(word)
        if word == "-m":
            kept += words[position + 1 : position + 2]
            break
        known = INTERPRETERS.fullmatch(name) or LAUNCHERS.fullmatch(name)
        if not (known or (word.startswith("-") and len(kept) > 1)):
            break
    return shlex.join(kept)
