"""What is looked at, in which order, and how that becomes results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datalad_hpc.checking import software
from datalad_hpc.errors import BadRequest
from datalad_hpc.finding import Finding, Inspection, Standing
from datalad_hpc.plans.site_setup import modules_of
from datalad_hpc.results import Result, result
from datalad_hpc.schedulers import choose, scheduler_loader
from datalad_hpc.settings import DEFAULTS
from datalad_hpc.workplace import Workplace

ACTION = "hpc-check"

STATUS = {
    Standing.OK: "ok",
    Standing.MISSING: "notneeded",
    Standing.LIMITED: "notneeded",
    Standing.BROKEN: "impossible",
}
"""DataLad's status. Only what makes our commands unusable is a failure of the check."""

Setting = Callable[[str], str]


def check(workplace: Workplace | None) -> Iterator[Result]:
    """Look at everything.

    Parameters
    ----------
    workplace:
      The dataset that is looked at too; ``None`` outside of any.
    """
    root = workplace.root if workplace else Path(os.getcwd())
    setting = workplace.setting if workplace else _setting_of_user
    with ThreadPoolExecutor() as pool:
        programs = pool.submit(
            software.findings, root, lambda: modules_of(workplace) if workplace else []
        )
        chosen, inspection = _scheduler(setting)
        yield from _results(root, "scheduler", (*chosen, *inspection.findings))
        yield from _results(root, "this machine", programs.result())
    if workplace is None:
        yield from _results(root, "dataset", [_no_dataset(root)])
        return
    from datalad_hpc.checking import dataset

    yield from _results(root, "dataset", dataset.findings(workplace, inspection.runs_elsewhere))


def _setting_of_user(name: str) -> str:
    from datalad import cfg

    found = cfg.get(name)
    value = found[-1] if isinstance(found, tuple) else found
    return str(value) if value not in (None, "") else DEFAULTS.get(name, "")


def _scheduler(setting: Setting) -> tuple[list[Finding], Inspection]:
    """Which one is taken and why, and what it says of itself."""
    name, why = choose(setting("datalad.hpc.scheduler"))
    facts = {"scheduler": name}
    try:
        inspection = scheduler_loader(setting)(name).inspection()
    except BadRequest as error:
        advice = "change the settings datalad.hpc.scheduler and those of the scheduler"
        return [Finding("chosen", Standing.BROKEN, str(error), advice, facts)], Inspection()
    advice = ""
    if name == "local" and setting("datalad.hpc.scheduler") == "auto":
        advice = "on a cluster put Slurm's programs on PATH, perhaps with `module load`"
    chosen = Finding("chosen", Standing.OK, why.removeprefix("scheduler "), advice, facts)
    return [chosen], inspection


def _no_dataset(root: Path) -> Finding:
    text = f"{root} is in no dataset, so no file system or job store was looked at"
    return Finding("dataset", Standing.MISSING, text, "call it in a dataset, or with -d PATH")


def _results(root: Path, group: str, findings: Iterable[Finding]) -> Iterator[Result]:
    for finding in findings:
        words = "; ".join(filter(None, (finding.text, finding.advice)))
        yield result(
            ACTION,
            root,
            STATUS[finding.standing],
            f"{finding.name}: {words}",
            check=finding.name,
            group=group,
            standing=finding.standing.value,
            found=dict(finding.found),
            text=finding.text,
            advice=finding.advice,
        )
