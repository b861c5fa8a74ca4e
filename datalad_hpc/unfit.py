"""What no file in a commit can be called, and so no output can be."""

from __future__ import annotations

import os
from pathlib import Path

from datalad_hpc.errors import BadRequest
from datalad_hpc.located import is_gits_own


def refuse_unwritable(path: str) -> None:
    """Refuse a path that cannot be written in a record.

    Raises
    ------
    BadRequest
      It is empty, has a NUL byte or is not UTF-8.
    """
    if not path or "\0" in path:
        raise BadRequest("an empty path, or one with a NUL byte, names no file")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{path!r} is not valid UTF-8 and cannot be recorded") from None


def refuse_gits_own(path: str, given: str) -> None:
    """Refuse a path that Git refuses; ``given`` is how the user spelled it.

    Raises
    ------
    BadRequest
      It is in Git's own folder, or could be on some system.
    """
    if is_gits_own(path):
        raise BadRequest(
            f"{given!r} lies in Git's own folder, or has a name that Git takes for its own on some "
            "system and refuses; it cannot be an output"
        )


def refuse_too_long(root: Path, path: str, given: str) -> None:
    """Refuse a path below ``root`` that the file system does not take.

    Raises
    ------
    BadRequest
      It, or a name in it, is too long.
    """
    # Whether the folders are there already or not: so nobody can just try.
    longest = max(len(os.fsencode(name)) for name in path.split("/"))
    whole = len(os.fsencode(root / path))
    if longest > os.pathconf(root, "PC_NAME_MAX") or whole >= os.pathconf(root, "PC_PATH_MAX"):
        raise BadRequest(f"{given!r} is too long for the name of a file")
