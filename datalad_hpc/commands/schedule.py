"""The command ``datalad schedule``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from datalad.distribution.dataset import datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.interface.utils import generic_result_renderer
from datalad.ui import ui

from datalad_hpc.commands.schedule_options import PARAMETERS
from datalad_hpc.commands.shared import as_tuple, chosen_scheduler, opened
from datalad_hpc.interruption import interruptible

if TYPE_CHECKING:
    from datalad_hpc.workplace import Workplace

LISTS = ("inputs", "outputs", "resources", "after")
"""Parameters that may be given once or many times."""

OF_JOB = (
    *("cmd", *LISTS, "message", "expand", "assume_ready", "check_outputs", "jobs", "alt_dir"),
    *("foreach", "foreach_file", "max_concurrent", "container", "submits", "template"),
    "auto_finish",
)
"""Parameters that say what one job is to be."""


@build_doc
class Schedule(Interface):
    """Submit a job to the cluster and reserve its outputs

    This is the first half of what ``datalad run`` does: the outputs are
    reserved, inputs are retrieved, existing outputs are made writable, and the
    command is handed to the scheduler. No Git runs while the job does. The
    second half is ``datalad finish``, which commits the outputs of ended jobs,
    each with a record from which ``datalad reschedule`` runs it again.

    COMMAND is run as the job, like that of ``datalad run``. If it starts with
    ``sbatch`` it is a submission of its own, and not run through a shell. On a
    machine without Slurm the scheduler "local" runs the same command here, in
    the background.

    Two open jobs never share an output: a path that is reserved by another
    job, or that lies above or below such a path, is refused. The log files of a
    job are outputs too and need not be declared.

    *Placeholders*

    As in ``datalad run``, "{inputs}" and "{outputs}" in COMMAND stand for the
    declared paths with globs expanded ("{inputs[0]}" for the first), "{pwd}"
    for the folder of the command, "{dspath}" for the dataset's root and
    "{tmpdir}" for a new temporary directory. Others can be configured as
    "datalad.run.substitutions.NAME". A brace that is meant as such is doubled.

    In outputs of an array "{task}" stands for the index of each task. Then it
    is known whose output a file is, and tasks that failed can be left out of the
    commit and run again alone.
    """

    result_renderer = "tailored"
    # A line of a batch that fails stops none of the others.
    on_failure = "continue"

    _params_ = PARAMETERS

    _examples_ = [
        dict(
            text="Run a command as a job",
            code_cmd="datalad schedule -i raw/s1.nii -o out/s1.tsv -- "
            "python3 volume.py {inputs} {outputs}",
            code_py="schedule('python3 volume.py {inputs} {outputs}', inputs=['raw/s1.nii'], "
            "outputs=['out/s1.tsv'])",
        ),
        dict(
            text="Run it for each subject, as the tasks of one array",
            code_cmd="datalad schedule --foreach sub=s1,s2 -i 'raw/{sub}.nii' -o 'out/{sub}.tsv' "
            "-- python3 volume.py {inputs} {outputs}",
            code_py="schedule('python3 volume.py {inputs} {outputs}', "
            "foreach={'sub': ['s1', 's2']}, inputs=['raw/{sub}.nii'], outputs=['out/{sub}.tsv'])",
        ),
        dict(
            text="Run it in a container of the dataset (see 'datalad containers-add')",
            code_cmd="datalad schedule -n tool -i raw/s1.nii -o out/s1.tsv -- "
            "volume {inputs} {outputs}",
            code_py="schedule('volume {inputs} {outputs}', container='tool', "
            "inputs=['raw/s1.nii'], outputs=['out/s1.tsv'])",
        ),
        dict(
            text="Submit a batch script that writes into the directory 'out'",
            code_cmd="datalad schedule -o out/ sbatch job.sh",
            code_py="schedule('sbatch job.sh', outputs=['out/'])",
        ),
        dict(
            text="Retrieve an input first, and pass the paths on to the script",
            code_cmd="datalad schedule -i raw/s1.nii -o out/s1.tsv "
            "'sbatch job.sh {inputs} {outputs}'",
            code_py="schedule('sbatch job.sh {inputs} {outputs}', inputs=['raw/s1.nii'], "
            "outputs=['out/s1.tsv'])",
        ),
        dict(
            text="Ask for four processors, three hours, memory and a GPU",
            code_cmd="datalad schedule -r '4 3:00 15G gpu' -o out.txt -- './fit > out.txt'",
            code_py="schedule('./fit > out.txt', outputs=['out.txt'], resources='4 3:00 15G gpu')",
        ),
        dict(
            text="An array job, each task of which writes a file with its index",
            code_cmd="datalad schedule -o 'out/part-{task}.dat' sbatch --array=1-20 job.sh",
            code_py="schedule('sbatch --array=1-20 job.sh', outputs=['out/part-{task}.dat'])",
        ),
        dict(
            text="Run a submission script of the site's, and track all jobs that it submits",
            code_cmd="datalad schedule --submits -o out/ -- ./submit_all.sh a b",
            code_py="schedule('./submit_all.sh a b', outputs=['out/'], submits=True)",
        ),
        dict(
            text="A job for each line of a file, such as '-i raw/1.nii -o out/1.tsv sbatch job.sh'",
            code_cmd="datalad schedule --from jobs.txt",
            code_py="schedule(batch='jobs.txt')",
        ),
    ]

    @staticmethod
    @datasetmethod(name="schedule")
    @eval_results
    @interruptible
    def __call__(
        cmd: Any = None,
        *,
        dataset: Any = None,
        inputs: Any = None,
        outputs: Any = None,
        expand: str | None = None,
        assume_ready: str | None = None,
        message: str | None = None,
        check_outputs: bool = True,
        dry_run: str | None = None,
        alt_dir: str | None = None,
        scheduler: str | None = None,
        jobs: int | None = None,
        container: str | None = None,
        resources: Any = None,
        template: str | None = None,
        list_templates: bool = False,
        foreach: Any = None,
        foreach_file: str | None = None,
        max_concurrent: int | None = None,
        after: Any = None,
        submits: bool = False,
        auto_finish: bool = False,
        batch: Any = None,
    ) -> Iterator[dict[str, Any]]:
        asked = dict(locals())
        from datalad_hpc.workplace import Workplace

        workplace = Workplace.of(dataset, "schedule a job")
        if list_templates:
            from datalad_hpc.plans.resource_templates import list_templates as listed

            yield from listed(workplace, "schedule")
        elif batch is not None:
            from datalad_hpc.commands.batch_lines import schedule_lines

            yield from schedule_lines(workplace, asked)
        else:
            yield from _schedule_one(workplace, asked)

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **kwargs: Any) -> None:
        """Show a dry run in full, everything else as DataLad does."""
        dry_run = res.get("dry_run")
        if res.get("template"):
            from datalad_hpc.results import visible_line

            ui.message(
                f"{res['template']}: {visible_line(res['shorthand'])}\n"
                f"  {visible_line(res['meaning'])}\n  from {res['origin']}"
            )
        elif not dry_run:
            generic_result_renderer(res)
        elif kwargs.get("dry_run") == "command":
            ui.message(dry_run["script"] or dry_run["command_line"])
        else:
            from datalad_hpc.results import visible_line

            ui.message("\n".join(map(visible_line, _dry_run_lines(dry_run))))


def _schedule_one(workplace: Workplace, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    from datalad_hpc import scheduling
    from datalad_hpc.dry_run import dry_run
    from datalad_hpc.plans.requests import make_request
    from datalad_hpc.results import as_results
    from datalad_hpc.schedulers import scheduler_loader
    from datalad_hpc.sweeping import schedule_any

    with as_results(scheduling.ACTION, workplace.root) as results:
        request = make_request(workplace, **of_job(asked))
        name = chosen_scheduler(workplace, asked["scheduler"])
        if asked["dry_run"]:
            # Who wants to see the command only need not wait for the scheduler.
            asks = asked["dry_run"] != "command"
            scheduler = scheduler_loader(workplace.setting)(name) if asks else None
            yield dry_run(workplace, request, action=scheduling.ACTION, scheduler=scheduler)
        else:
            with opened(workplace) as (store, named):
                yield from schedule_any(workplace, store, named(name), named, request)
    yield from results


def of_job(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of one job, lists as such."""
    return {
        name: as_tuple(asked[name]) if name in LISTS else asked[name]
        for name in OF_JOB
        if asked.get(name) is not None
    }


