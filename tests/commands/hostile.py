"""Names that break programs: a table, what hypothesis makes of it, and what Git says of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from datalad_hpc.located import is_gits_own
from tests.commands.conftest import Lab
from tests.helpers import soak

RUNS = (
    *("$(touch pwned)", "`touch pwned`", "; touch pwned", "& touch pwned", "| touch pwned"),
    *("\n touch pwned\n", "$(touch pwned", "'; touch pwned; '", '"; touch pwned; "'),
    *("$((touch pwned))", "\\$(touch pwned)", "<(touch pwned)"),
)
"""Names that leave a file ``pwned`` where a shell gets to see them."""

WORDS = (
    *RUNS,
    *("a b", " lead", "trail ", "  ", "'", '"', "it's", "-", "--", "-rf", "--help", "-o", "-n1"),
    *("*", "?", "[ab]", "[", "]", "[!x]", "**", "{a}", "{", "}", "{{", "}}", "{inputs}", "{0}"),
    *("!x", "^x", ":x", ":/x", ":(top)x", "~", "~root", "#x", "$HOME", "${HOME}", "$x", "@"),
    *("%", "%j", "%%", "%s", "\\", "\\\\", "\\n", "\\x41"),
    *("a\nb", "\n", "\t", "\r", "a\r\n", "\x1b[31m", "\x7f", "\x01"),
    *("ü", "u\u0308", "😀", "\u200f", "\u202e", "\u00a0", "\u2028", "\u200b", "\ufeff", "ſ", "İ"),
    *(".x", "...", "..x", "x..", ".gitattributes", ".gitignore", ".gitx", "git~2", "git"),
    *(".g\u200bit", "x.git", ".datalad", ".noannex"),
    *("con", "nul", "a:b", "=", "a=b", ",", "null", "NaN", "[DATALAD SLURM RUN]"),
    *("x" * 225, "ü" * 110, "x" * 200 + " '" * 12),
)
"""Names that a file in Git can have. (With more than 230 bytes git-annex may fail, which puts them
into the names of its own temporary files.)"""

GITS = (
    *(".git", ".GIT", ".Git", "git~1", "GIT~1", ".git.", ".git ", ".git...", "git~1 ."),
    *(".git::$INDEX_ALLOCATION", "x\\.git", "x\\git~1", ".git\\x", ".git:x", ".g\u200cit"),
)
"""Names that Git takes for its own folder on one system or another, and refuses on all."""


def _can_be_a_name(name: str) -> bool:
    return (
        name not in (".", "..")
        and (name in WORDS or len(os.fsencode(name)) < 200)
        and not is_gits_own(name)
        and not is_gits_own(f"{name}/x")
    )


ANY_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=12
)
PART = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)).map("".join),
    st.tuples(ANY_TEXT, st.sampled_from(WORDS)).map("".join),
    ANY_TEXT,
).filter(lambda name: _can_be_a_name(name))
"""A component of a path."""
PATH = st.lists(PART, min_size=1, max_size=4).map("/".join)

OFTEN = settings(
    max_examples=soak(2, 60),
    deadline=None,
    database=None,
    derandomize=not soak(0, 1),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
"""For examples that take seconds each, and are not made smaller when one fails."""


TELLER = """\
while IFS= read -r -d '' path; do
  mkdir -p "${{path%/*}}"
  printf '%s' "$SLURM_JOB_ID $path" > "$path"
done < '{folder}'/"$1"
"""
"""A job's script: writes the files that a list of its own names, where no shell reads them."""


@dataclass
class Teller:
    """Jobs that write files of any name; what they are to write lies beside the dataset."""

    lab: Lab
    folder: Path
    _number: int = 0

    def script(self) -> None:
        """Save the script that all jobs share."""
        self.folder.mkdir(exist_ok=True)
        self.lab.script(TELLER.format(folder=self.folder), "tell.sh")

    def command(self, paths: Sequence[str]) -> str:
        """What is to be submitted so that some files are written, seen from the job's folder."""
        self._number += 1
        listed = b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)
        (self.folder / str(self._number)).write_bytes(listed)
        return f"sbatch --output=/dev/null {self.lab.root}/tell.sh {self._number}"


def doubled(path: str) -> str:
    """A path as it is given to ``schedule``, where a brace begins a placeholder."""
    return path.replace("{", "{{").replace("}", "}}")


def tree_of(lab: Lab, revision: str = "HEAD") -> dict[bytes, bytes]:
    """Mode and object of all files of a commit."""
    listed = raw_git(lab, "ls-tree", "-r", "-z", revision)
    rows = (row.split(b"\t", 1) for row in listed.split(b"\0") if row)
    return {path: about for about, path in rows}


def record_of(lab: Lab, revision: str) -> dict[str, Any]:
    """The record in a commit; what Python takes for the end of a line may stand in it."""
    message = raw_git(lab, "cat-file", "commit", revision).decode()
    record = message.rpartition("=== Do not change lines below ===\n")[2]
    return json.loads(record.rpartition("\n^^^ Do not change lines above ^^^")[0])


def raw_git(lab: Lab, *arguments: str) -> bytes:
    ended = subprocess.run(["git", *arguments], cwd=lab.root, capture_output=True, check=False)
    assert ended.returncode == 0, (arguments, ended.stderr, ended.stdout)
    return ended.stdout


def written_in(lab: Lab, revision: str) -> set[bytes]:
    """The files that a commit touches, byte for byte, but for the facts."""
    shown = raw_git(lab, "show", "--format=", "--name-only", "-z", revision)
    paths = {path for path in shown.split(b"\0") if path}
    return {path for path in paths if not re.search(rb"(^|/)slurm-job-\d+\.env\.json$", path)}


def assert_sound(lab: Lab, *places: Path) -> None:
    """All is committed, Git and git-annex find no fault, and nothing was run."""
    assert raw_git(lab, "status", "--porcelain", "-z") == b""
    raw_git(lab, "fsck", "--strict", "--no-progress", "--no-dangling")
    raw_git(lab, "annex", "fsck", "--fast", "--quiet")
    for place in (lab.root, *places):
        assert not [path for path in place.rglob("*") if path.name == "pwned"]


def datalad(
    lab: Lab, *arguments: str, folder: str | Path = ".", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """A command as it is typed."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "datalad"), *arguments],
        cwd=lab.root / folder,
        env={**os.environ, "DATALAD_HPC_SCHEDULER": lab.scheduler, **environment},
        capture_output=True,
        check=False,
    )
