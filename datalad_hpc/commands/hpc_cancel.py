"""The command ``datalad hpc-cancel``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datalad.distribution.dataset import datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.interface.utils import generic_result_renderer
from datalad.support.param import Parameter
from datalad.ui import ui

from datalad_hpc.commands.completing import OpenJobIds
from datalad_hpc.commands.shared import as_tuple, dataset_option, opened
from datalad_hpc.interruption import interruptible


@build_doc
class HpcCancel(Interface):
    """Cancel jobs, and say what became of them

    The scheduler is asked once where the jobs are, is told to end those that
    may still run, and is asked for some seconds whether they have. Only then is
    a job closed, as ``datalad finish --close-failed-jobs`` does it: its outputs
    are free for other jobs, those that it did not touch are what they were, and
    it stays in the history. What it has written is left, and named.

    A job that takes longer to end keeps its outputs reserved, and is closed by
    the next ``datalad finish``, or by this command if it is run again. A job
    that completed before it could be ended is not closed: ``datalad finish``
    commits it. Of an array some tasks of which had completed nothing is thrown
    away either: it stays open, and can be committed for its good tasks.
    """

    result_renderer = "tailored"

    _params_ = dict(
        job_ids=Parameter(
            args=("job_ids",),
            metavar="JOBID",
            nargs="*",
            action=OpenJobIds,
            doc="""ids of the jobs to cancel, as ``datalad hpc-status`` shows them, or
            ID_TASK for one task of an array.""",
        ),
        dataset=dataset_option,
        all_jobs=Parameter(
            args=("--all",),
            dest="all_jobs",
            action="store_true",
            doc="""cancel all open jobs of the dataset. Those of another Git worktree
            are named and left alone.""",
        ),
    )

    _examples_ = [
        dict(
            text="Cancel a job",
            code_cmd="datalad hpc-cancel 4711",
            code_py="hpc_cancel('4711')",
        ),
        dict(
            text="Cancel two tasks of an array, the others of which go on",
            code_cmd="datalad hpc-cancel 4711_3 4711_8",
            code_py="hpc_cancel(['4711_3', '4711_8'])",
        ),
        dict(
            text="Cancel all open jobs of the dataset",
            code_cmd="datalad hpc-cancel --all",
            code_py="hpc_cancel(all_jobs=True)",
        ),
    ]

    @staticmethod
    @datasetmethod(name="hpc_cancel")
    @eval_results
    @interruptible
    def __call__(
        job_ids: Any = None, *, dataset: Any = None, all_jobs: bool = False
    ) -> Iterator[dict[str, Any]]:
        from datalad_hpc.cancelling import ACTION, cancel
        from datalad_hpc.finish.rounds import Round, Wishes
        from datalad_hpc.results import as_results
        from datalad_hpc.workplace import Workplace

        workplace = Workplace.of(dataset, "cancel jobs")
        wishes = Wishes(job_ids=as_tuple(job_ids))
        with as_results(ACTION, workplace.root) as results, opened(workplace) as (store, named):
            this = Round(workplace, store, named, wishes, action=ACTION)
            yield from cancel(this, everything=all_jobs)
        yield from results

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **_kwargs: Any) -> None:
        """Show what was not needed as well: it says what became of a job."""
        if res["status"] == "notneeded":
            from datalad_hpc.results import message_text

            ui.message(message_text(res))
        else:
            generic_result_renderer(res)
