"""The command ``datalad reschedule``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datalad.distribution.dataset import EnsureDataset, datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.interface.utils import generic_result_renderer
from datalad.support.constraints import EnsureNone, EnsureStr
from datalad.support.param import Parameter
from datalad.ui import ui

from datalad_hpc.commands.shared import (
    alternative_option,
    assume_ready_option,
    chosen_scheduler,
    jobs_option,
    opened,
    opened_if_there,
)
from datalad_hpc.interruption import interruptible


@build_doc
class Reschedule(Interface):
    """Run recorded jobs again

    Takes the records that 'datalad finish' (or datalad-slurm) left in commit
    messages, and those of 'datalad run', and schedules the same commands in
    the same folders with the same inputs and outputs. The commit of the new
    job names the old ones as its chain.

    A record from somebody else's clone is somebody else's command: look at it
    with [CMD: --report CMD][PY: report=True PY] first.
    """

    result_renderer = "tailored"

    _params_ = dict(
        revision=Parameter(
            args=("revision",),
            metavar="REVISION",
            nargs="?",
            constraints=EnsureStr() | EnsureNone(),
            doc="commit whose job is run again; by default the one checked out.",
        ),
        dataset=Parameter(
            args=("-d", "--dataset"),
            doc="""dataset that has the records; by default the one around the
            current directory.""",
            constraints=EnsureDataset() | EnsureNone(),
        ),
        since=Parameter(
            args=("--since",),
            metavar="REV",
            constraints=EnsureStr() | EnsureNone(),
            doc="""run all jobs again that were recorded after this commit and up
            to REVISION. An empty value stands for the whole history.""",
        ),
        message=Parameter(
            args=("-m", "--message"),
            metavar="MESSAGE",
            constraints=EnsureStr() | EnsureNone(),
            doc="text for the new commits in the place of the recorded one.",
        ),
        report=Parameter(
            args=("--report",),
            action="store_true",
            doc="show what would be submitted, with the batch script; submit nothing.",
        ),
        script=Parameter(
            args=("--script",),
            metavar="FILE",
            constraints=EnsureStr() | EnsureNone(),
            doc="""write the commands into this shell script instead of submitting
            them; '-' writes to standard output.""",
        ),
        with_failed_jobs=Parameter(
            args=("--with-failed-jobs",),
            action="store_true",
            doc="take records of jobs that had failed as well.",
        ),
        failed_tasks=Parameter(
            args=("--failed-tasks",),
            action="store_true",
            doc="""of arrays, run only the tasks again that had failed, with
            "--array" and their indices behind the options of the recorded
            command. A task that a later record in the range has run again
            is left out.""",
        ),
        assume_ready=assume_ready_option,
        alt_dir=alternative_option,
        scheduler=Parameter(
            args=("--scheduler",),
            metavar="NAME",
            constraints=EnsureStr() | EnsureNone(),
            doc="where to submit, as for schedule; not taken from the record.",
        ),
        jobs=jobs_option,
    )

    _examples_ = [
        dict(
            text="Run the job of the last commit again",
            code_cmd="datalad reschedule",
            code_py="reschedule()",
        ),
        dict(
            text="Look at all recorded jobs before running any",
            code_cmd="datalad reschedule --since= --report",
            code_py="reschedule(since='', report=True)",
        ),
        dict(
            text="Run the failed tasks of an array again, after 'finish --commit-good-tasks'",
            code_cmd="datalad reschedule --failed-tasks",
            code_py="reschedule(failed_tasks=True)",
        ),
    ]

    @staticmethod
    @datasetmethod(name="reschedule")
    @eval_results
    @interruptible
    def __call__(
        revision: str | None = None,
        *,
        dataset: Any = None,
        since: str | None = None,
        message: str | None = None,
        report: bool = False,
        script: str | None = None,
        with_failed_jobs: bool = False,
        failed_tasks: bool = False,
        assume_ready: str | None = None,
        alt_dir: str | None = None,
        scheduler: str | None = None,
        jobs: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        from datalad_hpc import rescheduling
        from datalad_hpc.history.choosing import Selection
        from datalad_hpc.results import as_results
        from datalad_hpc.workplace import Workplace

        workplace = Workplace.of(dataset, "reschedule jobs")
        selection = Selection(
            revision=revision,
            since=since,
            message=message,
            with_failed=with_failed_jobs,
            failed_tasks=failed_tasks,
            assume_ready=assume_ready,
            alternative=alt_dir,
            jobs=jobs,
        )
        with as_results(rescheduling.ACTION, workplace.root) as results:
            if script:
                with opened_if_there(workplace) as known:
                    yield from rescheduling.write_script(workplace, known, selection, script)
            elif report:
                with opened_if_there(workplace) as known:
                    yield from rescheduling.report(workplace, known, selection)
            else:
                name = chosen_scheduler(workplace, scheduler)
                with opened(workplace) as (store, named):
                    yield from rescheduling.reschedule(
                        workplace, store, named(name), named, selection
                    )
        yield from results

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **_kwargs: Any) -> None:
        """Show what would run in full, everything else as DataLad does."""
        from datalad_hpc.results import visible_line

        if res.get("reschedule_action") != "run":
            generic_result_renderer(res)
            return
        lines = [f"{res['commit']} would run: {res['command_line']}", f" folder: {res['folder']}"]
        lines += [f" {name}: {' '.join(res[name])}" for name in ("inputs", "outputs") if res[name]]
        lines += [" script:", *(f"  {line}" for line in res["script"].rstrip("\n").split("\n"))]
        ui.message("\n".join(map(visible_line, lines)))
