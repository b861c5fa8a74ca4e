"""What a file or a folder holds, as Git and git-annex know it: nothing is read and hashed anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

from datalad_hpc.commit.head import ask_git
from datalad_hpc.commit.trees import ANNEX_OBJECTS, ANNEX_POINTER

_CHECKSUM_KEY = re.compile(
    r"(?P<kind>MD5|SHA\d+|SHA3_\d+|SKEIN\d+|BLAKE\d\w*?)E?-(?:[a-zA-Z]\d+-)*-(?P<sum>[0-9a-f]+)"
)
"""A key whose name is a checksum (git-annex's backends); ``E`` has it keep the file's extension."""

_NO_REVISION = re.compile("[\n\0]")


def digest(root: Path, path: str) -> str:
    """A short text that changes when the content does; at most one process is started.

    Parameters
    ----------
    root:
      Top of the dataset.
    path:
      A file or a folder below it, also in a subdataset.

    Returns
    -------
    str
      Of an annexed file the checksum in its key, such as ``md5:…`` or ``sha256:…``, or else the
      whole key; of anything else ``git:`` and the id of the blob or tree in the commit that is
      checked out. Empty where none is known.
    """
    full = root / path
    if full.is_symlink() and ANNEX_OBJECTS in (target := os.readlink(full)):
        return _of_key(os.path.basename(target))
    top = next((above for above in full.parents if os.path.lexists(above / ".git")), root)
    if _NO_REVISION.search(path) or not full.is_relative_to(top):
        return ""
    asked = f"HEAD:{full.relative_to(top).as_posix()}\n"
    answer = ask_git(top, "cat-file", "--batch", stdin=os.fsencode(asked))
    header, _, content = answer.partition(b"\n")
    words = header.split()
    if len(words) != 3 or words[1] not in (b"blob", b"tree"):
        return ""
    if content.startswith(ANNEX_POINTER):
        return _of_key(os.path.basename(content.splitlines()[0].decode(errors="replace")))
    return f"git:{words[0].decode()}"


def _of_key(key: str) -> str:
    found = _CHECKSUM_KEY.match(key)
    return f"{found['kind'].lower()}:{found['sum']}" if found else key
