"""Submission to Slurm: the environment that goes along, and what sbatch answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from datalad_hpc.errors import HpcError, SubmissionRefused, SubmissionUncertain
from datalad_hpc.status import Submission

INSIDE_A_JOB = ("SLURM_JOB_ID", "SLURM_JOBID")
"""Slurm sets them in every job; salloc does so in its shell."""

SET_BY_A_JOB = ("SLURM_", "SLURMD_", "SBATCH_CPU_BIND", "SBATCH_MEM_BIND")
"""Beginnings of the names that describe the job around us and would be taken for wishes."""

CLIENT_SETTINGS = (
    "SLURM_BITSTR_LEN",
    "SLURM_CLUSTERS",
    "SLURM_CONF",
    "SLURM_CONF_SERVER",
    "SLURM_DEBUG_FLAGS",
    "SLURM_EXIT_ERROR",
    "SLURM_JWT",
    "SLURM_TIME_FORMAT",
)
"""Names that tell Slurm's programs how to reach the cluster and how to print, in a job or not."""

NEVER_HANDED_OVER = ("SBATCH_WAIT",)
"""With it sbatch would stay until the job has ended."""

QUERY_SETTINGS = {
    "TZ": "UTC",
    # Seconds since 1970: no question of time zones.
    "SLURM_TIME_FORMAT": "%s",
    # Lists of tasks in full; by default they are cut after 64 characters.
    "SLURM_BITSTR_LEN": "0",
}
CHANGES_QUERIES = ("SACCT_", "SCANCEL_", "SQUEUE_", "SLURM_CLUSTERS")
"""Beginnings of the names by which a user's settings would narrow our questions."""

SUBMISSION_MAY_HAVE_BEEN_ACCEPTED = (
    "socket timed out on send/recv operation",
    "connection timed out",
    "connection reset by peer",
    "broken pipe",
    "zero bytes were transmitted or received",
    "header lengths are longer than data received",
    "unexpected message received",
    "unexpected missing socket error",
    "insane message length",
    "incompatible versions of client and server code",
    "message receive failure",
    "message send failure",
    "communication shutdown failure",
    "protocol authentication error",
    "unable to contact slurm controller (receive failure)",
    "unable to contact slurm controller (send failure)",
    "unable to contact slurm controller (shutdown failure)",
)
"""Words of sbatch after which the controller may have the job: only the answer was lost.

The words are libslurm's (slurm_strerror) and the system's. Not among them is
``connect failure`` (and ``Connection refused``): then nothing was ever sent.
"""

LARGEST_ID = 2**32 - 1
"""Slurm has 32 bits for an id."""

_SUBMITTED = re.compile(r"Submitted batch job (\d+)(?:[ \t]+on cluster (\S+))?")
_PARSABLE = re.compile(r"^[ \t]*(\d+)(?:;(\S+))?[ \t]*\r?$", re.MULTILINE)
_ARRAY_LIMITS = re.compile(r"^MaxArraySize\s*=\s*(\d+)|\bmax_array_tasks=(\d+)", re.MULTILINE)
_VERDICT = "submission failed:"
_KILLED = range(129, 160)
"""Exit codes with which a shell around sbatch tells that a signal ended it."""


def submission_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for sbatch: what the job around us has set is left out.

    A user's own ``SBATCH_ACCOUNT``, ``SBATCH_PARTITION`` and the like stay.
    """
    inside = any(name in environment for name in INSIDE_A_JOB)
    return {
        name: value
        for name, value in environment.items()
        if name not in NEVER_HANDED_OVER
        and not (inside and name.startswith(SET_BY_A_JOB) and name not in CLIENT_SETTINGS)
    }


def query_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for sacct, squeue, scontrol and scancel: plain answers, times in UTC."""
    kept = {
        name: text for name, text in environment.items() if not name.startswith(CHANGES_QUERIES)
    }
    return {**kept, **QUERY_SETTINGS}


def submissions_in(text: str) -> tuple[Submission, ...]:
    """The submissions that sbatch's standard output tells of, each once.

    Sentences (``Submitted batch job 7 on cluster one``) are read wherever they
    stand; where there is none, so are lines that hold nothing but an id, or id
    and cluster (``7;one``, from ``--parsable``).
    """
    return _each_once(_SUBMITTED.findall(text) or _PARSABLE.findall(text))


def every_submission_in(text: str) -> tuple[Submission, ...]:
    """The submissions that a program's output may tell of: the sentences, and the lines too."""
    found = [*_SUBMITTED.findall(text), *_PARSABLE.findall(text)]
    return _each_once([each for each in found if int(each[0]) <= LARGEST_ID])


def _each_once(told: Iterable[tuple[str, str]]) -> tuple[Submission, ...]:
    clusters: dict[str, str] = {}
    for job_id, cluster in told:
        clusters[job_id] = clusters.get(job_id) or cluster
    return tuple(Submission(job_id, cluster) for job_id, cluster in clusters.items())


def is_certain(text: str, submissions: tuple[Submission, ...]) -> bool:
    """Whether sbatch named one job in its own words: a line with a number may be a banner's."""
    return len(submissions) == 1 and (
        bool(submissions[0].cluster) or _SUBMITTED.search(text) is not None
    )


def several_submissions(submissions: tuple[Submission, ...]) -> SubmissionUncertain:
    """The error for an answer with more than one id."""
    ids = ", ".join(submission.job_id for submission in submissions)
    return SubmissionUncertain(
        f"sbatch answered with several job ids ({ids}); cancel all but one (`scancel`), and the "
        "one that is left is tracked"
    )


def failure(code: int, words: str) -> HpcError:
    """The error for a failed sbatch whose answer has no id.

    Parameters
    ----------
    code:
      Its exit code, negative for a signal.
    words:
      What it had to say.
    """
    if code < 0 or code in _KILLED or not words or may_have_been_accepted(words):
        return SubmissionUncertain(
            f"sbatch failed (exit code {code}), and Slurm may nevertheless have the job. sbatch "
            f"said: {words or 'nothing'}"
        )
    return SubmissionRefused(f"sbatch refused the job (exit code {code}): {words}")


def is_final(words: str) -> bool:
    """Whether sbatch says that the controller refused."""
    return _VERDICT in words.lower() and not may_have_been_accepted(words)


def is_of_sbatch(words: str) -> bool:
    """Whether a complaint is sbatch's own, and not that of a program around it."""
    return "sbatch: " in words


def may_have_been_accepted(words: str) -> bool:
    """Whether sbatch's complaint leaves open that the controller has the job.

    What stands behind ``submission failed:`` counts, if that is there: lines
    before it may tell of attempts that were followed by others.
    """
    verdict = words.lower().rpartition(_VERDICT)[2]
    return any(phrase in verdict for phrase in SUBMISSION_MAY_HAVE_BEEN_ACCEPTED)


def largest_array_in(text: str) -> int | None:
    """How many tasks an array may have by what ``scontrol show config`` prints.

    The largest index is one less than MaxArraySize, and the number of tasks may be limited further
    (man page of slurm.conf); ``None`` where neither is told.
    """
    return min((int(size or tasks) for size, tasks in _ARRAY_LIMITS.findall(text)), default=None)


def cluster_name_in(configuration: str) -> str:
    """The cluster's name in what ``scontrol show config`` says, empty where there is none."""
    found = re.search(r"^ClusterName\s*= *(\S+)", configuration, re.MULTILINE)
    return found[1] if found else ""
