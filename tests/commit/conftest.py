"""Datasets of all kinds: made once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commit.helpers import git


@pytest.fixture
def root(dataset_template: Path, tmp_path: Path) -> Path:
    """A dataset with an annex, whose files are annexed whatever they are."""
    return shutil.copytree(dataset_template, tmp_path / "ds", symlinks=True)


@pytest.fixture(scope="session")
def text_template(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset made with ``text2git`` that nobody works in."""
    from datalad.api import create

    folder = tmp_path_factory.mktemp("text") / "ds"
    create(folder, cfg_proc="text2git", result_renderer="disabled")
    return folder


@pytest.fixture
def text_root(text_template: Path, tmp_path: Path) -> Path:
    """A dataset whose text files go to Git."""
    return shutil.copytree(text_template, tmp_path / "text", symlinks=True)


@pytest.fixture
def plain(home: Path, tmp_path: Path) -> Path:
    """A Git repository without an annex and without a commit."""
    folder = tmp_path / "plain"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


@pytest.fixture(scope="session")
def nested_template(dataset_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets within datasets (``one``, ``two`` and ``one/deep``) that nobody works in."""
    from datalad.api import Dataset

    folder = tmp_path_factory.mktemp("nested") / "ds"
    dataset = Dataset(shutil.copytree(dataset_template, folder, symlinks=True))
    for name in ("one", "two", "one/deep"):
        dataset.create(name, result_renderer="disabled")
    dataset.save(recursive=True, result_renderer="disabled")
    return folder


@pytest.fixture
def nested(nested_template: Path, tmp_path: Path) -> Path:
    """A dataset with ``one``, ``two`` and ``one/deep`` in it."""
    return shutil.copytree(nested_template, tmp_path / "nested", symlinks=True)
