"""Datasets, folders, inputs and alternative directories of any name, and links among them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from datalad.api import Dataset

from tests.commands.conftest import Lab, text_of
from tests.commands.hostile import (
    RUNS,
    Teller,
    assert_sound,
    datalad,
    doubled,
    record_of,
    tree_of,
    written_in,
)
from tests.helpers import soak

pytestmark = pytest.mark.soak

ROOTS = [
    *('-rf "it\'s"\n$(touch pwned)', " *[ab]?{a}{{ ", "--help", "`touch pwned`; touch pwned\t"),
    *("ü u\u0308😀\u200f\u00a0", "a\\b:c@d&e=f#g!h^i~j", "x" * 230),
    *("a b", " lead", "trail ", "it's", 'q"q', "*", "[ab]", "a?b", "{a}", "{{", "$(touch pwned)"),
    *("a\nb", "\t", "ü", "u\u0308", "!x", "^x", "~", "#x", "a\\b", ":x", "a&b=c", "git~1", "a@b"),
]
"""Not with ``%``: Slurm takes it for a placeholder in the log's path, and so does sbatch here."""


def located_at(template: Path, parent: Path, name: str) -> Lab:
    root = shutil.copytree(template, parent / name, symlinks=True)
    lab = Lab(Dataset(root), "local")
    lab.script("cat in.dat > out.dat; pwd -P > where")
    lab.write("in.dat")
    return lab


