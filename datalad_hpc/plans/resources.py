"""Pure: what a job needs, in shorthand ↔ options of sbatch by their long names.

A flag has an empty value. Options that would get in the way of tracking a job are refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping

from datalad_hpc.errors import BadRequest
from datalad_hpc.schedulers.sbatch_options import (
    FLAGS,
    SBATCH,
    WITH_OPTIONAL_VALUE,
    WITH_VALUE,
    names_in,
)

UNDERSTOOD = (
    "understood are a time ('3:00' is three hours, '1-12:00' a day and a half), a number of "
    "processors ('4'), memory ('500MB', '4G'), 'gpu', 'gpu:2' or 'gpu:a100:2', and NAME=VALUE for "
    "a long option of sbatch ('partition=long', or only 'exclusive' where it needs no value)"
)

_TALKS = "says how sbatch talks, not what the job needs"
_NO_JOB = "makes sbatch end without a job"

UNSUITED: Mapping[str, str] = {
    "array": "makes an array: ask for one with --foreach, or with a command of your own that "
    "starts with 'sbatch --array='",
    "chdir": "moves the job away from its inputs and outputs: call the command from the folder "
    "where the job is to run",
    "dependency": "makes the job wait for others: name these with --after",
    "wait": "makes sbatch wait until the job has ended",
    "wrap": "is a command: give the command itself",
    "parsable": _TALKS,
    "quiet": _TALKS,
    "verbose": _TALKS,
    **dict.fromkeys(("autocomplete", "help", "usage", "version"), _NO_JOB),
    "test-only": f"{_NO_JOB}: that is what --dry-run is for",
}
"""Options that say something else than what a job needs, and why they are refused."""

OF_ANYBODY = names_in(
    """
    constraint contiguous core-spec cores-per-socket cpus-per-gpu cpus-per-task exclusive
    extra-node-info gpus gpus-per-node gpus-per-socket gpus-per-task gres hint licenses mem
    mem-per-cpu mem-per-gpu mincpus nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node
    ntasks-per-socket oversubscribe partition sockets-per-node switches thread-spec
    threads-per-core time time-min tmp tres-per-task
    """
)
"""Options that may come from a dataset that somebody else made: they ask for a part of the
cluster, and neither name a file or a person, nor choose who pays or who goes first."""

_RIVALS = (
    {"mem", "mem-per-cpu", "mem-per-gpu"},
    {"requeue", "no-requeue"},
    {"exclusive", "oversubscribe"},
)
"""Options that take each other's place; Slurm refuses two kinds of memory."""

_TIME = re.compile(r"(?:([0-9]{1,4})-)?([0-9]{1,4}):([0-5][0-9])(?::([0-5][0-9]))?")
_NUMBER = re.compile(r"([0-9]{1,18})")
_MEMORY = re.compile(r"([0-9]{1,18})([MGT])(?:i?B)?", re.IGNORECASE)
_GPU = re.compile(r"gpu(?::([A-Za-z][\w.-]*))?(?::([0-9]{1,18}))?", re.ASCII)
_OPTION = re.compile(r"(?:--)?([a-z][a-z-]*)(?:=(.*))?", re.DOTALL)

MOST_SECONDS = 366 * 86400
MOST_PROCESSORS = 0xFFFD
"""Slurm keeps the number in 16 bits, and two of the values mean something else."""
MOST_MEGABYTES = 1024**3
MOST_GPUS = 1024

Option = tuple[str, str]


def read_resources(texts: Iterable[str], where: str = "--resources") -> dict[str, str]:
    """Options of sbatch for what is asked for in shorthand.

    Parameters
    ----------
    texts:
      Words separated by blanks, with quotes as in a shell: see :data:`UNDERSTOOD`. In the words
      of sbatch ``3:00`` are three minutes; here they are hours.
    where:
      Where the texts are from, for the sentence.

    Returns
    -------
    dict
      Values by long name, in the order in which they were given; the later of two wins.

    Raises
    ------
    BadRequest
      A word cannot be understood, asks for nothing or too much, or is no need of a job.
    """
    try:
        return merged(*([_read_word(word)] for text in texts for word in _words(text)))
    except BadRequest as error:
        raise BadRequest(f"{where}: {error}") from None


def rivals_of(name: str) -> frozenset[str]:
    """Options that say the same as one, itself among them."""
    return frozenset(next((group for group in _RIVALS if name in group), {name}))


def merged(*layers: Mapping[str, str] | Iterable[Option]) -> dict[str, str]:
    """Options put together; the later wins, also over those that say the same in another way."""
    together: dict[str, str] = {}
    for layer in layers:
        for name, value in dict(layer).items():
            for rival in rivals_of(name):
                together.pop(rival, None)
            together[name] = value
    return together


