"""DataLad on clusters: schedule jobs, commit what they made, run them again."""

from datalad.support.extensions import register_config

command_suite = (
    "Run commands as jobs of a cluster, with provenance",
    [
        ("datalad_hpc.commands.schedule", "Schedule", "schedule", "schedule"),
        ("datalad_hpc.commands.finish", "Finish", "finish", "finish"),
        ("datalad_hpc.commands.reschedule", "Reschedule", "reschedule", "reschedule"),
        ("datalad_hpc.commands.hpc_status", "HpcStatus", "hpc-status", "hpc_status"),
        ("datalad_hpc.commands.hpc_log", "HpcLog", "hpc-log", "hpc_log"),
        ("datalad_hpc.commands.hpc_usage", "HpcUsage", "hpc-usage", "hpc_usage"),
        ("datalad_hpc.commands.hpc_check", "HpcCheck", "hpc-check", "hpc_check"),
        ("datalad_hpc.commands.hpc_cancel", "HpcCancel", "hpc-cancel", "hpc_cancel"),
    ],
)

# None of these is taken from a dataset's own .datalad/config: a clone must not
# be able to point a command at files or programs of its choice.
register_config(
    "datalad.hpc.scheduler",
    "Scheduler to submit to",
    description="""Name of a scheduler ("slurm", "local"), or "auto": Slurm where sbatch is
    on PATH, this machine otherwise""",
    default="auto",
)
register_config(
    "datalad.hpc.store",
    "Job store",
    description="""Path of the SQLite file (or its SQLAlchemy URL) that keeps jobs, tasks and
    claims. By default a file in the dataset's Git folder, shared by all of its worktrees""",
    default="",
)
register_config(
    "datalad.hpc.store-timeout",
    "Patience with a locked job store",
    description="Seconds to wait while another process writes the job store",
    default="60",
)
register_config(
    "datalad.hpc.scheduler-timeout",
    "Patience with the scheduler",
    description="""Seconds after which a query of the scheduler is given up; a submission
    is given five times as many""",
    default="60",
)
register_config(
    "datalad.hpc.poll-interval",
    "How often jobs that are followed are asked for",
    description="""Seconds between two questions of `datalad finish --wait` to the scheduler: at
    first, and at most after a long time in which nothing changes, such as "2 60". A single number
    stands for both""",
    default="2 60",
)
register_config(
    "datalad.hpc.notify",
    "Command that tells you that jobs are over",
    description="""Run once when `datalad finish --wait` has come to its end, not through a shell.
    Its environment says what became of the jobs, in FINISH_SUMMARY and others""",
    default="",
)
register_config(
    "datalad.hpc.auto-finish",
    "What the jobs of `schedule --auto-finish` need",
    description="""In the shorthand of `datalad schedule -r`, such as "2 1:00 partition=io". By
    default they ask for the partition, account and QOS of the job that they finish, for one
    processor, and for its time, but at most an hour""",
    default="",
)
register_config(
    "datalad.hpc.missing-outputs",
    "What a missing output is",
    description="""What it means that a completed job did not produce a declared output: "error"
    (the job stays open) or "warning" (it is committed all the same)""",
    default="error",
)
register_config(
    "datalad.hpc.record-identity",
    "Record who ran a job",
    description="""Whether user, group and account names are kept in the file with the
    scheduler's facts, and in the record""",
    default="no",
)
register_config(
    "datalad.hpc.record-marker",
    "Whose marker the records of plain commands have",
    description="""With "hpc", commits are told apart from those of "datalad run". With "core",
    the commit of a command that does not start with sbatch has a record that "datalad rerun"
    runs again, also where this extension is not installed""",
    default="hpc",
)
register_config(
    "datalad.hpc.modules",
    "Modules of a job",
    description="""Names for `module load`, which the job of a plain command loads first. Can be
    set several times""",
    default="",
)
register_config(
    "datalad.hpc.variables",
    "Variables of a job",
    description="""NAME=VALUE, set in the environment of the job of a plain command. Can be set
    several times""",
    default="",
)
register_config(
    "datalad.hpc.prologue",
    "Prologue of a job",
    description="""Lines for the shell that come before a plain command, behind modules and
    variables. Can be set several times""",
    default="",
)
register_config(
    "datalad.hpc.record-environment",
    "Record the environment",
    description="""Whether records tell of the host's platform, the modules that were loaded,
    the container's digest, and the versions of the programs that have to do with a job""",
    default="yes",
)
register_config(
    "datalad.hpc.local.spool",
    "Spool of the local scheduler",
    description="""Folder where the local scheduler keeps its queue. By default a folder of the
    machine's name below ~/.local/state/datalad-hpc/local""",
    default="",
)
register_config(
    "datalad.hpc.local.slots",
    "Slots of the local scheduler",
    description="How many tasks it runs at once. By default the number of processors",
    default="",
)


def __getattr__(name: str) -> str:
    """The version, looked up only where it is asked for: that takes longer than all above."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("datalad-hpc")
