"""The command ``datalad finish``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from datalad.distribution.dataset import datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.interface.utils import generic_result_renderer
from datalad.support.constraints import EnsureNone, EnsureStr
from datalad.support.param import Parameter
from datalad.ui import ui

from datalad_hpc.commands.completing import OpenJobIds
from datalad_hpc.commands.shared import as_tuple, dataset_option, jobs_option, opened
from datalad_hpc.interruption import interruptible

if TYPE_CHECKING:
    from datalad_hpc.finish.rounds import Round
    from datalad_hpc.workplace import Workplace

_SEVERAL = "in several states"

_ID_TITLE = "slurm-job-id"
_STATUS_TITLE = "slurm-job-status"


@build_doc
class Finish(Interface):
    """Commit the outputs of jobs that have ended

    The scheduler is asked once for all open jobs. Each job that completed gets
    one commit, which holds its outputs and logs, a file with the scheduler's
    facts, and a record from which ``datalad reschedule`` runs it again. So does
    each task of a sweep, without such a file, while others may still run. Jobs
    that still wait or run are reported and left alone, failed ones likewise
    until they are closed or committed.

    An interrupted call is completed by the next one.
    """

    result_renderer = "tailored"

    _params_ = dict(
        job_ids=Parameter(
            args=("job_ids",),
            metavar="JOBID",
            nargs="*",
            action=OpenJobIds,
            doc="""ids of the jobs to finish, as ``datalad hpc-status`` shows them, or
            ID_TASK for one task of a sweep; by default all open ones.""",
        ),
        dataset=dataset_option,
        slurm_job_id=Parameter(
            args=("--slurm-job-id",),
            metavar="ID",
            action=OpenJobIds,
            constraints=EnsureStr() | EnsureNone(),
            doc="the same as JOBID, in the spelling of datalad-slurm.",
        ),
        message=Parameter(
            args=("-m", "--message"),
            metavar="MESSAGE",
            constraints=EnsureStr() | EnsureNone(),
            doc="""text for the commit messages; what was given to schedule is
            kept below it.""",
        ),
        outputs=Parameter(
            args=("-o", "--output"),
            dest="outputs",
            metavar="PATH",
            action="append",
            doc="""a further output of the one job that is named, which was not
            declared when it was scheduled. [CMD: Can be given more than once.
            CMD]""",
        ),
        close_failed_jobs=Parameter(
            args=("--close-failed-jobs",),
            action="store_true",
            doc="""give up the jobs that failed, of those named or of all: there is
            no commit, and their outputs are free again. Jobs that may still run
            are never closed.""",
        ),
        commit_failed_jobs=Parameter(
            args=("--commit-failed-jobs",),
            action="store_true",
            doc="""commit what the jobs left that failed, of those named or of all,
            with a record that says so.""",
        ),
        commit_good_tasks=Parameter(
            args=("--commit-good-tasks",),
            action="store_true",
            doc="""commit arrays of which some tasks failed for the tasks that
            completed. Outputs that were declared with "{task}" are left out
            for failed tasks, which ``datalad reschedule --failed-tasks`` runs
            again. Other failed jobs stay open.""",
        ),
        list_open_jobs=Parameter(
            args=("-l", "--list-open-jobs"),
            action="store_true",
            doc="show the open jobs and their states; commit nothing.",
        ),
        wait=Parameter(
            args=("--wait",),
            action="store_true",
            doc="""follow the jobs until none may run any more, and commit each when
            it has ended. Can be interrupted with Ctrl-C and started again.""",
        ),
        timeout=Parameter(
            args=("--timeout",),
            metavar="TIME",
            constraints=EnsureStr() | EnsureNone(),
            doc="""with --wait: end after this time ("90" seconds, "15m", "2h", "1d"
            or "2:30:00"), whatever the jobs do. If some may still run, the exit
            code is 124.""",
        ),
        branches=Parameter(
            args=("--branches",),
            action="store_true",
            doc="""put each job's commit on a branch of its own, "job-ID"; what
            is checked out stays as it was before the job.""",
        ),
        octopus=Parameter(
            args=("--octopus",),
            action="store_true",
            doc="""put the commits side by side and merge them into the current
            branch in one commit.""",
        ),
        jobs=jobs_option,
    )

    _examples_ = [
        dict(
            text="See what is queued, running, done or failed",
            code_cmd="datalad finish --list-open-jobs",
            code_py="finish(list_open_jobs=True)",
        ),
        dict(
            text="Commit the outputs of all jobs that have completed",
            code_cmd="datalad finish",
            code_py="finish()",
        ),
        dict(
            text="Wait for all jobs, for up to two hours, and commit each when it has ended",
            code_cmd="datalad finish --wait --timeout 2h",
            code_py="finish(wait=True, timeout='2h')",
        ),
        dict(
            text="Give one failed job up",
            code_cmd="datalad finish --close-failed-jobs 4711",
            code_py="finish('4711', close_failed_jobs=True)",
        ),
        dict(
            text="Commit an array of which some tasks failed for its good tasks",
            code_cmd="datalad finish --commit-good-tasks 4711",
            code_py="finish('4711', commit_good_tasks=True)",
        ),
    ]

    @staticmethod
    @datasetmethod(name="finish")
    @eval_results
    @interruptible
    def __call__(
        job_ids: Any = None,
        *,
        dataset: Any = None,
        slurm_job_id: Any = None,
        message: str | None = None,
        outputs: Any = None,
        close_failed_jobs: bool = False,
        commit_failed_jobs: bool = False,
        commit_good_tasks: bool = False,
        list_open_jobs: bool = False,
        wait: bool = False,
        timeout: Any = None,
        branches: bool = False,
        octopus: bool = False,
        jobs: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        from datalad_hpc.finish.rounds import ACTION, Round, Wishes, layout
        from datalad_hpc.placeholders import recordable
        from datalad_hpc.results import as_results
        from datalad_hpc.workplace import Workplace

        workplace = Workplace.of(dataset, "finish jobs")
        with as_results(ACTION, workplace.root, "wait" if wait else "") as results:
            wishes = Wishes(
                job_ids=(*as_tuple(job_ids), *as_tuple(slurm_job_id)),
                message=recordable("the message", message or ""),
                outputs=as_tuple(outputs),
                close_failed=close_failed_jobs,
                commit_failed=commit_failed_jobs,
                commit_good=commit_good_tasks,
                layout=layout(branches=branches, octopus=octopus),
                jobs=jobs,
            )
            story = _story(workplace, wait=wait, timeout=timeout, lists=list_open_jobs)
            with opened(workplace) as (store, named):
                yield from story(Round(workplace, store, named, wishes))
        yield from results

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **_kwargs: Any) -> None:
        """Leave listed jobs, and those that may still run, for the end.

        DataLad itself would not show what was not needed.
        """
        if res["status"] == "notneeded":
            from datalad_hpc.results import message_text

            ui.message(message_text(res))
        elif not (res.get("open_job") or res.get("live")):
            generic_result_renderer(res)

    @staticmethod
    def custom_result_summary_renderer(results: list[dict[str, Any]]) -> None:
        """The table of open jobs, or the jobs that may still run."""
        # A caller may have asked for something else in the place of results.
        jobs = [res for res in results if isinstance(res, dict)]
        if listed := [res for res in jobs if res.get("open_job")]:
            from datalad_hpc.results import visible_line

            ui.message("\n".join(map(visible_line, _table(listed))))
        _show_live([res for res in jobs if res.get("live")])


def _story(
    workplace: Workplace, *, wait: bool, timeout: Any, lists: bool
) -> Callable[[Round], Iterator[dict[str, Any]]]:
    """What is to be done."""
    from datalad_hpc import finishing, waiting
    from datalad_hpc.durations import seconds_of
    from datalad_hpc.errors import BadRequest

    if wait and lists:
        raise BadRequest("--wait and --list-open-jobs exclude each other: choose one")
    if timeout is not None and not wait:
        raise BadRequest("--timeout is for --wait: give both")
    if not wait:
        return finishing.list_open if lists else finishing.finish
    limit = None if timeout is None else seconds_of(str(timeout), "--timeout")
    patience = waiting.Patience.configured(workplace, limit)
    return partial(waiting.finish_and_wait, patience=patience)


def _show_live(live: list[dict[str, Any]]) -> None:
    """Show the first few jobs that may still run, and count the others.

    DataLad suppresses similar messages too, but on a terminal only.
    """
    from datalad import cfg

    suppress = cfg.obtain("datalad.ui.suppress-similar-results")
    shown = cfg.obtain("datalad.ui.suppress-similar-results-threshold") if suppress else len(live)
    for res in live[:shown]:
        generic_result_renderer(res)
    if len(live) > shown:
        ui.message(
            f"  [{len(live) - shown:,} more jobs are not over, of all {len(live):,}: "
            f"{_states(live)}; `datalad finish --list-open-jobs` shows each]"
        )


def _states(live: list[dict[str, Any]]) -> str:
    """How many jobs are in which state: ``PENDING 4,990, RUNNING 10``."""
    words = (res["slurm_job_status"] for res in live)
    # An array has a count for each state of its tasks.
    states = Counter(_SEVERAL if "," in word else word for word in words)
    return ", ".join(f"{state} {number:,}" for state, number in states.most_common())


def _outputs(listed: dict[str, Any]) -> str:
    """The outputs of a job, and behind them which attempt it is and what its chain means."""
    from datalad_hpc.wording import some_of

    attempt = f"attempt {listed['attempt']}" if listed["attempt"] > 1 else ""
    notes = ", ".join(filter(None, [attempt, listed.get("chain_note")]))
    return some_of(listed["outputs"], " ") + f"  ({notes})" * bool(notes)


def _table(listed: list[dict[str, Any]]) -> Iterator[str]:
    rows = [(_ID_TITLE, _STATUS_TITLE, "outputs")]
    rows += [(res["slurm_job_id"], res["slurm_job_status"], _outputs(res)) for res in listed]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for job_id, status, outputs in rows:
        yield f"{job_id:<{widths[0]}}  {status:<{widths[1]}}  {outputs}".rstrip()
