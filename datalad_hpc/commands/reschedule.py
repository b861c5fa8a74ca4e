"""The command ``datalad reschedule``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datalad.distribution.dataset import EnsureDataset, datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.interface.utils import generic_result_renderer
from datalad.support.constraints import EnsureInt, EnsureNone, EnsureRange, EnsureStr
from datalad.support.param import Parameter
from datalad.ui import ui

from datalad_hpc.commands.completing import FailedJobIds
from datalad_hpc.commands.shared import (
    alternative_option,
    assume_ready_option,
    auto_finish_option,
    jobs_option,
)
from datalad_hpc.interruption import interruptible


@build_doc
class Reschedule(Interface):
    """Run recorded jobs again, or open jobs that have failed

    Takes the records that 'datalad finish' (or datalad-slurm) left in commit
    messages, and those of 'datalad run', and schedules the same commands in
    the same folders with the same inputs and outputs. The commit of the new
    job names the old ones as its chain.

    With [CMD: --failed CMD][PY: failed=True PY] no record is needed: open jobs
    that have failed are submitted again as they are, of arrays and sweeps only
    the failed tasks. They stay the same jobs with the same outputs, which 'datalad
    finish' commits once they have succeeded, and their records name the attempts
    before.

    A record from somebody else's clone is somebody else's command: look at it
    with [CMD: --report CMD][PY: report=True PY] first.
    """

    result_renderer = "tailored"

    _params_ = dict(
        revision=Parameter(
            args=("revision",),
            metavar="REVISION|JOBID",
            nargs="*",
            action=FailedJobIds,
            doc="""commit whose job is run again; by default the one checked out. With
            --failed ids of open jobs, or of single tasks (ID_4); by default all
            that have failed, but for those that were cancelled.""",
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
            doc="""of commits, take records of jobs that had failed as well. See also
            --failed, which needs no commit.""",
        ),
        failed_tasks=Parameter(
            args=("--failed-tasks",),
            action="store_true",
            doc="""of commits of arrays, run only the tasks again that had failed, with
            "--array" and their indices behind the options of the recorded
            command. A task that a later record in the range has run again
            is left out.""",
        ),
        failed=Parameter(
            args=("--failed",),
            action="store_true",
            doc="""submit open jobs again that have failed, or the tasks of them that
            have: REVISION stands for ids of jobs then. A job that was named runs
            again too if it completed without making all of its outputs.""",
        ),
        resources=Parameter(
            args=("-r", "--resources"),
            dest="resources",
            metavar="WORDS",
            action="append",
            doc="""what the job is to get this time, in the shorthand of 'datalad
            schedule'. It beats what the command and its script ask for.
            [CMD: Can be given more than once. CMD]""",
        ),
        scale=Parameter(
            args=("--scale",),
            dest="scale",
            metavar="NAME=FACTOR",
            nargs="+",
            action="append",
            doc="""multiply what the job asked for the last time, such as "mem=2" or
            "time=1.5"; also "cpus". Where it asked for nothing, what its scheduler
            gave it counts.""",
        ),
        max_attempts=Parameter(
            args=("--max-attempts",),
            metavar="N",
            constraints=EnsureNone() | (EnsureInt() & EnsureRange(min=1)),
            doc="with --failed, leave out what was tried so many times already.",
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
        auto_finish=auto_finish_option,
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
        dict(
            text="Submit all open jobs again that have failed, with twice the memory",
            code_cmd="datalad reschedule --failed --scale mem=2 --max-attempts 3",
            code_py="reschedule(failed=True, scale='mem=2', max_attempts=3)",
        ),
    ]

    @staticmethod
    @datasetmethod(name="reschedule")
    @eval_results
    @interruptible
    def __call__(
        revision: str | list[str] | None = None,
        *,
        dataset: Any = None,
        since: str | None = None,
        message: str | None = None,
        report: bool = False,
        script: str | None = None,
        with_failed_jobs: bool = False,
        failed_tasks: bool = False,
        failed: bool = False,
        resources: str | list[str] | None = None,
        scale: str | list[str] | None = None,
        max_attempts: int | None = None,
        assume_ready: str | None = None,
        alt_dir: str | None = None,
        scheduler: str | None = None,
        jobs: int | None = None,
        auto_finish: bool = False,
    ) -> Iterator[dict[str, Any]]:
        from datalad_hpc.commands import reschedule_stories as stories
        from datalad_hpc.results import as_results
        from datalad_hpc.workplace import Workplace

        workplace = Workplace.of(dataset, "reschedule jobs")
        asked = stories.Asked(
            names=revision,
            since=since,
            message=message,
            with_failed=with_failed_jobs,
            failed_tasks=failed_tasks,
            resources=resources,
            scale=scale,
            max_attempts=max_attempts,
            assume_ready=assume_ready,
            alternative=alt_dir,
            scheduler=scheduler,
            jobs=jobs,
            auto_finish=auto_finish,
        )
        with as_results("reschedule", workplace.root, "retry" * failed) as results:
            story = stories.of_open_jobs if failed else stories.of_records
            yield from story(workplace, asked, report=report, script=script)
        yield from results

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **_kwargs: Any) -> None:
        """Show what would run in full, everything else as DataLad does."""
        from datalad_hpc.results import message_text, visible_line

        if res["status"] == "notneeded":
            # DataLad itself would not show it.
            ui.message(message_text(res))
            return
        if res.get("reschedule_action") != "run":
            generic_result_renderer(res)
            return
        what = res.get("commit") or f"job {res['slurm_job_id']}"
        lines = [f"{what} would run: {res['command_line']}", f" folder: {res['folder']}"]
        lines += [f" {name}: {' '.join(res[name])}" for name in ("inputs", "outputs") if res[name]]
        lines += [f" {remarks}" for remarks in [res.get("remarks")] if remarks]
        lines += [" script:", *(f"  {line}" for line in res["script"].rstrip("\n").split("\n"))]
        ui.message("\n".join(map(visible_line, lines)))
