"""Where a command works: the dataset, the folder below its root, its settings and its lock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datalad_hpc import claims as claim_rules
from datalad_hpc.errors import BadRequest, HpcError
from datalad_hpc.job import Claim, ClaimRole

_SAVE_LOCK = Path("datalad", "run-save.lck")
"""The lock of DataLad core's own concurrent ``run``, in the Git folder of the topmost dataset."""

_DEFAULTS = {
    "datalad.hpc.scheduler": "auto",
    "datalad.hpc.store-timeout": "60",
    "datalad.hpc.scheduler-timeout": "60",
    "datalad.hpc.missing-outputs": "error",
    "datalad.hpc.record-identity": "no",
}


@dataclass(frozen=True)
class Workplace:
    """A dataset, and the folder in it from which a command was called."""

    dataset: Any
    """DataLad's own object."""
    root: Path
    """The dataset's root, absolute, symbolic links resolved."""
    folder: str
    """Where paths are relative to: POSIX, below the root, empty for the root."""

    @classmethod
    def of(cls, dataset: Any, purpose: str) -> Workplace:
        """The workplace of a command.

        Parameters
        ----------
        dataset:
          What the user gave: a path, a Dataset, or None for the dataset around
          the current folder. Paths are relative to the dataset's root if a
          dataset was given, as in ``datalad run``.
        purpose:
          For the sentence where there is no dataset.

        Raises
        ------
        datalad.support.exceptions.NoDatasetFound
          There is no dataset.
        """
        from datalad.core.local.run import get_command_pwds
        from datalad.distribution.dataset import require_dataset

        found = require_dataset(dataset, check_installed=True, purpose=purpose)
        root = os.path.realpath(found.path)
        pwd = root if dataset is not None else os.path.realpath(get_command_pwds(None)[0])
        folder = os.path.relpath(pwd, root)
        return cls(found, Path(root), "" if folder == "." else Path(folder).as_posix())

    @property
    def here(self) -> Path:
        """The folder in full."""
        return self.root / self.folder

    @property
    def common_git_dir(self) -> Path:
        """The Git folder that all worktrees of the dataset share."""
        return common_git_dir(self.root)

    @property
    def local_state(self) -> Path:
        """Our own files that are no part of the dataset."""
        return self.common_git_dir / "datalad" / "hpc"

    @property
    def dataset_id(self) -> str:
        """DataLad's id of the dataset, empty where it has none."""
        return self.dataset.id or ""

    def setting(self, name: str) -> str:
        """A configuration item from every source but the dataset's own ``.datalad/config``."""
        found = self.dataset.config.get_from_source("local", name, default=None)
        return str(found) if found not in (None, "") else _DEFAULTS.get(name, "")

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the job store."""
        return self.setting("datalad.hpc.store") or f"sqlite:///{self.local_state / 'jobs.db'}"

    @property
    def store_scope(self) -> str:
        """Tells this dataset from others in a shared store."""
        return str(self.common_git_dir) if self.setting("datalad.hpc.store") else ""

    def seconds(self, name: str) -> float:
        """A configuration item that is a time in seconds.

        Raises
        ------
        BadRequest
          It is not a number.
        """
        text = self.setting(name)
        try:
            return float(text)
        except ValueError:
            raise BadRequest(f"The setting {name} is {text!r}, which is not a number") from None

    def claim(
        self, path: str, *, role: ClaimRole = ClaimRole.OUTPUT, base: Path | None = None
    ) -> Claim:
        """What a path stands for as an output.

        Parameters
        ----------
        path:
          Absolute, or relative to ``base``; a file, a folder or a glob.
        role:
          Why it is claimed.
        base:
          :attr:`here` if not given.

        Raises
        ------
        BadRequest
          It cannot be an output: outside the dataset, in ``.git``, not UTF-8.
        """
        relative = self.relative(path, base)
        if ".git" in relative.split("/"):
            raise BadRequest(f"{path!r} lies in Git's own folder and cannot be an output")
        is_folder = path.endswith("/") or (self.root / relative).is_dir()
        return claim_rules.claim_for(relative + "/" if is_folder else relative, role)

    def relative(self, path: str, base: Path | None = None) -> str:
        """A path relative to the root, with symbolic links on the way resolved.

        The last part is not resolved unless it is a folder: an annexed file is
        a link, and the link is what is meant.

        Raises
        ------
        BadRequest
          It is outside the dataset, empty, or cannot be written in a record.
        """
        _refuse_unwritable(path)
        base = base or self.here
        if path.startswith(f"{self.root}/"):
            # The root may have glob characters of its own.
            base, path = self.root, path[len(f"{self.root}/") :] or "."
        literal, pattern = claim_rules.split_glob(path.rstrip("/") or "/")
        if pattern and os.path.lexists(base / path):
            literal, pattern = path, ""
        below = os.path.relpath(self._resolve(base / literal), self.root)
        if below == ".." or below.startswith("../"):
            raise BadRequest(
                f"{path!r} is outside of the dataset at {self.root}; nothing was changed"
            )
        if ".." in pattern.split("/"):
            raise BadRequest(f"{path!r} has a '..' behind a glob, which could lead anywhere")
        pattern = os.path.normpath(pattern) if pattern else ""
        return "/".join(part for part in ("" if below == "." else below, pattern) if part)

    @staticmethod
    def _resolve(path: Path) -> str:
        if path.name == ".." or path.is_dir():
            return os.path.realpath(path)
        return os.path.join(os.path.realpath(path.parent), path.name)

    @contextlib.contextmanager
    def save_lock(self) -> Iterator[None]:
        """Keep others who commit outputs out of the whole hierarchy of datasets.

        Raises
        ------
        HpcError
          Somebody else has held the lock for minutes.
        """
        from datalad.support.locking import try_lock_informatively
        from fasteners import InterProcessLock

        top = self.dataset.get_superdataset(topmost=True, registered_only=False)
        path = common_git_dir(Path(os.path.realpath(top.path))) / _SAVE_LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = InterProcessLock(str(path))
        with try_lock_informatively(lock, purpose="commit the outputs of jobs") as locked:
            if not locked:
                raise HpcError(
                    f"Another process holds {path} and is committing; nothing was changed, "
                    "run `datalad finish` again when it is done"
                )
            yield


def _refuse_unwritable(path: str) -> None:
    if not path or "\0" in path:
        raise BadRequest("An empty path, or one with a NUL byte, names no file")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{path!r} is not valid UTF-8 and cannot be recorded") from None


def common_git_dir(root: Path) -> Path:
    """The shared Git folder of a work tree, read from the files that Git keeps for this.

    See gitrepository-layout(5): ``.git`` may be a file that names the folder
    (worktrees, subdatasets), which for a worktree names the shared one.
    """
    git_dir = root / ".git"
    if git_dir.is_file():
        target = git_dir.read_text().partition("gitdir:")[2].strip()
        git_dir = Path(os.path.normpath(root / target))
    common = git_dir / "commondir"
    if common.is_file():
        return Path(os.path.normpath(git_dir / common.read_text().strip()))
    return git_dir
