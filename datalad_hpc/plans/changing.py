"""What a job is to get that runs again: options that beat those of its command, and multiples."""

from __future__ import annotations

import shlex
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.facts import IDENTITY_OPTIONS
from datalad_hpc.job import Request
from datalad_hpc.placeholders import is_submission, split_words
from datalad_hpc.plans.resources import as_arguments, merged, rivals_of
from datalad_hpc.plans.scaling import Factors, scaled
from datalad_hpc.schedulers.batch_script import script_options
from datalad_hpc.schedulers.sbatch import BatchCommand
from datalad_hpc.schedulers.sbatch_options import read_words

Options = Mapping[str, str]
"""Options of sbatch by long name; those of flags are empty."""


@dataclass(frozen=True)
class Changes:
    """What is to be different the next time."""

    resources: Options = field(default_factory=dict)
    factors: Factors = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse to set what is to be multiplied as well.

        Raises
        ------
        BadRequest
          It is.
        """
        for name in self.factors:
            if twice := sorted(rivals_of(name) & self.resources.keys()):
                raise BadRequest(
                    f"--resources gives {twice[0]}, and --scale is to multiply {name}: leave one "
                    "of them out"
                )

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.resources or self.factors)

    def options(self, asked: Options, given: Mapping[str, Any] | None) -> Options:
        """The options that are to hold.

        Parameters
        ----------
        asked:
          What the job asked for the last time.
        given:
          Facts of its scheduler, which say what it got where it asked for nothing; ``None`` where
          it was not asked.

        Raises
        ------
        BadRequest
          Something cannot be multiplied.
        """
        return merged(self.resources, scaled(self.factors, asked, given))

    def left_alone(self, options: Options) -> str:
        """What to say behind a sentence of what :meth:`options` did not multiply; mostly nothing.

        A time that is not multiplied is given in no other way, see above.
        """
        if "time" not in self.factors or "time" in options:
            return ""
        return "; its time was left alone, since no limit of it is known"


def asked_for(submit_line: tuple[str, ...], script: str) -> dict[str, str]:
    """What a submission asked for, on its command line or in its script."""
    if not submit_line or not is_submission(shlex.join(submit_line)):
        return {}
    return merged(script_options(script)[0], read_words(submit_line[1:]).options)


def changed(request: Request, options: Options) -> Request:
    """The request with options that beat all that it asked for in another way.

    Behind those of a command that starts with sbatch, since sbatch takes the last one: so the
    command says by itself what it asks for, also in its record. What names people or their
    accounts is kept apart from the command, as where it is given at first.

    Raises
    ------
    BadRequest
      The command cannot be read.
    """
    if not options or request.submits or not is_submission(request.command):
        return replace(request, resources=merged(request.resources, options))
    over = frozenset[str]().union(*map(rivals_of, options))
    resources = {name: each for name, each in request.resources.items() if name not in over}
    resources |= {name: each for name, each in options.items() if name in IDENTITY_OPTIONS}
    command = with_last_word(request.command, options, unsaid=IDENTITY_OPTIONS)
    return replace(request, resources=resources, command=command)


def with_last_word(command: str, options: Options, unsaid: Container[str] = ()) -> str:
    """A command for sbatch whose last options are these; placeholders and quotes stay as they are.

    Options that say the same are left out, if they do not share a word with others.

    Parameters
    ----------
    unsaid:
      Names of options that are left out only, and given elsewhere.

    Raises
    ------
    BadRequest
      The command cannot be read.
    """
    words = split_words(command)
    reading = read_words([shlex.split(word)[0] for word in words[1:]])
    over = frozenset[str]().union(*map(rivals_of, options))
    names: dict[range, set[str]] = {}
    for (name, _), place in zip(reading.options, reading.words, strict=True):
        names.setdefault(place, set()).add(name)
    out = {1 + at for place, found in names.items() if found <= over for at in place}
    before = [word for at, word in enumerate(words[: 1 + reading.last]) if at not in out]
    said = {name: value for name, value in options.items() if name not in unsaid}
    more = map(shlex.quote, as_arguments(said))
    return " ".join([*before, *more, *words[1 + reading.last :]])


def refuse_others(options: Options, batch: BatchCommand) -> None:
    """Make sure that a changed submission asks for what it is to ask for.

    Raises
    ------
    BadRequest
      It does not, since a placeholder hides an option of its own, or its script has one that
      sbatch takes no other kind beside.
    """
    for name, value in options.items():
        others = sorted((rivals_of(name) - {name}) & batch.options.keys())
        if others and name.startswith("mem"):
            raise BadRequest(
                f"the script asks for {others[0]}={batch.options[others[0]]}, and sbatch takes no "
                f"{name} beside it; give {others[0]}= instead, or change the script"
            )
        if batch.options.get(name) != value:
            raise BadRequest(
                f"the command hides an option {name} in a placeholder, which beats {name}={value}; "
                "schedule the job anew with a command of your own"
            )
