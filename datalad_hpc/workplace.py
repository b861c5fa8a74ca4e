"""Where a command works: the dataset, the folder below its root, its settings and its lock."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from datalad_hpc import claims as claim_rules
from datalad_hpc.commit.head import common_dir_of, common_git_dir, own_git_dir
from datalad_hpc.errors import BadRequest, HpcError, SaveLockHeld
from datalad_hpc.globs import split_glob
from datalad_hpc.job import Claim, ClaimRole
from datalad_hpc.settings import DEFAULTS, TRUE
from datalad_hpc.unfit import refuse_gits_own, refuse_too_long, refuse_unwritable

_SAVE_LOCK = Path("datalad", "run-save.lck")
"""The lock of DataLad core's own concurrent ``run``, in the Git folder of the topmost dataset."""

LOCK_PATIENCE = (5, 60, 240)
"""Seconds of several waits for the lock; the user is told after each."""


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
        BadRequest
          The current folder only seems to be in it.
        """
        from datalad.distribution.dataset import require_dataset

        found = require_dataset(dataset, check_installed=True, purpose=purpose)
        root = os.path.realpath(found.path)
        pwd = root if dataset is not None else os.getcwd()
        folder = os.path.relpath(pwd, root)
        if _leads_out(folder):
            raise BadRequest(
                f"A symbolic link in {root} led to the current folder {pwd}, which is no part of "
                "the dataset; call the command from a folder of the dataset, or give it with -d"
            )
        return cls(found, Path(root), "" if folder == "." else Path(folder).as_posix())

    @cached_property
    def config(self) -> Any:
        """DataLad's configuration of the dataset, which looks at the repository when asked for."""
        return self.dataset.config

    @property
    def here(self) -> Path:
        """The folder in full."""
        return self.root / self.folder

    @cached_property
    def own_git_dir(self) -> Path:
        """The Git folder of this worktree."""
        return own_git_dir(self.root)

    @cached_property
    def common_git_dir(self) -> Path:
        """The Git folder that all worktrees of the dataset share."""
        return common_dir_of(self.own_git_dir)

    @cached_property
    def worktree(self) -> str:
        """Which of the worktrees this is; see :attr:`.Job.worktree`."""
        own = os.path.relpath(self.own_git_dir, self.common_git_dir)
        return "" if own == "." else own

    def root_of(self, worktree: str) -> Path:
        """Where a worktree of the dataset lies; it may have been removed."""
        if not worktree:
            return self.common_git_dir.parent
        link = self.common_git_dir / worktree / "gitdir"
        return Path(link.read_text().strip()).parent if link.is_file() else link

    @property
    def local_state(self) -> Path:
        """Our own files that are no part of the dataset."""
        return self.common_git_dir / "datalad" / "hpc"

    @property
    def scratch_dir(self) -> Path:
        """A folder in the dataset's file system for files that are half written.

        For those who hold the save lock: what is in it goes with the lock, at the latest when
        the next one has it; so it is made each time that it is asked for.
        """
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch

    @property
    def _scratch(self) -> Path:
        return self.own_git_dir / "datalad" / "hpc" / "half"

    @cached_property
    def dataset_id(self) -> str:
        """DataLad's id of the dataset, empty where it has none."""
        return self.dataset.id or ""

    def setting(self, name: str) -> str:
        """A configuration item from every source but the dataset's own ``.datalad/config``."""
        found = self.config.get_from_source("local", name, default=None)
        if isinstance(found, tuple):
            # Set several times: as in Git, the last one counts.
            found = found[-1]
        return str(found) if found not in (None, "") else DEFAULTS.get(name, "")

    def is_on(self, name: str) -> bool:
        """Whether a configuration item is switched on."""
        return self.setting(name).lower() in TRUE

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL, or absolute path, of the job store."""
        return self.setting("datalad.hpc.store") or str(self.local_state / "jobs.db")

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
            raise BadRequest(f"the setting {name} is {text!r}, which is not a number") from None

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
        refuse_gits_own(relative, path)
        is_folder = path.endswith("/") or os.path.isdir(self.root / relative)
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
        refuse_unwritable(path)
        given, base = path, base or self.here
        for root in (str(self.root), self.dataset.path):
            if f"{path}/".startswith(f"{root}/"):
                # The root may have glob characters of its own.
                base, path = self.root, path[len(root) :].strip("/") or "."
        literal, pattern = split_glob(path.rstrip("/") or "/")
        if pattern and os.path.lexists(base / path):
            literal, pattern = path, ""
        below = os.path.relpath(self._resolve(base / literal), self.root)
        if _leads_out(below):
            raise BadRequest(f"{given!r} is outside of the dataset at {self.root}")
        if ".." in pattern.split("/"):
            raise BadRequest(f"{given!r} has a '..' behind a glob, which could lead anywhere")
        refuse_too_long(self.root, below, given)
        below = "" if below == "." else below
        if not pattern:
            return below
        return "/".join(part for part in (glob.escape(below), os.path.normpath(pattern)) if part)

    def refuse_unfit(self, path: str) -> None:
        """Refuse a path below the root that no file in a commit can have.

        Raises
        ------
        BadRequest
          It is in Git's own folder, too long, or cannot be written in a record.
        """
        refuse_unwritable(path)
        refuse_gits_own(path, path)
        refuse_too_long(self.root, path, path)

    def without_links(self, path: str) -> str:
        """A path below the root, relative to it, with the links on the way resolved."""
        return os.path.relpath(self._resolve(self.root / path), self.root)

    @staticmethod
    def _resolve(path: Path) -> str:
        if path.name == ".." or os.path.isdir(path):
            return os.path.realpath(path)
        return os.path.join(os.path.realpath(path.parent), path.name)

    @contextlib.contextmanager
    def save_lock(self) -> Iterator[None]:
        """Keep others who commit outputs out of the whole hierarchy of datasets.

        Raises
        ------
        SaveLockHeld
          Somebody else has held the lock for minutes.
        HpcError
          It cannot be had at all.
        """
        from datalad.distribution.dataset import Dataset
        from datalad.support.locking import try_lock_informatively
        from fasteners import InterProcessLock

        # By its real path: another way to the dataset may not lead through what contains it.
        top = Dataset(str(self.root)).get_superdataset(topmost=True, registered_only=False)
        path = common_git_dir(Path(os.path.realpath(top.path))) / _SAVE_LOCK
        with contextlib.ExitStack() as held:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = InterProcessLock(str(path))
                held.enter_context(
                    try_lock_informatively(lock, "commit the outputs of jobs", LOCK_PATIENCE)
                )
            except RuntimeError as error:
                raise SaveLockHeld(
                    f"Another process holds {path} and is committing; nothing was changed, "
                    "run `datalad finish` again when it is done"
                ) from error
            except OSError as error:
                raise HpcError(
                    f"{path} cannot be locked, so nothing was changed: {error.strerror}; put that "
                    "right and run `datalad finish` again"
                ) from error
            held.callback(shutil.rmtree, self._scratch, ignore_errors=True)
            shutil.rmtree(self._scratch, ignore_errors=True)
            yield


def _leads_out(relative: str) -> bool:
    return relative == ".." or relative.startswith("../")
