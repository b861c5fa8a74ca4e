"""Whether a dataset is as it should be when all jobs are over and nobody is at work."""

from __future__ import annotations

import subprocess
from pathlib import Path

OURS = {"auto-finish", "jobs.db", "jobs.db-made"}
"""What may lie in our folder in Git's."""


def assert_sound(root: Path) -> None:
    """Git and git-annex find no fault, nothing is uncommitted, and nothing of ours is left over."""
    assert _output(root, "git", "status", "--porcelain") == ""
    faults = _output(root, "git", "fsck", "--no-dangling", "--no-progress")
    assert faults == ""
    _output(root, "git", "annex", "fsck", "--quiet")
    own = root / ".git" / "datalad" / "hpc"
    assert {path.name for path in own.iterdir()} <= OURS if own.exists() else True
    left = [path for path in (root / ".git").rglob("*.lock") if path.is_symlink() or path.exists()]
    # git-annex keeps its own.
    assert [path for path in left if "annex" not in path.parts] == []
    assert list(root.glob("**/.datalad-hpc-*")) == []


def _output(root: Path, *argv: str) -> str:
    ended = subprocess.run(argv, cwd=root, capture_output=True, text=True)
    assert ended.returncode == 0, (argv, ended.stdout, ended.stderr)
    return ended.stdout + ended.stderr
