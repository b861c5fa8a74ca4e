"""Which file system a folder lies on, and who else sees it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

SHARED = {
    *("afs", "beegfs", "beegfs_nodev", "ceph", "cifs", "cvfs", "fhgfs", "gfs2", "gpfs"),
    *("lustre", "mmfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "quobyte", "smb3"),
    *("wekafs", "yrfs"),
    *("fuse.ceph", "fuse.ceph-fuse", "fuse.cvmfs", "fuse.daos", "fuse.glusterfs", "fuse.juicefs"),
    *("fuse.quobyte", "fuse.sshfs"),
}
"""File systems that several machines use at once."""

MEMORY = {"devtmpfs", "ramfs", "tmpfs"}

LOCAL = {
    *("aufs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "ntfs", "ntfs3"),
    *("overlay", "reiserfs", "squashfs", "vfat", "xfs", "zfs"),
}
"""File systems of one machine's own disks, which it may export to others."""

NO_LOCKS_ACROSS = {
    "lustre": {"localflock": "locks hold on one node only", "noflock": "there are no locks"},
    "nfs": {"nolock": "locks hold on one node only", "local_lock=all": "locks hold on one node"},
}
"""Mount options that take from locks what the store and finish need of them."""


class Reach(Enum):
    """Which machines see a file system."""

    SHARED = "shared between machines"
    LOCAL = "on a disk of this machine"
    MEMORY = "in the memory of this machine"
    UNKNOWN = "of a kind that is not known here"


@dataclass(frozen=True)
class Mount:
    """One line of ``/proc/self/mountinfo`` (man page proc(5))."""

    point: str
    kind: str
    source: str
    options: frozenset[str]

    @property
    def reach(self) -> Reach:
        """Which machines see it, as far as its kind tells."""
        named = ((SHARED, Reach.SHARED), (MEMORY, Reach.MEMORY), (LOCAL, Reach.LOCAL))
        return next((reach for kinds, reach in named if self.kind in kinds), Reach.UNKNOWN)

    @property
    def lock_warning(self) -> str:
        """What its options say against locks; empty where they say nothing."""
        words = NO_LOCKS_ACROSS.get(self.kind.removesuffix("4"), {})
        return next((text for option, text in words.items() if option in self.options), "")


def mount_of(folder: Path, table: str | None = None) -> Mount | None:
    """The file system that a folder lies on; ``None`` where the system does not tell.

    Parameters
    ----------
    folder:
      Absolute, with its symbolic links resolved.
    table:
      The text of ``mountinfo``; that of this process by default.
    """
    if table is None:
        try:
            table = os.fsdecode(MOUNTS.read_bytes())
        except OSError:
            return None
    mounts = [mount for line in table.splitlines() if (mount := _mount(line))]
    around = [mount for mount in mounts if folder.is_relative_to(mount.point)]
    # What was mounted later hides what lies below it.
    return max(reversed(around), key=lambda mount: len(mount.point), default=None)


def _mount(line: str) -> Mount | None:
    before, _, behind = line.partition(" - ")
    fields, more = before.split(" "), behind.split(" ")
    if len(fields) < 6 or len(more) < 3:
        return None
    options = frozenset((*fields[5].split(","), *more[2].split(",")))
    return Mount(_unescaped(fields[4]), more[0], _unescaped(more[1]), options)


def _unescaped(text: str) -> str:
    """The kernel writes blanks and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
