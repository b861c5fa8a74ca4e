"""The parameters of ``datalad schedule``."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentTypeError
from typing import cast

from datalad.distribution.dataset import EnsureDataset
from datalad.support.constraints import (
    EnsureBool,
    EnsureChoice,
    EnsureInt,
    EnsureNone,
    EnsureRange,
    EnsureStr,
)
from datalad.support.param import Parameter

from datalad_hpc.commands.completing import FurtherJobIds
from datalad_hpc.commands.shared import (
    alternative_option,
    assume_ready_option,
    auto_finish_option,
    jobs_option,
)


class _DryRun(EnsureChoice):
    """A word that can be left out, but not right before the command."""

    def __call__(self, value: str | None) -> str | None:
        try:
            return cast("str | None", super().__call__(value))
        except ValueError:
            raise ArgumentTypeError(
                f"it takes 'basic' or 'command', but is followed by {value!r}; if that is what to "
                "run, write '--' before it"
            ) from None


PARAMETERS = dict(
    cmd=Parameter(
        args=("cmd",),
        nargs=REMAINDER,
        metavar="COMMAND",
        doc="""command to run as the job, or submission with sbatch; a leading
        '--' can be used to tell it from the options of this command.""",
    ),
    dataset=Parameter(
        args=("-d", "--dataset"),
        doc="""dataset that the job belongs to; by default the one around the
        current directory. If it is given, paths are relative to its root and
        the command is submitted from there.""",
        constraints=EnsureDataset() | EnsureNone(),
    ),
    inputs=Parameter(
        args=("-i", "--input"),
        dest="inputs",
        metavar="PATH",
        action="append",
        doc="""a file, directory or glob whose content is retrieved before
        the job is submitted. [CMD: Can be given more than once. CMD]""",
    ),
    outputs=Parameter(
        args=("-o", "--output"),
        dest="outputs",
        metavar="PATH",
        action="append",
        doc="""a file, directory or glob that the job writes. It is reserved
        until the job is finished or closed. At least one is needed. "{task}"
        stands for the index of each task of an array.
        [CMD: Can be given more than once. CMD]""",
    ),
    expand=Parameter(
        args=("--expand",),
        constraints=EnsureChoice(None, "inputs", "outputs", "both"),
        doc="""write the files that globs and directories stood for into the
        record, instead of the declared paths.""",
    ),
    assume_ready=assume_ready_option,
    message=Parameter(
        args=("-m", "--message"),
        metavar="MESSAGE",
        constraints=EnsureStr() | EnsureNone(),
        doc="text for the message of the job's commit.",
    ),
    check_outputs=Parameter(
        args=("--check-outputs",),
        metavar="BOOL",
        constraints=EnsureBool(),
        doc="""whether outputs that are reserved by other jobs are refused.
        Switch this off only where you know that the jobs write different
        files.""",
    ),
    dry_run=Parameter(
        args=("--dry-run",),
        nargs="?",
        const="basic",
        constraints=_DryRun(None, "basic", "command"),
        doc="""submit nothing, show what would be submitted: with "basic" (which
        is meant without a word too) the expanded command or the batch script
        that is made for it, inputs, outputs, logs, and what Slurm says of it
        with its estimate of the start; with "command" the expanded command or
        the script only. Without a word, write '--' before COMMAND.""",
    ),
    alt_dir=alternative_option,
    scheduler=Parameter(
        args=("--scheduler",),
        metavar="NAME",
        constraints=EnsureStr() | EnsureNone(),
        doc="""where to submit: "slurm", "local" (this machine), or "auto":
        Slurm where sbatch is on PATH, this machine otherwise. Default: the
        setting "datalad.hpc.scheduler", else "auto".""",
    ),
    jobs=jobs_option,
    container=Parameter(
        args=("-n", "--container-name"),
        dest="container",
        metavar="NAME",
        constraints=EnsureStr() | EnsureNone(),
        doc="""run the command in this container of the dataset, as 'datalad
        containers-run' does: its call format is used, and its image is
        retrieved before submission.""",
    ),
    resources=Parameter(
        args=("-r", "--resources"),
        dest="resources",
        metavar="WORDS",
        action="append",
        doc="""what the job needs, in shorthand: a time "[d-]hh:mm", a number of
        processors, memory such as "500MB" or "4G", "gpu" or "gpu:a100:2", and
        "NAME=VALUE" for any long option of sbatch, such as "partition=long".
        [CMD: Can be given more than once. CMD]""",
    ),
    template=Parameter(
        args=("--template",),
        metavar="NAME",
        constraints=EnsureStr() | EnsureNone(),
        doc="""what the job needs, as the setting "datalad.hpc.template.NAME" says
        it in shorthand; what is given with --resources overrides it.""",
    ),
    list_templates=Parameter(
        args=("--list-templates",),
        action="store_true",
        doc="submit nothing, list the templates that are configured.",
    ),
    foreach=Parameter(
        args=("--foreach",),
        dest="foreach",
        metavar="NAME=VALUES",
        action="append",
        doc="""run the command once for each value, as the tasks of one array: a
        list such as "sub=sub-01,sub-02", or a glob such as "sub=sub-*" that is
        matched against the dataset. "{NAME}" stands for the value in command,
        inputs, outputs and message. Each task gets a commit of its own.
        [CMD: Can be given more than once, and then all combinations are run. CMD]""",
    ),
    foreach_file=Parameter(
        args=("--foreach-file",),
        metavar="FILE",
        constraints=EnsureStr() | EnsureNone(),
        doc="""run the command once for each line of a table whose columns are
        separated by tabs, or by commas in a file called *.csv; its first line
        names them.""",
    ),
    max_concurrent=Parameter(
        args=("--max-concurrent",),
        metavar="N",
        constraints=EnsureNone() | (EnsureInt() & EnsureRange(min=1)),
        doc="how many tasks of a sweep may run at a time.",
    ),
    after=Parameter(
        args=("--after",),
        dest="after",
        metavar="JOBID",
        action=FurtherJobIds,
        doc="""start the job only after this one, or this task (ID_4), has succeeded.
        Not needed for jobs that make an input: these are waited for in any case.
        [CMD: Can be given more than once. CMD]""",
    ),
    submits=Parameter(
        args=("--submits",),
        action="store_true",
        doc="""COMMAND submits jobs itself, such as a site's own submission script.
        It is run here and now, not through a shell, and all jobs that it
        submits are tracked together: those of each sbatch that it calls, and
        those whose ids it prints.""",
    ),
    auto_finish=auto_finish_option,
    batch=Parameter(
        args=("--from",),
        dest="batch",
        metavar="FILE",
        doc="""schedule many jobs, one for each line of a file ('-' is standard
        input): options and a command as on the command line, or a JSON object
        with the parameters of the Python interface. Call it again after a
        failure, and it goes on where it ended.""",
    ),
)