def _dry_run_lines(dry_run: dict[str, Any]) -> Iterator[str]:
    yield "Dry run: nothing was submitted"
    yield f" folder: {dry_run['folder']}"
    yield f" command: {dry_run['command']}"
    if dry_run["script"]:
        yield f" submission: {dry_run['command_line']}"
        yield " script:"
        yield from (f"  {line}" for line in dry_run["script"].splitlines())
    else:
        yield f" expanded command: {dry_run['command_line']}"
    for name in ("inputs", "extra_inputs", "outputs", "logs"):
        if dry_run[name]:
            yield f" {name.replace('_', ' ')}:"
            yield from (f"  {path}" for path in dry_run[name])
    if dry_run["auto_finish"]:
        yield f" automatic finish: {dry_run['auto_finish']}"
    if dry_run["tasks"] is not None:
        yield f" tasks: {len(dry_run['tasks'])}"
    if dry_run["estimate"]:
        yield f" {_told(**dry_run['estimate'])}"


def _told(scheduler: str, accepted: bool | None, start: str | None, words: str) -> str:
    """What the scheduler says that would become of the job."""
    words = "; ".join(words.splitlines())
    if accepted is None:
        return f"{scheduler.capitalize()} could not be asked: {words}"
    if not accepted:
        return f"{scheduler.capitalize()} would refuse this: {words}"
    if start is None:
        return f"estimated start: {scheduler.capitalize()} cannot tell"
    here = datetime.fromisoformat(start).astimezone()
    return f"estimated start: {here:%Y-%m-%d %H:%M:%S %Z}"
