"""Paths, settings and locks of a dataset, on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datalad_hpc import workplace as workplace_module
from datalad_hpc.claims import claim_for, matches
from datalad_hpc.errors import BadRequest, HpcError
from datalad_hpc.job import Claim, ClaimKind, ClaimRole
from datalad_hpc.workplace import Workplace, common_git_dir
from tests.helpers import wait_for

if TYPE_CHECKING:
    from datalad.api import Dataset

INSIDE = "sub/x"
CONFIG = "datalad.hpc.store"


def in_dataset(dataset: Dataset, folder: str, patch: pytest.MonkeyPatch) -> Workplace:
    """The workplace of somebody who stands in a folder of the dataset."""
    here = dataset.pathobj / folder
    here.mkdir(parents=True, exist_ok=True)
    patch.chdir(here)
    return Workplace.of(None, "test")


def git(*arguments: str, folder: str | Path) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("folder", "spelling"),
    [
        ("", "sub/x"),
        ("", "./sub/./x"),
        ("", "sub//x"),
        ("", "sub/../sub/x"),
        ("", "{root}/sub/x"),
        ("", "{root}//sub//x"),
        ("", "{root}/./sub/x"),
        ("", "{root}/../{name}/sub/x"),
        ("", "../{name}/sub/x"),
        ("", "{link}/sub/x"),
        ("", "gone/../sub/x"),
        ("", "to-sub/x"),
        ("", "{root}/to-sub/x"),
        ("to-sub", "x"),
        ("sub", "x"),
        ("sub", "./x"),
        ("sub", "../sub/x"),
        ("sub", "{link}/sub/x"),
        ("sub/deep/er", "../../x"),
        ("other", "../sub/x"),
        ("other", "../to-sub/x"),
    ],
)
def test_one_path_has_one_claim(
    folder: str, spelling: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = os.path.realpath(dataset.path)
    link = dataset.pathobj.parent / "link"
    link.symlink_to(root)
    (dataset.pathobj / "sub").mkdir()
    (dataset.pathobj / "to-sub").symlink_to("sub")
    workplace = in_dataset(dataset, folder, monkeypatch)
    path = spelling.format(root=root, link=link, name=dataset.pathobj.name)
    for exists in (False, True):
        if exists:
            (dataset.pathobj / "sub" / "x").touch()
        assert workplace.claim(path) == Claim("sub/x", ClaimKind.FILE)
        assert workplace.claim(path + "/") == Claim("sub/x", ClaimKind.FOLDER)
        globs = workplace.claim(path[:-1] + "*"), workplace.claim(path[:-1] + "*//y/./z")
        assert globs == (Claim("sub/*", ClaimKind.GLOB), Claim("sub/*/y/z", ClaimKind.GLOB))


def test_the_dataset_may_be_reached_through_a_link(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = dataset.pathobj.parent / "link"
    link.symlink_to(dataset.path)
    (dataset.pathobj / "sub").mkdir()
    monkeypatch.chdir(link / "sub")
    for given_as in (None, str(link)):
        workplace = Workplace.of(given_as, "test")
        assert str(workplace.root) == os.path.realpath(dataset.path)
        assert workplace.folder == ("sub" if given_as is None else "")
        assert workplace.claim(str(link / "sub" / "x")).path == "sub/x"


@pytest.mark.parametrize("path", [".", "./", "{root}", "{root}/", "sub/..", "sub/../."])
def test_the_root_is_a_folder(path: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace = in_dataset(dataset, "", monkeypatch)
    claim = workplace.claim(path.format(root=workplace.root))
    assert claim == Claim("", ClaimKind.FOLDER)


def test_an_existing_folder_needs_no_slash(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = in_dataset(dataset, "", monkeypatch)
    (dataset.pathobj / "out").mkdir()
    assert workplace.claim("out") == Claim("out", ClaimKind.FOLDER)
    assert workplace.claim("new/") == Claim("new", ClaimKind.FOLDER)
    assert workplace.claim("new", role=ClaimRole.LOG) == Claim("new", ClaimKind.FILE, ClaimRole.LOG)


def test_an_annexed_file_is_its_link(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    (dataset.pathobj / "data").write_bytes(b"\0" * 100)
    dataset.save(result_renderer="disabled")
    assert (dataset.pathobj / "data").is_symlink()
    workplace = in_dataset(dataset, "", monkeypatch)
    assert workplace.claim("data") == Claim("data", ClaimKind.FILE)


def test_a_name_with_glob_characters_is_a_file_of_that_name_too(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = in_dataset(dataset, "a[1]", monkeypatch)
    claim = workplace.claim("b*.txt")
    assert matches(claim, "a[1]/b2.txt")
    assert not matches(claim, "a1/b2.txt")
    assert workplace.claim("../a[1]/x").path == "a[1]/x"
    assert matches(workplace.claim("x"), "a[1]/x")
    (workplace.here / "b*.txt").touch()
    assert workplace.claim("b*.txt").path == "a[1]/b*.txt"


def test_the_root_may_have_glob_characters(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = dataset.pathobj.rename(dataset.pathobj.parent / "d[s]*")
    link = renamed.parent / "l[i]nk"
    link.symlink_to(renamed)
    for place in (renamed, link):
        monkeypatch.chdir(place)
        workplace = Workplace.of(str(place), "test")
        assert workplace.claim(f"{place}/sub/x*") == claim_for("sub/x*")
        assert workplace.claim(f"{place}/sub/x") == claim_for("sub/x")
        assert workplace.claim(str(place)) == claim_for(".")
        assert workplace.claim("x?") == claim_for("x?")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "empty path"),
        ("a\0b", "NUL byte"),
        ("a\udcff", "not valid UTF-8"),
        ("..", "outside of the dataset"),
        ("../x", "outside of the dataset"),
        ("sub/../../x", "outside of the dataset"),
        ("../*", "outside of the dataset"),
        ("/", "outside of the dataset"),
        ("/etc/passwd", "outside of the dataset"),
        ("{root}2/x", "outside of the dataset"),
        ("{root}/../x", "outside of the dataset"),
        ("out/x", "outside of the dataset"),
        ("out/deep/*", "outside of the dataset"),
        ("out", "outside of the dataset"),
        ("*/../x", "behind a glob"),
        ("a*/../../x", "behind a glob"),
        (".git", "Git's own folder"),
        (".git/config", "Git's own folder"),
        ("sub/.git/x", "Git's own folder"),
        ("*/.git", "Git's own folder"),
        ("into-git/x", "Git's own folder"),
        ("x" * 300, "too long"),
        ("a/" + "x" * 300 + "/y", "too long"),
        ("a/" * 3000 + "x", "too long"),
    ],
)
def test_what_cannot_be_an_output_is_refused(
    path: str, words: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workplace = in_dataset(dataset, "", monkeypatch)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (dataset.pathobj / "out").symlink_to(tmp_path / "elsewhere")
    (dataset.pathobj / "into-git").symlink_to(".git")
    (dataset.pathobj / "a").mkdir()
    with pytest.raises(BadRequest, match=words):
        workplace.claim(path.format(root=workplace.root))


def test_a_sentence_names_the_path_as_it_was_given(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = in_dataset(dataset, "sub", monkeypatch)
    with pytest.raises(BadRequest) as caught:
        workplace.claim(f"{workplace.root}/../x")
    assert repr(f"{workplace.root}/../x") in str(caught.value)


@pytest.fixture
def workplace(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    return in_dataset(dataset, "sub", monkeypatch)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(["a", "..", ".", "", "sub", "*", "a[", "é", "\n", "-x"]), max_size=6)
)
def test_any_spelling_is_normal_or_refused(workplace: Workplace, parts: list[str]) -> None:
    try:
        claim = workplace.claim("/".join(parts) if parts else "x")
    except BadRequest:
        return
    names = claim.path.split("/") if claim.path else []
    assert not {"", ".", ".."} & set(names)
    assert workplace.claim(claim.path or ".", base=workplace.root).path == claim.path


def test_given_the_dataset_paths_are_those_of_its_root(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = in_dataset(dataset, "sub", monkeypatch)
    assert (here.folder, here.here) == ("sub", here.root / "sub")
    for given_as in (dataset, dataset.path, "..", "^."):
        there = Workplace.of(given_as, "test")
        assert (there.folder, there.root, there.here) == ("", here.root, here.root)
        assert there.claim("x").path == "x"


def test_no_dataset_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datalad.support.exceptions import NoDatasetFound

    monkeypatch.chdir(tmp_path)
    for given_as in (None, str(tmp_path), str(tmp_path / "gone")):
        with pytest.raises(NoDatasetFound):
            Workplace.of(given_as, "test")


LED_BY_A_LINK = """
from datalad_hpc.workplace import Workplace
Workplace.of(None, "test")
"""


def test_a_folder_that_a_link_led_to_is_not_in_the_dataset(
    dataset: Dataset, tmp_path: Path
) -> None:
    """A shell keeps the way that the user came in PWD, and DataLad follows it."""
    (tmp_path / "elsewhere").mkdir()
    here = dataset.pathobj / "out"
    here.symlink_to(tmp_path / "elsewhere")
    package = str(Path(workplace_module.__file__).parent.parent)
    ended = subprocess.run(
        [sys.executable, "-c", LED_BY_A_LINK],
        cwd=here,
        env={**os.environ, "PWD": str(here), "PYTHONPATH": package},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "datalad_hpc.errors.BadRequest: A symbolic link in" in ended.stderr
    assert "which is no part of the dataset" in ended.stderr


def test_settings_are_not_taken_from_what_others_committed(workplace: Workplace) -> None:
    """A clone must not send its jobs to a database that its author has chosen."""
    dataset, root = workplace.dataset, workplace.root
    own = str(common_git_dir(root) / "datalad" / "hpc" / "jobs.db")
    git("config", "-f", ".datalad/config", CONFIG, "sqlite:////committed", folder=root)
    git("config", "-f", ".datalad/config", "datalad.hpc.store-timeout", "1", folder=root)
    dataset.config.reload(force=True)
    assert (workplace.setting(CONFIG), workplace.store_url, workplace.store_scope) == ("", own, "")
    assert workplace.seconds("datalad.hpc.store-timeout") == 60
    git("config", "--add", CONFIG, "sqlite:////first", folder=root)
    git("config", "--add", CONFIG, "sqlite:////mine", folder=root)
    dataset.config.reload(force=True)
    assert workplace.store_url == "sqlite:////mine"
    assert workplace.store_scope == str(common_git_dir(root))


@pytest.mark.parametrize("committed", [True, False])
def test_the_environment_comes_before_the_configuration(
    committed: bool, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    if committed:
        git("config", "-f", ".datalad/config", CONFIG, "sqlite:////no", folder=workplace.root)
    git("config", CONFIG, "sqlite:////configured", folder=workplace.root)
    monkeypatch.setenv("DATALAD_HPC_STORE", "sqlite:////told")
    monkeypatch.setenv("DATALAD_HPC_STORE__TIMEOUT", "2.5")
    workplace.dataset.config.reload(force=True)
    assert workplace.store_url == "sqlite:////told"
    assert workplace.seconds("datalad.hpc.store-timeout") == 2.5


def test_a_setting_that_is_no_number_is_named(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALAD_HPC_STORE__TIMEOUT", "soon")
    workplace.dataset.config.reload(force=True)
    with pytest.raises(BadRequest, match=r"datalad\.hpc\.store-timeout is 'soon'"):
        workplace.seconds("datalad.hpc.store-timeout")


def test_settings_have_defaults(workplace: Workplace) -> None:
    assert workplace.setting("datalad.hpc.scheduler") == "auto"
    assert workplace.setting("datalad.hpc.missing-outputs") == "error"
    assert workplace.setting("datalad.hpc.nothing") == ""
    assert workplace.dataset_id == workplace.dataset.id


def test_all_worktrees_share_a_git_folder(dataset: Dataset, tmp_path: Path) -> None:
    main = Path(os.path.realpath(dataset.path))
    assert common_git_dir(main) == main / ".git"
    git("worktree", "add", "--detach", str(tmp_path / "tree two "), folder=main)
    other = Path(os.path.realpath(tmp_path / "tree two "))
    assert common_git_dir(other) == main / ".git"
    one, two = Workplace.of(str(main), "test"), Workplace.of(str(other), "test")
    assert one.store_url == two.store_url
    assert one.local_state == two.local_state == main / ".git" / "datalad" / "hpc"


def test_a_subdataset_has_a_git_folder_of_its_own(dataset: Dataset) -> None:
    inner = dataset.create("sub/inner", result_renderer="disabled").pathobj
    git("submodule", "absorbgitdirs", folder=dataset.path)
    top = Path(os.path.realpath(dataset.path))
    modules = top / ".git" / "modules" / "sub" / "inner"
    expected = modules if modules.is_dir() else top / "sub" / "inner" / ".git"
    assert common_git_dir(Path(os.path.realpath(inner))) == expected
    assert Workplace.of(str(inner), "test").common_git_dir == expected


HOLDER = """
import sys, time
from pathlib import Path
from fasteners import InterProcessLock
with InterProcessLock(sys.argv[1]):
    Path(sys.argv[2], "held").touch()
    while not Path(sys.argv[2], "enough").exists():
        time.sleep(0.02)
    Path(sys.argv[2], "released").touch()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[list[str]]:
    """Command of a process that holds a lock until it is told that it is enough."""
    yield [sys.executable, "-c", HOLDER]
    (tmp_path / "enough").touch()


