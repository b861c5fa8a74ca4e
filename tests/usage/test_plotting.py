"""Pictures: those that can be drawn are sound, all others are refused beforehand."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib import image
from matplotlib.figure import Figure

from datalad_hpc.errors import BadRequest
from datalad_hpc.spent import Asked, Measured
from datalad_hpc.usage.plotting import _draw_panel, _panels, draw, refuse_unfit
from datalad_hpc.usage.table import table
from datalad_hpc.usage.values import JobUse, TaskUse

G = 2**30
PNG = b"\x89PNG\r\n\x1a\n"


def job(number: int, **asked: float) -> JobUse:
    tasks = [
        TaskUse(
            index,
            "FAILED" if index % 7 == 3 else "COMPLETED",
            Measured(60.0 + index, 30.0 + index, G + index),
        )
        for index in range(number)
    ]
    told = {"cpus": 2, "memory": 4 * G, "time_limit": 600, **asked}
    return JobUse.of("7", "slurm", "./fit", Asked(**told), tasks)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1, 10, 200])
def test_a_picture_of_few_and_of_many(tmp_path: Path, number: int) -> None:
    path = tmp_path / "usage.png"
    assert draw([job(number)], path) == number
    assert path.read_bytes().startswith(PNG)
    height, width, _ = image.imread(path).shape
    assert height > width > 1000
    assert [each.name for each in tmp_path.iterdir()] == ["usage.png"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_what_failed_at_once_has_its_cross_on_a_logarithmic_axis() -> None:
    ends = [("FAILED", 0.0), ("COMPLETED", 10.0), ("COMPLETED", 20.0)]
    tasks = [TaskUse(at, state, Measured(span, span, G)) for at, (state, span) in enumerate(ends)]
    whole = JobUse.of("7", "slurm", "./fit", Asked(cpus=2, memory=4 * G, time_limit=36000), tasks)
    (times, *_others) = _panels(list(whole.each_task()))
    axes = Figure().subplots()
    _draw_panel(axes, times)
    assert axes.get_yscale() == "log"
    ((_, height),) = axes.collections[-1].get_offsets()
    assert height >= axes.get_ylim()[0] > 0


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_a_picture_that_can_be_scaled(tmp_path: Path) -> None:
    path = tmp_path / "Usage.SVG"
    draw([job(10), job(3, time_limit=1e6)], path)
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    first = path.read_bytes()
    for shown in ("Wall time", "seconds (logarithmic)", "MiB", "did not succeed", "13 tasks"):
        assert shown.encode() in first
    draw([job(10), job(3, time_limit=1e6)], path)
    assert len(path.read_bytes()) == len(first)


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    nothing = [TaskUse(None, "FAILED", Measured())]
    timed = [TaskUse(None, "COMPLETED", Measured(0.0))]
    jobs = [JobUse.of("1", "local", "./fit", Asked(), each) for each in (nothing, timed)]
    path = tmp_path / "usage.svg"
    assert draw(jobs, path) == 2
    assert path.read_text().count("not measured") == 2


def test_a_limit_of_a_year_is_none(tmp_path: Path) -> None:
    path = tmp_path / "usage.svg"
    draw([job(10), job(3, time_limit=365 * 86400)], path)
    assert "seconds (logarithmic)" not in path.read_text()
    told = [job(3, time_limit=limit).as_json for limit in (365 * 86400, 600)]
    _, year, short, *_ = table(told)
    assert "365" not in year
    assert "10:00 (10%)" in short


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """It may lead to an object of the annex, which must never change."""
    (tmp_path / "object").write_text("precious")
    path = tmp_path / "usage.svg"
    path.symlink_to("object")
    draw([job(1)], path)
    assert (tmp_path / "object").read_text() == "precious"
    assert not path.is_symlink()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        draw([job(1)], tmp_path / "none" / "usage.svg")


@pytest.mark.parametrize("name", ["usage.pdf", "usage", ".png", "png"])
def test_other_kinds_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"ends in \.png or \.svg"):
        refuse_unfit(tmp_path / name)


def test_without_matplotlib_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="`pip install matplotlib`"):
        refuse_unfit(tmp_path / "usage.png")
