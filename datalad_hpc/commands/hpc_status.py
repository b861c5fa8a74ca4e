"""The command ``datalad hpc-status``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datalad.distribution.dataset import datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.interface.utils import generic_result_renderer
from datalad.support.constraints import EnsureNone, EnsureStr
from datalad.support.param import Parameter
from datalad.ui import ui

from datalad_hpc.commands.completing import AllJobIds
from datalad_hpc.commands.exit_codes import tell_exit_code, with_exit_code
from datalad_hpc.commands.shared import as_tuple, dataset_option, opened
from datalad_hpc.interruption import interruptible

OPEN, FAILED = 4, 5
"""Exit codes; 1 to 3 are DataLad's own."""


@build_doc
class HpcStatus(Interface):
    """Show where jobs stand

    For each open job: its tasks and how many are done, for how long it has
    run and may run, on which nodes, and its outputs. Of a job that waits it
    says why, whether it can ever start, and what to do if it cannot. The
    scheduler is asked once for all jobs, and nothing is committed or closed.

    The exit code is 0 if nothing waits or runs any more and nothing failed, 4
    if jobs may still run, 5 if a job or a task failed or can never start, and
    1 if something could not be told. With several jobs the largest counts
    but for 1, which comes first. Jobs that are over do not count.

    Of the bar of tasks, "#" is completed, "x" failed or given up, ">" runs.
    """

    result_renderer = "tailored"

    _params_ = dict(
        job_ids=Parameter(
            args=("job_ids",),
            metavar="JOBID",
            nargs="*",
            action=AllJobIds,
            doc="""ids of the jobs to show, also of those that are over, or ID_TASK
            for one task of an array; by default all open ones.""",
        ),
        dataset=dataset_option,
        all_jobs=Parameter(
            args=("--all",),
            dest="all_jobs",
            action="store_true",
            doc="""show also the jobs that are over, with their commits or why there
            is none.""",
        ),
        since=Parameter(
            args=("--since",),
            metavar="DATE",
            constraints=EnsureStr() | EnsureNone(),
            doc="""only jobs that were submitted then or later: a date or time in
            the form of ISO 8601, or words that Git understands, such as
            "2 days ago" or "yesterday".""",
        ),
    )

    _examples_ = [
        dict(
            text="See what waits, runs, is done or failed",
            code_cmd="datalad hpc-status",
            code_py="hpc_status()",
        ),
        dict(
            text="See what became of the jobs of the last week",
            code_cmd="datalad hpc-status --all --since '1 week ago'",
            code_py="hpc_status(all_jobs=True, since='1 week ago')",
        ),
        dict(
            text="See one job and one task of another, for a script",
            code_cmd="datalad -f json hpc-status 4711 4712_3",
            code_py="hpc_status(['4711', '4712_3'])",
        ),
    ]

    @staticmethod
    @datasetmethod(name="hpc_status")
    @with_exit_code
    @eval_results
    @interruptible
    def __call__(
        job_ids: Any = None,
        *,
        dataset: Any = None,
        all_jobs: bool = False,
        since: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        from datalad_hpc.results import as_results
        from datalad_hpc.statuses.choosing import Wanted
        from datalad_hpc.statuses.since import point_in_time
        from datalad_hpc.statuses.telling import ACTION, Look, tell
        from datalad_hpc.workplace import Workplace

        workplace = Workplace.of(dataset, "show jobs")
        with as_results(ACTION, workplace.root) as results:
            moment = None if since is None else point_in_time(since)
            wanted = Wanted(as_tuple(job_ids), all_jobs, moment)
            with opened(workplace) as (store, named):
                for res in tell(Look(workplace, store, named), wanted):
                    tell_exit_code(_exit_code(res))
                    yield res
        yield from results

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **_kwargs: Any) -> None:
        """Leave jobs for the table.

        DataLad itself would not show what was not needed.
        """
        if res["status"] == "notneeded":
            from datalad_hpc.results import message_text

            ui.message(message_text(res))
        elif "task_counts" not in res:
            generic_result_renderer(res)

    @staticmethod
    def custom_result_summary_renderer(results: list[dict[str, Any]]) -> None:
        """The table."""
        from datalad_hpc.commands.status_table import lines_of, terminal_width

        # A caller may have asked for something else in the place of results.
        jobs = [res for res in results if isinstance(res, dict) and "task_counts" in res]
        if jobs:
            ui.message("\n".join(lines_of(jobs, terminal_width())))


def _exit_code(res: dict[str, Any]) -> int:
    if res.get("failed"):
        return FAILED
    from datalad_hpc.commands.status_table import LIVE

    return OPEN if res.get("state") in LIVE else 0
