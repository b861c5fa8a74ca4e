"""Reading commits and trees through one ``git cat-file --batch`` process.

Only the trees on the way to what is asked for are read, whatever the size of
the repository, and paths never go through Git's own revision syntax.
"""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from datalad_hpc import process
from datalad_hpc.commit.repository import Repository
from datalad_hpc.errors import CommitFailed

TREE = "40000"
FILE = "100644"
LINK = "120000"
SUBDATASET = "160000"

ANNEX_OBJECTS = "annex/objects/"
"""What the target of a locked annexed file's link has in it."""

ANNEX_POINTER = b"/annex/objects/"
"""How the content of an unlocked annexed file starts in Git (git-annex's pointer files)."""


@dataclass(frozen=True)
class Entry:
    """What a tree says of one path."""

    mode: str
    """``100644``, ``100755``, ``120000`` (symbolic link) or ``160000`` (subdataset)."""
    oid: str


class _Tree(dict[str, Entry]):
    """What is in one folder."""

    @cached_property
    def _order(self) -> list[str]:
        return sorted(self)

    def beginning_with(self, text: str) -> Iterator[tuple[str, Entry]]:
        """What has a name that begins so; the others are not looked at."""
        if not text:
            yield from self.items()
            return
        for name in islice(self._order, bisect_left(self._order, text), None):
            if not name.startswith(text):
                return
            yield name, self[name]


class TreeReader:
    """The tree of one commit; made by :func:`reading_tree`."""

    def __init__(self, git: process.Conversation, repository: Repository, commit: str) -> None:
        """Take a running ``git cat-file --batch`` and a commit; no commit is an empty tree."""
        self._git = git
        self._repository = repository
        self._id_size = len(repository.empty_tree) // 2
        self._trees: dict[str, _Tree] = {}
        self._root = self._tree_of_commit(commit) if commit else _Tree()

    def of(self, commit: str) -> TreeReader:
        """The tree of another commit, read by the same process."""
        return TreeReader(self._git, self._repository, commit)

    def entry(self, path: str) -> Entry | None:
        """The entry of a path, ``None`` where there is none."""
        tree = self._root
        *folders, name = path.split("/")
        for folder in folders:
            entry = tree.get(folder)
            if entry is None or entry.mode != TREE:
                return None
            tree = self._tree(entry.oid)
        return tree.get(name)

    def has_file(self, path: str) -> bool:
        """Whether there is anything but a folder at a path."""
        entry = self.entry(path)
        return entry is not None and entry.mode != TREE

    def below(
        self, path: str, enters: Callable[[str], bool], stem: str = ""
    ) -> Iterator[tuple[str, Entry]]:
        """Files and subdatasets at and below a path; the empty path is the root.

        Parameters
        ----------
        path:
          Where to start.
        enters:
          Says of a folder whether it is worth reading.
        stem:
          What each path that is wanted begins with, once a slash is put behind it; some others
          may be found as well.
        """
        entry = self.entry(path) if path else None
        if not path:
            yield from self._walk("", self._root, enters, stem)
        elif entry and entry.mode == TREE:
            yield from self._walk(path + "/", self._tree(entry.oid), enters, stem)
        elif entry:
            yield path, entry

    def content(self, oid: str) -> bytes:
        """The content of an object."""
        return self._read(oid)

    def is_pointer(self, entry: Entry | None) -> bool:
        """Whether the entry is an unlocked annexed file."""
        if entry is None or entry.mode in (TREE, LINK, SUBDATASET):
            return False
        return self.content(entry.oid).startswith(ANNEX_POINTER)

    def _walk(
        self, prefix: str, tree: _Tree, enters: Callable[[str], bool], stem: str
    ) -> Iterator[tuple[str, Entry]]:
        for name, entry in tree.beginning_with(_next_name(stem, prefix)):
            if entry.mode != TREE:
                yield prefix + name, entry
            elif enters(prefix + name):
                yield from self._walk(f"{prefix}{name}/", self._tree(entry.oid), enters, stem)

    def _tree_of_commit(self, commit: str) -> _Tree:
        return self._parse(self._read(commit + "^{tree}"))

    def _tree(self, oid: str) -> _Tree:
        if oid not in self._trees:
            self._trees[oid] = self._parse(self._read(oid))
        return self._trees[oid]

    def _parse(self, content: bytes) -> _Tree:
        entries, position = _Tree(), 0
        while position < len(content):
            blank = content.index(b" ", position)
            end = content.index(b"\0", blank)
            oid = content[end + 1 : end + 1 + self._id_size].hex()
            name = os.fsdecode(content[blank + 1 : end])
            entries[name] = Entry(content[position:blank].decode(), oid)
            position = end + 1 + self._id_size
        return entries

    def _read(self, name: str) -> bytes:
        self._git.stdin.write(name.encode() + b"\n")
        self._git.stdin.flush()
        header = self._git.stdout.readline().split()
        if len(header) != 3:
            raise CommitFailed(f"Git has no object {name}; `git fsck` tells what is damaged")
        content = self._git.stdout.read(int(header[2]))
        self._git.stdout.read(1)
        return content


def _next_name(stem: str, folder: str) -> str:
    """What names in a folder begin with that lie on the way to what begins with a stem."""
    return stem[len(folder) :].partition("/")[0] if stem.startswith(folder) else ""


@contextlib.contextmanager
def reading_tree(repository: Repository, commit: str | None = None) -> Iterator[TreeReader]:
    """Read the tree of a commit; of the one that is checked out if none is given."""
    with repository.talk("cat-file", "--batch") as git:
        yield TreeReader(git, repository, repository.tip if commit is None else commit)
