"""The command ``datalad hpc-check``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from datalad.distribution.dataset import EnsureDataset, datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.support.constraints import EnsureNone
from datalad.support.param import Parameter
from datalad.ui import ui

from datalad_hpc.interruption import interruptible


@build_doc
class HpcCheck(Interface):
    """Say what this machine offers for jobs, and what to do where something is amiss

    Looks at the scheduler (does it answer, is there accounting, which
    partitions and limits are there, is this a login or a compute node), at
    the programs of this machine (Git, git-annex, container engines, modules),
    and inside of a dataset at its file system, its locks and its job store.
    Nothing is submitted or changed.

    Each line starts with one of four words. "ok"; "missing": it is not there,
    and only those need it who want it; "limited": it works, with something to
    know; "broken": jobs or our commands cannot work so. Only with the last one
    the exit code is not 0.
    """

    result_renderer = "tailored"

    _params_ = dict(
        dataset=Parameter(
            args=("-d", "--dataset"),
            doc="""dataset to look at; by default the one around the current
            directory, if there is one.""",
            constraints=EnsureDataset() | EnsureNone(),
        ),
    )

    _examples_ = [
        dict(
            text="Look at this machine, and at the dataset around the current directory",
            code_cmd="datalad hpc-check",
            code_py="hpc_check()",
        ),
        dict(
            text="The same as data, from inside a job",
            code_cmd="sbatch --wrap 'datalad -f json hpc-check'",
        ),
    ]

    @staticmethod
    @datasetmethod(name="hpc_check")
    @eval_results
    @interruptible
    def __call__(*, dataset: Any = None) -> Iterator[dict[str, Any]]:
        from datalad.support.exceptions import NoDatasetFound

        from datalad_hpc.checking.story import check
        from datalad_hpc.workplace import Workplace

        try:
            workplace = Workplace.of(dataset, "look at it")
        except NoDatasetFound:
            if dataset is not None:
                raise
            workplace = None
        yield from check(workplace)

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **_kwargs: Any) -> None:
        """Leave all for the end, where the widths are known."""

    @staticmethod
    def custom_result_summary_renderer(results: list[dict[str, Any]]) -> None:
        """An aligned list for each group."""
        from datalad_hpc.results import visible_line

        found = [res for res in results if isinstance(res, dict) and "standing" in res]
        width = max((len(res["check"]) for res in found), default=0)
        for group, members in groupby(found, key=lambda res: res["group"]):
            ui.message(group)
            for res in members:
                words = {name: visible_line(res[name]) for name in ("check", "text", "advice")}
                ui.message(_line(res["standing"], width, words))


def _line(standing: str, width: int, words: dict[str, str]) -> str:
    """A finding, and below it what to do."""
    from datalad.support import ansi_colors as colors

    hues = {"ok": colors.GREEN, "limited": colors.YELLOW, "broken": colors.RED}
    word = colors.color_word(f"{standing:<7}", hues.get(standing))
    line = f"  {word}  {words['check']:<{width}}  {words['text']}"
    if words["advice"]:
        line += f"\n  {'':<7}  {'':<{width}}  -> {words['advice']}"
    return line