def sound(options: Mapping[str, str], where: str) -> dict[str, str]:
    """Options that were read before, such as those in a record, checked again.

    Raises
    ------
    BadRequest
      They are not what :func:`read_resources` gives.
    """
    try:
        return merged([_checked(name, options[name] or None) for name in options])
    except BadRequest as error:
        raise BadRequest(f"{where}: {error}") from None


def as_arguments(options: Mapping[str, str]) -> tuple[str, ...]:
    """The options as arguments of sbatch."""
    return tuple(f"--{name}={value}" if value else f"--{name}" for name, value in options.items())


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise BadRequest(f"a quote is not closed in {text!r}") from None


def _read_word(word: str) -> Option:
    for pattern, read in _SHORTHAND:
        if found := pattern.fullmatch(word):
            return read(word, *found.groups())
    found = _OPTION.fullmatch(word)
    if not found:
        raise _not_understood(word)
    name, value = found.groups()
    if value is not None or word.startswith("--"):
        # Without either, a typing error would turn into an option too easily.
        name = SBATCH.full_name(name)
    if name not in SBATCH.names:
        raise _not_understood(word, name)
    return _checked(name, value)


def _checked(name: str, value: str | None) -> Option:
    """An option with a value that can be its own."""
    if name not in SBATCH.names:
        raise _not_understood(name, name)
    if name in UNSUITED:
        raise BadRequest(f"the option {name} {UNSUITED[name]}")
    if name in FLAGS and value is not None:
        raise BadRequest(f"the option {name} takes no value, but has {value!r}")
    if name in WITH_VALUE and not value:
        raise BadRequest(f"the option {name} needs a value: {name}=VALUE")
    if name in WITH_OPTIONAL_VALUE and value == "":
        raise BadRequest(f"the option {name} has an empty value; leave the '=' out, or give one")
    if value and not value.isprintable():
        raise BadRequest(
            f"the value of {name} has a line break, or another character that cannot be printed: "
            f"{value!r}"
        )
    return name, value or ""


def _not_understood(word: str, name: str = "") -> BadRequest:
    from difflib import get_close_matches

    known = sorted(SBATCH.names - UNSUITED.keys() | {"gpu"})
    close = get_close_matches(name or word.lstrip("-"), known, n=3)
    meant = f" (did you mean {' or '.join(close)}?)" if close else ""
    return BadRequest(f"{word!r} cannot be understood{meant}; {UNDERSTOOD}")


def _time(word: str, days: str | None, hours: str, minutes: str, seconds: str | None) -> Option:
    if days is not None and int(hours) > 23:
        raise BadRequest(f"{word!r} has days and more than 23 hours")
    total = (int(days or 0) * 24 + int(hours)) * 3600 + int(minutes) * 60 + int(seconds or 0)
    _refuse_absurd(word, total, MOST_SECONDS, "a year", "time")
    before = f"{int(days)}-" if days is not None else ""
    return "time", f"{before}{int(hours):02}:{minutes}:{seconds or '00'}"


def _processors(word: str, number: str) -> Option:
    _refuse_absurd(word, int(number), MOST_PROCESSORS, f"{MOST_PROCESSORS:,}", "cpus-per-task")
    return "cpus-per-task", str(int(number))


def _memory(word: str, number: str, unit: str) -> Option:
    unit = unit.upper()
    megabytes = int(number) * 1024 ** "MGT".index(unit)
    _refuse_absurd(word, megabytes, MOST_MEGABYTES, "1024T", "mem")
    return "mem", f"{int(number)}{unit}"


def _gpu(word: str, kind: str | None, number: str | None) -> Option:
    _refuse_absurd(word, int(number or 1), MOST_GPUS, f"{MOST_GPUS:,}", "gres")
    return "gres", ":".join(filter(None, ["gpu", kind, str(int(number or 1))]))


def _refuse_absurd(word: str, amount: int, most: int, limit: str, name: str) -> None:
    if amount == 0:
        raise BadRequest(
            f"{word!r} asks for nothing; leave it out, or write {name}= as sbatch does"
        )
    if amount > most:
        raise BadRequest(
            f"{word!r} is more than {limit}; if that is what you mean, write {name}= as sbatch does"
        )


_SHORTHAND: tuple[tuple[re.Pattern[str], Callable[..., Option]], ...] = (
    (_TIME, _time),
    (_NUMBER, _processors),
    (_MEMORY, _memory),
    (_GPU, _gpu),
)
