"""The only room that writes Git: outputs of finished jobs become commits.

None of it compares the whole work tree with the index: what a job claimed is
compared with the tip of the branch, the changed files are hashed into a copy of
the index, the commits are written by one ``git fast-import``, the branch is
moved by compare-and-swap, and only then the index follows.
"""

from datalad_hpc.commit.gathering import Work, own_branch
from datalad_hpc.commit.hooks import hooks_folder, hooks_passed_over
from datalad_hpc.commit.recording import Layout, Recorded, Recorder
from datalad_hpc.commit.repository import Repository, tip_of
from datalad_hpc.commit.upkeep import let_git_clean_up

__all__ = [
    "Layout",
    "Recorded",
    "Recorder",
    "Repository",
    "Work",
    "hooks_folder",
    "hooks_passed_over",
    "let_git_clean_up",
    "own_branch",
    "tip_of",
]
