"""Jobs on Slurm in images of two real engines.

Debian has Charliecloud, so its test is required where those on Slurm are. Apptainer has to be had
from elsewhere (``tools/install-apptainer.sh``): where none works its test is skipped, in CI too.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from datalad.api import Dataset

from tests.commands.conftest import QUIET, Lab, text_of
from tests.commands.test_containers import copy_of, environment_of
from tests.commands.test_schedule_options import record_of
from tests.slurm.presence import absence

PATIENCE = 60
"""Seconds for an engine to build an image, or to run a command in it."""


@dataclass(frozen=True)
class Engine:
    """What runs images, and an image for it."""

    image: Path
    call_format: str
    digest: str
    """How the image's digest begins."""


def complaint(argv: Sequence[str | Path]) -> str:
    """Why a command does not work, empty where it does."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError:
        return f"{argv[0]} is not installed"
    except subprocess.TimeoutExpired:
        return f"{argv[0]} did not end within {PATIENCE} seconds"
    return f"{argv[0]} failed: {done.stderr.strip()}" if done.returncode else ""


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a very small system."""
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("busybox is not installed")
    folder = tmp_path_factory.mktemp("system") / "root"
    for name in ("bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp", "var"):
        (folder / name).mkdir(parents=True)
        # Git keeps no empty folder, and engines want to mount something on each.
        (folder / name / ".keep").touch()
    (folder / "etc/where").write_text("in the image\n")
    (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    for name in ("group", "hosts", "resolv.conf"):
        (folder / "etc" / name).touch()
    shutil.copy(busybox, folder / "bin/busybox")
    for name in ("sh", "cat", "env"):
        (folder / "bin" / name).symlink_to("busybox")
    return folder


@pytest.fixture(scope="session")
def apptainer(system: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Apptainer, and an image in a file."""
    if reason := absence():
        pytest.skip(f"no Slurm: {reason}")
    image = tmp_path_factory.mktemp("sif") / "image.sif"
    reason = complaint(["apptainer", "build", image, system])
    reason = reason or complaint(["apptainer", "exec", image, "/bin/sh", "-c", "exit 0"])
    if reason:
        pytest.skip(f"no Apptainer: {reason}")
    return Engine(image, "apptainer exec {img} {cmd}", "md5:")


@pytest.fixture(scope="session")
def charliecloud(system: Path) -> Engine:
    """Charliecloud, and an image in a folder."""
    if reason := complaint(["env", "USER=nobody", "ch-run", system, "--", "sh", "-c", "exit 0"]):
        pytest.skip(f"no Charliecloud: {reason}")
    call_format = 'env USER=nobody ch-run --bind="$PWD:/mnt" --cd=/mnt {img} -- {cmd}'
    return Engine(system, call_format, "git:")


def add(dataset: Dataset, engine: Engine) -> None:
    """Add the engine's image to a dataset, a folder of a system to Git itself."""
    if engine.image.is_file():
        dataset.containers_add("small", url=str(engine.image), call_fmt=engine.call_format, **QUIET)
        return
    path = Path(dataset.path, "images/small")
    shutil.copytree(engine.image, path, symlinks=True)
    (path.parent / ".gitattributes").write_text("* annex.largefiles=nothing\n")
    dataset.save("images", **QUIET)
    dataset.containers_add("small", image="images/small", call_fmt=engine.call_format, **QUIET)


@pytest.mark.parametrize(
    "name", [pytest.param("charliecloud", marks=pytest.mark.slurm), "apptainer"]
)
def test_a_job_on_slurm_in_an_image_and_again_elsewhere(
    dataset: Dataset, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    engine = request.getfixturevalue(name)
    lab = Lab(dataset, "slurm")
    add(dataset, engine)
    lab.write("in put.txt", "content\n")
    command = 'cat "in put.txt" /etc/where > out.txt; echo "$DATALAD_CONTAINER_NAME" >> out.txt'
    done = lab.run(
        ["--", "sh", "-c", command],
        container="small",
        inputs=["in put.txt"],
        outputs=["out.txt"],
    )
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "out.txt").read_text() == "content\nin the image\nsmall\n"
    assert lab.changes() == ""
    found = environment_of(lab)["container"]
    assert found["digest"].startswith(engine.digest)
    assert record_of(lab)["extra_inputs"] == [found["image"]]

    copy = copy_of(lab, tmp_path / "copy")
    copy.scheduler = "slurm"
    (tmp_path / "elsewhere").mkdir()
    (again,) = copy.reschedule(alt_dir=str(tmp_path / "elsewhere"))
    assert again["status"] == "ok", text_of(again)
    copy.wait()
    (done,) = copy.finish()
    assert done["status"] == "ok", text_of(done)
    assert (copy.root / "out.txt").read_text() == "content\nin the image\nsmall\n"
    assert record_of(copy)["cmd"] == record_of(lab)["cmd"]
    assert (tmp_path / "elsewhere" / found["image"]).exists()
