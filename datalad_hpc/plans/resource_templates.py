"""Named templates for what a job needs, from the user's configuration and from the dataset's own.

A dataset is somebody else's as often as not: of a template in its ``.datalad/config`` only those
options are taken with which nobody can come to harm.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datalad_hpc.errors import BadRequest
from datalad_hpc.plans.resources import OF_ANYBODY, as_arguments, merged, read_resources
from datalad_hpc.results import Result, result
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace

PREFIX = "datalad.hpc.template."


@dataclass(frozen=True)
class Template:
    """One setting, not read yet."""

    name: str
    shorthand: str
    of_dataset: bool
    """Whether it stands in the dataset's own file only."""

    @property
    def origin(self) -> str:
        """Where it is from, for the user."""
        return "the dataset's .datalad/config" if self.of_dataset else "your configuration"

    def options(self) -> dict[str, str]:
        """What it means as options of sbatch.

        Raises
        ------
        BadRequest
          It cannot be understood, or asks for what a dataset must not decide.
        """
        setting = f"the setting {PREFIX}{self.name} (from {self.origin})"
        options = read_resources([self.shorthand], setting)
        refused = [name for name in options if self.of_dataset and name not in OF_ANYBODY]
        if refused:
            raise BadRequest(
                f"{setting}: {', '.join(refused)} cannot be taken from a dataset, whose templates "
                "may only ask for a part of the cluster; if you want it, set the template in your "
                f"own configuration (git config --global {PREFIX}{self.name} ...)"
            )
        return options


def wanted(workplace: Workplace, resources: Sequence[str], template: str | None) -> dict[str, str]:
    """Options of sbatch for a template and for what is given beside it, which overrides it.

    Raises
    ------
    BadRequest
      There is no such template, or something cannot be understood.
    """
    given = read_resources(resources)
    return merged(_named(workplace, template).options(), given) if template else given


def templates(workplace: Workplace) -> dict[str, Template]:
    """All templates by name; the user's own beat those of the dataset."""
    names = sorted(
        key[len(PREFIX) :] for key, _ in workplace.config.items() if key.startswith(PREFIX)
    )
    return {template.name: template for name in names if (template := _template(workplace, name))}


def list_templates(workplace: Workplace, action: str) -> Iterator[Result]:
    """A result for each template, with what it means; or with what is wrong with it."""
    found = templates(workplace)
    if not found:
        # DataLad shows nothing of what was not needed.
        text = (
            "no template is configured; make one with "
            '`git config --global datalad.hpc.template.NAME "4 2:00 8G"`'
        )
        yield result(action, workplace.root, "ok", text)
    for template in found.values():
        options: dict[str, str] | None = None
        try:
            options = template.options()
            meaning = shlex.join(as_arguments(options))
        except BadRequest as error:
            meaning = str(error)
        yield result(
            action,
            workplace.root,
            "ok",
            f"template {template.name} of {template.origin}: {meaning}",
            template=template.name,
            shorthand=template.shorthand,
            resources=options,
            origin=template.origin,
            meaning=meaning,
        )


def _named(workplace: Workplace, name: str) -> Template:
    found = templates(workplace)
    # Git has the last part of a name in lower case.
    template = found.get(name) or found.get(name.lower())
    if template:
        return template
    if not found:
        raise BadRequest(
            f"there is no template {name!r}, and no other; make one with "
            f"`git config --global {PREFIX}NAME '4 3:00 8G'`"
        )
    raise BadRequest(
        f"there is no template {name!r}; known are {some_of(sorted(found))} "
        "(`datalad schedule --list-templates` tells more)"
    )


def _template(workplace: Workplace, name: str) -> Template | None:
    own = workplace.setting(PREFIX + name)
    if own:
        return Template(name, own, of_dataset=False)
    found = workplace.config.get_from_source("branch", PREFIX + name)
    last = found[-1] if isinstance(found, tuple) else found
    return Template(name, str(last), of_dataset=True) if last else None