@pytest.fixture
def own_folder(tmp_path: Path, local_spool: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ROOTS[: soak(7, len(ROOTS))])
def test_a_dataset_of_any_name(
    dataset_template: Path, own_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = located_at(dataset_template, own_folder, name)
    done = lab.run("sbatch job.sh {inputs} {pwd}", inputs=["in.dat"], outputs=["out.dat", "*ere"])
    assert done["status"] == "ok", text_of(done)
    job_id = done["slurm_job_id"].encode()
    assert written_in(lab, "HEAD") == {b"out.dat", b"where", b"slurm-%s.out" % job_id}
    assert (lab.root / "where").read_text() == f"{lab.root}\n"
    assert_sound(lab, own_folder)


def test_links_to_a_dataset_and_to_its_folders(
    dataset_template: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a folder that a link leads to, paths are those of the folder itself."""
    lab = located_at(dataset_template, own_folder, "ds 1")
    (lab.root / "sub 'x'").mkdir()
    (lab.root / "to-sub").symlink_to("sub 'x'")
    lab.save()
    link = own_folder / "li nk"
    link.symlink_to(lab.root)
    for number, folder in enumerate((link / "sub 'x'", link / "to-sub", lab.root / "to-sub")):
        name = f"out {number}"
        lab.script(f"echo $SLURM_JOB_ID > '{name}'", f"job{number}.sh")
        call = ("schedule", "-o", name, "sbatch", "--output=/dev/null", f"../job{number}.sh")
        ended = datalad(lab, *call, folder=folder, PWD=str(folder))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        # Whichever way it is asked for, it is the same file.
        with monkeypatch.context() as patch:
            patch.chdir(lab.root)
            for spelling in (f"sub 'x'/{name}", f"to-sub/{name}", f"{link}/to-sub/{name}"):
                (refused,) = lab.schedule_all("sbatch job0.sh", outputs=[spelling])
                assert refused["status"] == "impossible"
                assert "open jobs hold" in text_of(refused)
        lab.wait()
        ended = datalad(lab, "finish", folder=link, PWD=str(link))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert written_in(lab, "HEAD") == {f"sub 'x'/{name}".encode()}
        assert record_of(lab, "HEAD")["pwd"] == "sub 'x'"
    again = lab.reschedule(since="")
    assert [text_of(res) for res in again if res["status"] != "ok"] == []
    lab.wait()
    assert {res["status"] for res in lab.finish()} == {"ok"}
    assert_sound(lab, own_folder)


@pytest.fixture
def teller(local_lab: Lab, tmp_path: Path) -> Teller:
    """Jobs that write any file, in one dataset."""
    made = Teller(local_lab, tmp_path / "names")
    made.script()
    return made


def test_links_below_outputs(teller: Teller, tmp_path: Path) -> None:
    """An output behind a link inside is that of the folder; what becomes one is not followed."""
    lab = teller.lab
    outside = tmp_path / "outside"
    outside.mkdir()
    (lab.root / "real").mkdir()
    (lab.root / "inner").symlink_to("real")
    done = lab.run(teller.command(["real/a"]), outputs=["inner/a"])
    assert done["status"] == "ok", text_of(done)
    assert written_in(lab, "HEAD") == {b"real/a"}
    # A job puts a link in the place of its own folder, before it writes.
    lab.script(
        f"ln -s {outside} new; echo x > new/x; ln -s {outside} link; ln -s nowhere gone", "l.sh"
    )
    job = lab.schedule("sbatch --output=/dev/null l.sh", outputs=["new/x", "link", "gone"])
    lab.wait()
    (kept,) = lab.finish()
    assert kept["status"] == "error" or "did not produce" in text_of(kept)
    assert lab.listed().keys() == {job["slurm_job_id"]}
    assert os.listdir(outside) == ["x"]
    (lab.root / "new").unlink()
    (lab.root / "new").mkdir()
    shutil.move(outside / "x", lab.root / "new" / "x")
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    tree = tree_of(lab)
    assert all(tree[name].startswith(b"120000") for name in (b"new/x", b"link", b"gone"))
    assert os.readlink(lab.root / "link") == str(outside)


INPUTS = [
    *("a b", " lead", "trail ", "it's", '"q"', "-rf", "--help", "*", "[ab]", "{a}", "{{", "$HOME"),
    *("a\nb", "\t", "ü", "u\u0308", "#x", "~", "\\", "!x", *RUNS),
]


SEE = r"""
printf '%s\0' "$@" > seen
for name; do test ! -e "$name" || cat -- "$name"; done > all
"""


@pytest.mark.parametrize("way", ["bare", "quoted", "wrap", "wrap in double quotes"])
def test_inputs_reach_the_job_as_names(local_lab: Lab, way: str, tmp_path: Path) -> None:
    lab = local_lab
    for name in INPUTS:
        (lab.root / "in" / name).parent.mkdir(exist_ok=True)
        (lab.root / "in" / name).write_text(name)
    lab.script(SEE)
    lab.save("in")
    command = {
        "bare": "sbatch job.sh {inputs}",
        "quoted": "sbatch job.sh '{inputs}'",
        "wrap": "sbatch --wrap 'bash job.sh {inputs}'",
        "wrap in double quotes": """sbatch --wrap 'bash job.sh "{inputs}"'""",
    }[way]
    inputs = [f"in/{name}" for name in INPUTS]
    done = lab.run(command, inputs=[doubled(name) for name in inputs], outputs=["seen", "all"])
    assert done["status"] == "ok", text_of(done)
    seen = (lab.root / "seen").read_bytes().decode().split("\0")[:-1]
    assert seen == (inputs if way in ("bare", "wrap") else [" ".join(inputs)])
    if way in ("bare", "wrap"):
        assert (lab.root / "all").read_bytes() == "".join(INPUTS).encode()
    assert record_of(lab, "HEAD")["inputs"] == inputs
    assert not list(tmp_path.rglob("pwned"))
    again = lab.reschedule()
    assert [res["status"] for res in again] == ["ok"], [text_of(res) for res in again]
    lab.wait()
    lab.finish()
    assert_sound(lab, tmp_path)


@pytest.mark.parametrize("name", ["s -'b' $(touch pwned)", "[ab]*ü"])
def test_a_subdataset_of_any_name(teller: Teller, name: str) -> None:
    lab = teller.lab
    lab.dataset.create(name, result_renderer="disabled")
    paths = [f"{name}/out $x/it's", f"{name}/*", "-top"]
    done = lab.run(teller.command(paths), outputs=[f"./{name}/", "-top"])
    assert done["status"] == "ok", text_of(done)
    inner = Lab(Dataset(lab.root / name), "local")
    assert written_in(lab, "HEAD") == {name.encode(), b"-top"}
    assert written_in(inner, "HEAD") == {b"out $x/it's", b"*"}
    assert_sound(lab)
    assert_sound(inner)
