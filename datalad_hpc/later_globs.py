"""Pure: inputs that are globs and stay so, since another job is still to make what they match."""

from __future__ import annotations

import re
import shlex

from datalad_hpc.errors import BadRequest
from datalad_hpc.globs import DEEP

_GLOB_PIECE = re.compile(
    r"""(?P<any>[*?])|\[(?P<not>!?)(?P<set>\]?[^\]]*)\]|(?P<literal>(?:[^*?\[]|\[(?!!?\]?[^\]]*\]))+)""",
    re.DOTALL,
)
_SPECIAL_IN_SET = re.compile(r"[^\w!\-*?\[\]]")


class LaterGlob(str):
    """A glob that only the job's own shell can expand, as what it matches is still to be made."""

    __slots__ = ()


class NotHere:
    """Stands for such a glob where no shell will expand it."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __format__(self, spec: str) -> str:
        raise BadRequest(
            f"another job is still to make what the input {self._pattern} matches, so that only "
            "the job's own shell can expand it, and not here: give a plain command with {inputs} "
            "outside of quotes, let the script find the files, or name each as an input"
        )


def quote_glob(pattern: str) -> str:
    """A glob for a shell: what is literal in it is quoted, also within brackets.

    Raises
    ------
    BadRequest
      It has ``**``, which shells take for ``*``.
    """
    if DEEP in pattern.split("/"):
        raise BadRequest(
            f"another job is still to make what the input {pattern} matches, and shells take ** "
            "for *; let a script find the files, or name folders"
        )
    return _GLOB_PIECE.sub(_quoted_piece, pattern)


def _quoted_piece(found: re.Match[str]) -> str:
    if found["literal"]:
        return shlex.quote(found["literal"])
    if found["set"] is None:
        return found[0]
    return f"[{found['not']}{_SPECIAL_IN_SET.sub(_behind_backslash, found['set'])}]"


def _behind_backslash(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