def test_the_save_lock_keeps_other_processes_out(
    dataset: Dataset, holder: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is core's, at the top of the hierarchy, also from a subdataset."""
    lock = dataset.pathobj / ".git" / "datalad" / "run-save.lck"
    inner = Workplace.of(dataset.create("inner", result_renderer="disabled").path, "test")
    with inner.save_lock():
        assert lock.exists()
    process = subprocess.Popen([*holder, str(lock), str(tmp_path)])
    wait_for((tmp_path / "held").exists)
    monkeypatch.setattr(workplace_module, "LOCK_PATIENCE", (0.1, 0.1))
    with pytest.raises(HpcError, match=r"holds .*run-save\.lck and is committing"):
        enter(inner)
    (tmp_path / "enough").touch()
    monkeypatch.setattr(workplace_module, "LOCK_PATIENCE", (30,))
    with inner.save_lock():
        assert (tmp_path / "released").exists()
    assert process.wait(30) == 0


def test_the_save_lock_is_the_same_by_whatever_way_one_came(
    dataset: Dataset, tmp_path: Path
) -> None:
    dataset.create("inner", result_renderer="disabled")
    (tmp_path / "link").symlink_to(dataset.pathobj / "inner")
    lock = dataset.pathobj / ".git" / "datalad" / "run-save.lck"
    with Workplace.of(str(tmp_path / "link"), "test").save_lock():
        assert lock.exists()


def enter(workplace: Workplace) -> None:
    with workplace.save_lock():
        pass


def test_an_error_under_the_save_lock_is_not_taken_for_a_lock(workplace: Workplace) -> None:
    def fail() -> None:
        with workplace.save_lock():
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        fail()
    enter(workplace)


def test_a_lock_that_cannot_be_made_is_an_error_with_a_reason(workplace: Workplace) -> None:
    (workplace.common_git_dir / "datalad").mkdir(exist_ok=True)
    (workplace.common_git_dir / "datalad" / "run-save.lck").mkdir()
    with pytest.raises(HpcError, match="cannot be locked"):
        enter(workplace)
