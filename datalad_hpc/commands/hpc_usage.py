"""The command ``datalad hpc-usage``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datalad.distribution.dataset import datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.interface.utils import generic_result_renderer
from datalad.support.constraints import EnsureNone, EnsureStr
from datalad.support.param import Parameter
from datalad.ui import ui

from datalad_hpc.commands.completing import AllJobIds
from datalad_hpc.commands.shared import as_tuple, dataset_option, opened_if_there
from datalad_hpc.interruption import interruptible


@build_doc
class HpcUsage(Interface):
    """Show what jobs used of what they had asked for, and what to ask for next

    Time, processors and memory, for jobs that have ended, from the dataset's
    job store or from the records in its commits. For open jobs that are named
    the scheduler is asked, once.

    Jobs that run the same program are taken together to suggest a request for
    the next time: the largest that was used and a margin, or twice of what was
    too little.
    """

    result_renderer = "tailored"

    _params_ = dict(
        names=Parameter(
            args=("names",),
            metavar="JOBID|REVISION",
            nargs="*",
            action=AllJobIds,
            doc="""ids of jobs, or ID_TASK for one task, or revisions as git log
            takes them: a range such as HEAD~5.. or a branch, or one commit.
            By default all jobs in the job store that were committed or given
            up, or in a clone that has none all in the history of what is
            checked out.""",
        ),
        dataset=dataset_option,
        tasks=Parameter(
            args=("--tasks",),
            action="store_true",
            doc="show each task of arrays and sweeps in a line of its own.",
        ),
        plot=Parameter(
            args=("--plot",),
            metavar="FILE",
            constraints=EnsureStr() | EnsureNone(),
            doc="""draw it as well, into a file whose name ends in .png or .svg. It is
            relative to the current directory; one that is there is replaced. It is
            not saved in the dataset. Needs matplotlib (``pip install
            matplotlib``).""",
        ),
    )

    _examples_ = [
        dict(
            text="See what all jobs used, and what to ask for the next time",
            code_cmd="datalad hpc-usage",
            code_py="hpc_usage()",
        ),
        dict(
            text="See what each task of an array used, and draw it",
            code_cmd="datalad hpc-usage 4711 --tasks --plot usage.png",
            code_py="hpc_usage('4711', tasks=True, plot='usage.png')",
        ),
        dict(
            text="See what the jobs used whose commits are new on this branch",
            code_cmd="datalad hpc-usage main..",
            code_py="hpc_usage('main..')",
        ),
    ]

    @staticmethod
    @datasetmethod(name="hpc_usage")
    @eval_results
    @interruptible
    def __call__(
        names: Any = None,
        *,
        dataset: Any = None,
        tasks: bool = False,
        plot: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        from datalad_hpc.results import as_results
        from datalad_hpc.schedulers import scheduler_loader
        from datalad_hpc.usage.finding import Finder
        from datalad_hpc.usage.reporting import ACTION, Question, report
        from datalad_hpc.workplace import Workplace

        workplace = Workplace.of(dataset, "show the usage of jobs")
        with as_results(ACTION, workplace.root) as results:
            file = Path(os.path.abspath(plot)) if plot else None
            question = Question(as_tuple(names), each_task=tasks, plot=file)
            with opened_if_there(workplace) as store:
                finder = Finder(workplace, store, scheduler_loader(workplace.setting))
                yield from report(finder, question)
        yield from results

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **_kwargs: Any) -> None:
        """Leave jobs and suggestions for the end."""
        if res["status"] == "notneeded":
            from datalad_hpc.results import message_text

            ui.message(message_text(res))
        elif not (res.get("usage") or res.get("suggestion")):
            generic_result_renderer(res)

    @staticmethod
    def custom_result_summary_renderer(results: list[dict[str, Any]]) -> None:
        """The table of jobs, and below it what to ask for."""
        from datalad_hpc.results import visible_line
        from datalad_hpc.usage.table import suggestion_lines, table

        # A caller may have asked for something else in the place of results.
        told = [res for res in results if isinstance(res, dict)]
        if jobs := [res for res in told if res.get("usage")]:
            ui.message("\n".join(map(visible_line, table(jobs))))
        if suggested := [res["suggestion"] for res in told if res.get("suggestion")]:
            ui.message("\n".join(map(visible_line, suggestion_lines(suggested))))
