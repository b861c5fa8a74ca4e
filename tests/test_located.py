"""Where outputs lie, in a hierarchy of repositories."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalad_hpc import process
from datalad_hpc.claims import claim_for
from datalad_hpc.located import Locator, Place, is_gits_own


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folders with ``.git``, as Git sees repositories, one of them with a file of that name."""
    for folder in (".git", "sub/.git/objects", "sub/in", "sub/deep/er/.git", "plain/x"):
        (tmp_path / folder).mkdir(parents=True)
    files = "a.txt b.dat plain/x/c.txt sub/d.txt sub/in/e.txt sub/deep/er/f.txt sub/.git/config"
    for file in [*files.split(), "a[1].txt", "plain/.hidden"]:
        (tmp_path / file).write_text(file)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_text("gitdir: ../.git/worktrees/tree\n")
    (tmp_path / "tree" / "g.txt").touch()
    (tmp_path / "link").symlink_to("sub")
    (tmp_path / "broken").symlink_to("nowhere")
    return tmp_path


def found(root: Path, path: str) -> list[str]:
    return [place.full for place, status in Locator(root).files(claim_for(path)) if status]


@pytest.mark.parametrize(
    ("path", "repository", "inner"),
    [
        ("", "", ""),
        ("a.txt", "", "a.txt"),
        ("plain/x/c.txt", "", "plain/x/c.txt"),
        ("gone/away", "", "gone/away"),
        ("sub", "sub", ""),
        ("sub/d.txt", "sub", "d.txt"),
        ("sub//in/new/x", "sub", "in/new/x"),
        ("sub/deep/x", "sub", "deep/x"),
        ("sub/deep/er/f.txt", "sub/deep/er", "f.txt"),
        ("tree/g.txt", "tree", "g.txt"),
        ("link", "", "link"),
    ],
)
def test_a_path_belongs_to_the_deepest_repository(
    root: Path, path: str, repository: str, inner: str
) -> None:
    locator = Locator(root)
    for _ in range(2):  # the second answer is remembered
        place = locator.place(path)
        assert place == Place(repository, inner)
        assert place.full == path.replace("//", "/")


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("a.txt", ["a.txt"]),
        ("gone", []),
        ("a.txt/below", []),
        ("plain/", ["plain/.hidden", "plain/x/c.txt"]),
        ("sub", ["sub/d.txt", "sub/deep/er/f.txt", "sub/in/e.txt"]),
        ("*.txt", ["a.txt", "a[1].txt"]),
        ("a[1].txt", ["a[1].txt"]),
        ("a[[]1].txt", ["a[1].txt"]),
        ("*/*.txt", ["sub/d.txt", "tree/g.txt"]),
        ("**/[e-f].txt", ["sub/deep/er/f.txt", "sub/in/e.txt"]),
        ("link", ["link"]),
        ("broken", ["broken"]),
        ("plain/*", ["plain/x/c.txt"]),
        ("sub/.g*", []),
    ],
)
def test_files_of_a_claim(root: Path, path: str, files: list[str]) -> None:
    assert sorted(found(root, path)) == files


def test_the_root_has_all_files_but_gits_own(root: Path) -> None:
    files = found(root, ".")
    assert len(files) == len(set(files)) == 11
    assert not [file for file in files if ".git" in file]


def test_files_come_with_their_own_status(root: Path) -> None:
    ((place, status),) = Locator(root).files(claim_for("broken"))
    assert place == Place("", "broken")
    assert status
    assert status.st_ino == os.lstat(root / "broken").st_ino


def test_tops_of_repositories_come_before_their_files(root: Path) -> None:
    places = [(p.full, bool(status)) for p, status in Locator(root).files(claim_for("sub/"))]
    assert places[0] == ("sub", False)
    assert places.index(("sub/deep/er", False)) < places.index(("sub/deep/er/f.txt", True))


def test_a_repository_is_told_of_though_its_files_are_gone(root: Path) -> None:
    """What a job deleted there has to be found by its absence."""
    (root / "sub" / "d.txt").unlink()
    assert (Place("sub", ""), None) in list(Locator(root).files(claim_for("s*/d.txt")))
    assert (Place("tree", ""), None) not in list(Locator(root).files(claim_for("s*/d.txt")))


def test_folders_without_outputs_are_not_entered(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A glob beside the dataset's folders must not cost a walk through all of them."""
    entered = []
    scandir = os.scandir

    def watched(folder: Path) -> object:
        entered.append(os.path.relpath(folder, root))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", watched)
    assert found(root, "slurm-1_*.out") == []
    assert found(root, "pl*/x/*.txt") == ["plain/x/c.txt"]
    assert entered == [".", ".", "plain", "plain/x"]


def test_names_may_be_anything(root: Path) -> None:
    for name in ("a\nb", "-n", "ä ö", "{x}", "'\"", "\udcff"):
        (root / "plain" / name).touch()
        assert found(root, f"plain/{name}") == [f"plain/{name}"]
        assert f"plain/{name}" in found(root, "plain/")


GITTISH = st.text(".gitGIT~1 x\\:$ſ\u200c\ufeff", max_size=10) | st.tuples(
    st.sampled_from(["", "x", "x\\", ":\\", "\\\\"]),
    st.sampled_from([".git", ".GIT", "git~1", "GiT~1", ".gitx", "git~2", ".g\u200cit", ".gıt"]),
    st.sampled_from(["", ".", " ", ". .", "\\", ":", "::$x", "x", "\n"]),
).map("".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(GITTISH.filter(lambda name: name not in ("", ".", "..")), min_size=1, max_size=2))
def test_gits_own_names_are_those_that_git_refuses(names: list[str]) -> None:
    path = "/".join(names)
    argv = [
        "git",
        "-c",
        "core.protectHFS=true",
        "update-index",
        "--add",
        "--cacheinfo",
        f"100644,{'0' * 39}1,{path}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        # No repository is needed to have a path looked at: that comes first.
        (Path(folder) / ".git" / "objects").mkdir(parents=True)
        (Path(folder) / ".git" / "refs").mkdir()
        (Path(folder) / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        ended = process.run(argv, folder=folder)
    if is_gits_own(path) != bool(ended.code):
        # Git overlooks a backslash where a name starts, and does not mix the rules of systems.
        assert is_gits_own(path), ended.complaint
        assert any(name.startswith("\\") or not name.isprintable() for name in names)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".gitmodules", False),
        ("d/.gitmodules", False),
        (".GITMODULES", True),  # as a link, which an annexed file is
        (".gitmodules/x", True),
        ("d/.gitattributes/x", True),
        ("d/.gitattributes", False),
        (".gitattributes ./x", True),
        ("gitatt~1/x", True),
        (".gitattributesx/x", False),
        (".gitignore/x", False),
        ("x\n.git", False),
        ("", False),
    ],
)
def test_gits_own_names(path: str, expected: bool) -> None:
    assert is_gits_own(path) is expected
