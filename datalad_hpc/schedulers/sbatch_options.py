"""The options of sbatch: what they are called, which take a value, and how words are read by that.

The tables hold the options of Slurm 22.05 to 24.11 (man page of sbatch and its
``--help``). :func:`read_words` reads words by such a table the way GNU
getopt_long does for sbatch: reading stops at the first word that is no option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from datalad_hpc.errors import BadRequest


def names_in(text: str) -> frozenset[str]:
    """Names that stand in a text with blanks between them."""
    return frozenset(text.split())


SHORT_OPTIONS: Mapping[str, str] = {
    "A": "account",
    "B": "extra-node-info",
    "C": "constraint",
    "D": "chdir",
    "F": "nodefile",
    "G": "gpus",
    "H": "hold",
    "J": "job-name",
    "L": "licenses",
    "M": "clusters",
    "N": "nodes",
    "O": "overcommit",
    "Q": "quiet",
    "S": "core-spec",
    "V": "version",
    "W": "wait",
    "a": "array",
    "b": "begin",
    "c": "cpus-per-task",
    "d": "dependency",
    "e": "error",
    "h": "help",
    "i": "input",
    "k": "no-kill",
    "m": "distribution",
    "n": "ntasks",
    "o": "output",
    "p": "partition",
    "q": "qos",
    "s": "oversubscribe",
    "t": "time",
    "v": "verbose",
    "w": "nodelist",
    "x": "exclude",
}

WITH_VALUE = names_in(
    """
    account acctg-freq array autocomplete batch bb bbf begin chdir cluster cluster-constraint
    clusters comment constraint container container-id context core-spec cores-per-socket cpu-freq
    cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution error exclude export
    export-file extra extra-node-info gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket
    gpus-per-task gres gres-flags hint input job-name kill-on-invalid-dep licenses mail-type
    mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nodefile nodelist
    nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket ntasks-per-tres
    open-mode output partition power prefer priority profile qos reservation segment signal
    sockets-per-node switches tasks-per-node thread-spec threads-per-core time time-min tmp
    tres-bind tres-per-task uid wait-all-nodes wckey wrap
    """
)

WITH_OPTIONAL_VALUE = names_in(
    "exclusive get-user-env nice no-kill oom-kill-step propagate resv-ports"
)

FLAGS = names_in(
    """
    contiguous help hold ignore-pbs no-requeue overcommit oversubscribe parsable quiet reboot
    requeue spread-job stepmgr test-only usage use-min-nodes verbose version wait
    """
)

SYNONYMS: Mapping[str, str] = {"cluster": "clusters", "tasks-per-node": "ntasks-per-node"}
"""Second names of options."""

ENVIRONMENT: Mapping[str, str] = {
    "SLURM_HINT": "hint",
    **{
        f"SBATCH_{name.upper().replace('-', '_')}": name
        for name in names_in("""
        account acctg-freq batch cluster-constraint clusters constraint container container-id
        core-spec cpus-per-gpu delay-boot distribution error exclusive export get-user-env gpu-bind
        gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint ignore-pbs
        input job-name mem-bind mem-per-cpu mem-per-gpu network no-kill no-requeue open-mode output
        overcommit partition power profile qos requeue reservation signal spread-job thread-spec
        threads-per-core tres-bind tres-per-task use-min-nodes wait wait-all-nodes wckey
        """)
    },
    "SBATCH_ARRAY_INX": "array",
    "SBATCH_BURST_BUFFER": "bb",
    "SBATCH_CPU_FREQ_REQ": "cpu-freq",
    "SBATCH_DEBUG": "verbose",
    "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_REQ_SWITCH": "switches",
    "SBATCH_TIMELIMIT": "time",
    "SLURM_CLUSTERS": "clusters",
}
"""Option that a variable sets; of two variables for one option the later one wins."""

IGNORED_IN_SCRIPT = names_in("help quiet usage verbose version wrap")
"""Options that have no effect in a batch script: sbatch needs them before it reads the script."""

SUBMITS_NOTHING = names_in("autocomplete help test-only usage version")
"""Options with which sbatch ends without a job."""


@dataclass(frozen=True)
class Grammar:
    """How words spell options.

    ``short`` maps letters to names; names may be abbreviated on the command
    line as long as they stay unambiguous.
    """

    short: Mapping[str, str]
    with_value: frozenset[str]
    with_optional_value: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    synonyms: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """All long names."""
        return self.with_value | self.with_optional_value | self.flags

    def full_name(self, name: str) -> str:
        """The long name that a text stands for; a text that fits none is returned as it is.

        Raises
        ------
        BadRequest
          More than one fits.
        """
        if name in self.names:
            return self.synonyms.get(name, name)
        fitting = sorted(known for known in self.names if known.startswith(name))
        if len(fitting) > 1:
            raise BadRequest(
                f"--{name} is ambiguous to sbatch, it may stand for --{' or --'.join(fitting)}"
            )
        return self.synonyms.get(fitting[0], fitting[0]) if fitting else name


SBATCH = Grammar(SHORT_OPTIONS, WITH_VALUE, WITH_OPTIONAL_VALUE, FLAGS, SYNONYMS)

_BSUB = {
    **{letter: f"bsub {letter}" for letter in "Mn"},
    "J": "job-name",
    "W": "time",
    "c": "chdir",
    "e": "error",
    "m": "nodelist",
    "o": "output",
    "q": "partition",
    "x": "exclusive",
}

_PBS = {
    **{letter: f"pbs {letter}" for letter in "CISVWcjklmruvz"},
    "A": "account",
    "J": "array",
    "M": "mail-user",
    "N": "job-name",
    "a": "begin",
    "e": "error",
    "h": "hold",
    "o": "output",
    "p": "nice",
    "q": "partition",
    "t": "array",
}

FOREIGN_DIRECTIVES: Mapping[str, Grammar] = {
    "#BSUB": Grammar(_BSUB, frozenset(_BSUB.values()) - {"exclusive"}),
    "#PBS": Grammar(_PBS, frozenset(_PBS.values()) - {"hold", "pbs I", "pbs V", "pbs z"}),
}
"""Lines for LSF and PBS that sbatch reads too; what it does not take over as it is has a blank."""


@dataclass(frozen=True)
class Reading:
    """What :func:`read_words` found."""

    options: tuple[tuple[str, str], ...]
    """Long name and value of each option in order; the value of a flag is empty."""
    words: tuple[range, ...]
    """Indices of the words that each of them is in; several flags may share one."""
    last: int
    """Index where one more option could be put in: of ``--``, or of the first other word."""
    end: int
    """Index of the first word that is no option; the number of words where all are."""


def read_words(words: Sequence[str], grammar: Grammar = SBATCH) -> Reading:
    """Read options from the start of a list of words.

    A plugin of the site (SPANK) may add options that are in no table. Such
    an option is kept, but since nobody here knows whether it takes a value, it
    gets one only where it is attached with ``=``.

    Raises
    ------
    BadRequest
      An option misses its value, has one that it does not take, or is ambiguous.
    """
    options: list[tuple[str, str]] = []
    places: list[range] = []
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        if words[at] == "--":
            return Reading(tuple(options), tuple(places), at, at + 1)
        read = _read_long if words[at].startswith("--") else _read_short
        found, used = read(words[at], words[at + 1 :], grammar)
        options += found
        places += [range(at, at + used)] * len(found)
        at += used
    return Reading(tuple(options), tuple(places), at, at)


Found = tuple[list[tuple[str, str]], int]
"""Options of a word, and the number of words that they took."""


def _read_long(word: str, following: Sequence[str], grammar: Grammar) -> Found:
    """``--name``, ``--name=value`` or ``--name value``."""
    text, attached, value = word[2:].partition("=")
    name = grammar.full_name(text)
    if attached and name in grammar.flags:
        raise BadRequest(f"the option --{name} of sbatch takes no value, but {word} gives it one")
    if attached or name not in grammar.with_value:
        return [(name, value)], 1
    return [(name, _next_value(f"--{name}", following))], 2


def _read_short(word: str, following: Sequence[str], grammar: Grammar) -> Found:
    """``-x``, ``-xvalue``, ``-x value``, or several flags behind one dash."""
    found: list[tuple[str, str]] = []
    for position, letter in enumerate(word[1:], 2):
        name = grammar.short.get(letter, letter)
        attached = word[position:]
        if name in grammar.with_value and not attached:
            return [*found, (name, _next_value(f"-{letter}", following))], 2
        if name in grammar.with_value or name in grammar.with_optional_value:
            return [*found, (name, attached)], 1
        found.append((name, ""))
    return found, 1


def _next_value(option: str, following: Sequence[str]) -> str:
    if not following:
        raise BadRequest(f"the option {option} of sbatch needs a value and has none")
    return following[0]
