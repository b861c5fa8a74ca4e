"""Which file system a folder lies on, by the kernel's table."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalad_hpc.checking.mounts import Reach, mount_of

TABLE = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:25 / /scratch rw,noatime - lustre 10.0.0.1@o2ib:/work rw,flock,lazystatfs
31 30 0:26 / /scratch/with\\040blank rw - tmpfs none rw
32 27 0:27 / /home rw,relatime shared:5 - nfs4 filer:/home rw,vers=4.2,local_lock=none
33 27 0:28 / /old rw - lustre 10.0.0.1@o2ib:/old rw,localflock
34 27 0:29 / /half rw - nfs filer:/half rw,nolock
35 27 0:30 / /twice rw - xfs /dev/vdb rw
36 27 0:31 / /twice rw - beegfs beegfs_nodev rw
37 27 0:32 / /odd rw - fuse.own own rw
a line that nobody understands
"""


@pytest.mark.parametrize(
    ("folder", "kind", "reach"),
    [
        ("/somewhere", "ext4", Reach.LOCAL),
        ("/scratch/me/ds", "lustre", Reach.SHARED),
        ("/scratch/with blank/ds", "tmpfs", Reach.MEMORY),
        ("/scratch/with", "lustre", Reach.SHARED),
        ("/home/me", "nfs4", Reach.SHARED),
        ("/homes/me", "ext4", Reach.LOCAL),
        ("/twice", "beegfs", Reach.SHARED),
        ("/odd", "fuse.own", Reach.UNKNOWN),
    ],
)
def test_the_innermost_and_latest_mount_counts(folder: str, kind: str, reach: Reach) -> None:
    mount = mount_of(Path(folder), TABLE)
    assert mount
    assert (mount.kind, mount.reach) == (kind, reach)


@pytest.mark.parametrize(
    ("folder", "warned"), [("/scratch", False), ("/home", False), ("/old", True), ("/half", True)]
)
def test_options_that_take_the_sense_from_locks_are_told(folder: str, warned: bool) -> None:
    mount = mount_of(Path(folder), TABLE)
    assert mount
    assert bool(mount.lock_warning) == warned


def test_no_table_no_mount() -> None:
    assert mount_of(Path("/x"), "") is None


def test_this_machine_tells(tmp_path: Path) -> None:
    mount = mount_of(tmp_path.resolve())
    assert mount
    assert tmp_path.resolve().is_relative_to(mount.point)
