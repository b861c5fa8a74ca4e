"""A command runs in a container of datalad-container, as ``datalad containers-run`` runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset, clone, containers_run, create, schedule
from datalad.utils import chpwd

from datalad_hpc.commit.digests import digest
from tests.commands.conftest import QUIET, Lab, ask_store, text_of
from tests.commands.test_core_records import rerun, set_marker
from tests.commands.test_schedule_options import record_of
from tests.helpers import git_says
from tests.test_startup import imported_by

IMAGE = '#!/bin/sh\necho "in $DATALAD_CONTAINER_NAME: $0" >&2\nINSIDE=yes exec "$@"\n'
"""Stands for an image: it runs a command and says so. ``tests/slurm`` has real engines."""


def configure(dataset: Dataset, name: str = "tool", image: str = "images/tool", **how: Any) -> None:
    """Add a container; what ``containers-add`` writes is this, and takes longer."""
    path = Path(dataset.path, image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(IMAGE)
    path.chmod(0o755)
    set_up(dataset, name, **{"cmdexec": "sh {img} {cmd}", "image": image, **how})


def set_up(dataset: Dataset, name: str = "tool", **options: str) -> None:
    """Change how a container is configured; an empty option is taken away."""
    for option, value in options.items():
        key = f"datalad.containers.{name}.{option.replace('_', '-')}"
        how = ["--replace-all", key, value] if value else ["--unset", key]
        git_says(dataset.pathobj, "config", "-f", ".datalad/config", *how)
    dataset.save(**QUIET)
    dataset.config.reload(force=True)


def environment_of(lab: Lab) -> Any:
    """What the newest job knows of where it runs."""
    ((text,),) = ask_store(lab, "SELECT details FROM jobs ORDER BY key DESC LIMIT 1")
    return json.loads(text)["environment"]


def test_a_job_in_a_container(lab: Lab) -> None:
    configure(lab.dataset)
    lab.write("in.txt", "content\n")
    done = lab.run(
        ["--", "sh", "-c", 'echo "$INSIDE" > out.txt; cat in.txt >> out.txt'],
        container="tool",
        inputs=["in.txt"],
        outputs=["out.txt"],
    )
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "out.txt").read_text() == "yes\ncontent\n"
    record = record_of(lab)
    assert record["cmd"].startswith("sh images/tool sh -c ")
    assert record["extra_inputs"] == ["images/tool"]
    assert record["hpc"]["container"] == "tool"
    assert record["hpc"]["environment"]["container"] == {
        "name": "tool",
        "image": "images/tool",
        "digest": digest(lab.root, "images/tool"),
    }
    (log,) = (lab.root / name for name in record["slurm_outputs"] if name.endswith(".out"))
    assert log.read_text() == "in tool: images/tool\n"
    assert lab.changes() == ""


@pytest.mark.parametrize(
    "call_format",
    [
        "sh {img} {cmd}",
        "sh -c '{cmd}' {img}",
        '{python} -c 0; D="$(ls {img_dirpath}/..)" sh {img_dspath}/images/tool {cmd}',
        'env A=${{{{HOME}}}} P="{{pwd}}" sh {img} {cmd}',
    ],
)
def test_it_is_called_as_containers_run_calls_it(local_lab: Lab, call_format: str) -> None:
    lab, outputs = local_lab, ["o.txt"]
    lab.write("sub dir/.keep")
    configure(lab.dataset, cmdexec=call_format, extra_input="{img_dspath}/images/*")
    with chpwd(lab.root / "sub dir"):
        (plan,) = schedule(
            "touch {outputs}", container="tool", outputs=outputs, dry_run="basic", **QUIET
        )
        containers_run("touch {outputs}", "tool", outputs=outputs, **QUIET)
    theirs = record_of(lab)
    assert plan["dry_run"]["command"] == theirs["cmd"]
    assert plan["dry_run"]["extra_inputs"] == theirs["extra_inputs"]
    assert theirs["pwd"] == "sub dir"


def test_what_a_shell_would_split_or_fill_is_whole(local_lab: Lab) -> None:
    lab = local_lab
    image = "my {images}/it's a tool"
    configure(lab.dataset, image=image)
    for call_format in ("sh {img} {cmd}", "sh '{img}' {cmd}", 'D={img_dirpath} sh "{img}" {cmd}'):
        set_up(lab.dataset, cmdexec=call_format)
        done = lab.run(
            ["--", "cp", "{inputs}", "{outputs}"],
            container="tool",
            inputs=[image.replace("{", "{{").replace("}", "}}")],
            outputs=["out put"],
        )
        assert done["status"] == "ok", text_of(done)
        assert (lab.root / "out put").read_text() == IMAGE
        (lab.root / "out put").unlink()
        lab.save()


def test_without_a_call_format_the_image_is_the_program(local_lab: Lab) -> None:
    configure(local_lab.dataset, image="tool")
    set_up(local_lab.dataset, cmdexec="")
    done = local_lab.run("env > out.txt", container="tool", outputs=["out.txt"])
    assert done["status"] == "ok", text_of(done)
    assert "INSIDE=yes" in (local_lab.root / "out.txt").read_text()
    assert record_of(local_lab)["cmd"] == "./tool env > out.txt"


def copy_of(lab: Lab, path: Path) -> Lab:
    """A fresh clone, with no content of annexed files."""
    return Lab(clone(str(lab.root), str(path), **{**QUIET, "return_type": "item-or-list"}), "local")


def test_a_container_of_a_subdataset(local_lab: Lab, tmp_path: Path) -> None:
    """It is installed for its container, also where only the record is known."""
    lab, name = local_lab, "code/containers/tool"
    configure(create(str(tmp_path / "source"), **{**QUIET, "return_type": "item-or-list"}))
    for path in ("other", "code/containers"):
        lab.dataset.clone(str(tmp_path / "source"), path, **QUIET)
    lab.dataset.drop("code/containers", what="all", reckless="availability", **QUIET)
    done = lab.run("env > {outputs}", container=name, outputs=["out.txt"])
    assert done["status"] == "ok", text_of(done)
    assert "INSIDE=yes" in (lab.root / "out.txt").read_text()
    assert record_of(lab)["extra_inputs"] == ["code/containers/images/tool"]
    assert lab.changes() == ""
    found = environment_of(lab)
    assert (found["container"]["name"], found["container"]["image"]) == (
        name,
        "code/containers/images/tool",
    )
    copy = copy_of(lab, tmp_path / "copy")
    (again,) = copy.reschedule()
    assert again["status"] == "ok", text_of(again)
    assert environment_of(copy)["container"] == found["container"]
    copy.wait()
    (done,) = copy.finish()
    assert done["status"] == "ok", text_of(done)
    assert record_of(copy)["cmd"] == record_of(lab)["cmd"]


def test_a_fresh_clone_retrieves_the_image_once(
    local_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(local_lab.dataset)
    done = local_lab.run("env > {outputs}", container="tool", outputs=["out.txt"])
    assert done["status"] == "ok", text_of(done)
    copy = copy_of(local_lab, tmp_path / "copy")
    assert not (copy.root / "images/tool").exists()
    (again,) = copy.reschedule()
    assert again["status"] == "ok", text_of(again)
    copy.wait()
    assert copy.finish()[-1]["status"] == "ok"
    for key in ("container", "environment"):
        assert record_of(copy)["hpc"][key] == record_of(local_lab)["hpc"][key]
    assert record_of(copy)["extra_inputs"] == ["images/tool"]
    # From now on nobody is asked for it, not even DataLad.
    from datalad.core.local import run

    monkeypatch.delattr(run, "prepare_inputs")
    job = copy.schedule("env > {outputs}", container="tool", outputs=["other.txt"])
    assert job["status"] == "ok", text_of(job)


def test_an_alternative_directory_gets_the_image(local_lab: Lab, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    local_lab.write("overlay/a.txt", "extra\n")
    configure(
        local_lab.dataset,
        cmdexec="cp {img_dspath}/overlay/a.txt extra.txt; sh {img} {cmd}",
        extra_input="{img_dspath}/overlay/*.txt",
    )
    done = local_lab.run(
        "sh -c 'echo $0 $INSIDE; cat extra.txt' > {outputs}; pwd >> {outputs}",
        container="tool",
        outputs=["out.txt"],
        alt_dir=str(elsewhere),
    )
    assert done["status"] == "ok", text_of(done)
    assert (local_lab.root / "out.txt").read_text() == f"sh yes\nextra\n{elsewhere}\n"
    assert (elsewhere / "images/tool").read_text() == IMAGE
    assert not (elsewhere / "images/tool").is_symlink()


def test_an_alternative_directory_and_an_extra_input_outside(
    local_lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "overlay").touch()
    configure(local_lab.dataset, extra_input="{img_dspath}/../overlay")
    job = local_lab.schedule(
        "env", container="tool", outputs=["out.txt"], alt_dir=str(tmp_path / "elsewhere")
    )
    assert job["status"] == "impossible"
    assert local_lab.listed() == {}


def test_an_image_that_cannot_be_had(local_lab: Lab, tmp_path: Path) -> None:
    configure(local_lab.dataset)
    copy = copy_of(local_lab, tmp_path / "copy")
    copy.git("remote", "set-url", "origin", str(tmp_path / "gone"))
    job = copy.schedule("env > out.txt", container="tool", outputs=["out.txt"])
    assert job["status"] == "impossible"
    for words in ("container 'tool'", "images/tool", "Nothing was submitted", "git annex whereis"):
        assert words in text_of(job)
    assert copy.listed() == {}


def test_a_subdataset_that_cannot_be_had(local_lab: Lab, tmp_path: Path) -> None:
    local_lab.dataset.create("sub", **QUIET)
    copy = copy_of(local_lab, tmp_path / "copy")
    shutil.rmtree(local_lab.root / "sub/.git")
    text = refusal(copy, container="sub/tool")
    assert "would be in the subdataset sub, which could not be installed" in text
    assert "`datalad get -n sub`" in text


def test_an_image_that_is_not_there_at_all(local_lab: Lab) -> None:
    configure(local_lab.dataset)
    set_up(local_lab.dataset, image="images/other")
    job = local_lab.schedule("env > out.txt", container="tool", outputs=["out.txt"])
    assert job["status"] == "impossible"
    assert "container 'tool'" in text_of(job)
    assert "images/other" in text_of(job)
    assert local_lab.listed() == {}


@pytest.mark.parametrize("image", ["../tool", "sub/../../tool", "/usr/bin/env"])
def test_an_image_outside_of_the_dataset(local_lab: Lab, image: str) -> None:
    configure(local_lab.dataset)
    set_up(local_lab.dataset, image=image)
    assert "of the container 'tool' lies outside of the dataset at" in refusal(local_lab)


def refusal(lab: Lab, command: str = "env > x", container: str = "tool", **options: Any) -> str:
    """Why a job is not submitted."""
    job = lab.schedule(command, container=container, outputs=["x"], **options)
    assert job["status"] == "impossible", text_of(job)
    assert lab.listed() == {}
    return text_of(job)


def test_a_name_that_is_not_known(local_lab: Lab) -> None:
    assert "none is known; `datalad containers-add`" in refusal(local_lab)
    for name in ("one", "two"):
        configure(local_lab.dataset, name, image=f"images/{name}")
    for name in ("tool", "", "sub/tool", "images", "one/two"):
        text = refusal(local_lab, container=name)
        assert f"no container {name!r} in {local_lab.root}" in text
        assert "known are one, two; `datalad containers-add`" in text


def test_the_path_of_an_image_is_a_name(local_lab: Lab) -> None:
    configure(local_lab.dataset)
    done = local_lab.run("env > x", container="images/tool", outputs=["x"])
    assert done["status"] == "ok", text_of(done)
    assert environment_of(local_lab)["container"]["name"] == "tool"


def test_only_who_asks_for_a_container_pays_for_it(local_lab: Lab) -> None:
    configure(local_lab.dataset)
    options = ["-d", str(local_lab.root), "--dry-run", "command", "-o", "x"]
    for more in ([], ["-n", "tool"]):
        argv = ["datalad", "schedule", *options, *more, "true"]
        modules = imported_by(f"from datalad.cli.main import main; main({argv!r})")
        assert "datalad_hpc.plans.containers" in modules
        assert ("datalad_container.utils" in modules) == bool(more)
        assert "datalad_container.containers_list" not in modules


@pytest.mark.parametrize("command", ["sbatch job.sh", "/usr/bin/sbatch --wrap true"])
def test_a_submission_runs_in_no_container(local_lab: Lab, command: str) -> None:
    configure(local_lab.dataset)
    local_lab.script("true")
    assert "'tool' is for a command that runs as the job" in refusal(local_lab, command)


def test_a_submission_program_runs_in_no_container(local_lab: Lab) -> None:
    configure(local_lab.dataset)
    assert "`./submit.sh` submits jobs itself" in refusal(local_lab, "./submit.sh", submits=True)


@pytest.mark.parametrize(
    ("call_format", "words"),
    [
        ("sh {image} {cmd}", "{image} {cmd}"),
        ("sh {img} {cmd} }", "sh {img} {cmd} }"),
        ("sh {} {cmd}", "sh {} {cmd}"),
        ('["sh", "{img}"]', "is a list"),
    ],
)
def test_a_call_format_that_cannot_be_used(local_lab: Lab, call_format: str, words: str) -> None:
    configure(local_lab.dataset, cmdexec=call_format)
    text = refusal(local_lab)
    assert "the call format of the container 'tool'" in text
    assert words in text
    assert "containers-add --update --call-fmt" in text


def test_an_extra_input_that_cannot_be_used(local_lab: Lab) -> None:
    configure(local_lab.dataset)
    set_up(local_lab.dataset, extra_input="{img}/x")
    assert "extra input of the container 'tool' cannot be used" in refusal(local_lab)


def test_digests(local_lab: Lab) -> None:
    """Of an annexed file, locked or not, of one in Git, and of a folder."""
    lab = local_lab
    configure(lab.dataset)
    key = lab.git("annex", "lookupkey", "images/tool").strip()
    (lab.root / "plain").mkdir()
    lab.write("plain/.gitattributes", "* annex.largefiles=nothing\n")
    lab.write("plain/tool", "in Git\n")
    lab.git("annex", "unlock", "-q", "images/tool")
    lab.save()
    expected = {
        "images/tool": "md5:" + key.partition("--")[2].partition(".")[0],
        "plain/tool": "git:" + lab.git("rev-parse", "HEAD:plain/tool").strip(),
        "plain": "git:" + lab.git("rev-parse", "HEAD:plain").strip(),
        **dict.fromkeys(("nothing", "../x", "/etc/passwd", "a\nb"), ""),
    }
    assert {path: digest(lab.root, path) for path in expected} == expected
    lab.git("annex", "lock", "-q", "images/tool")
    assert digest(lab.root, "images/tool") == expected["images/tool"]


def test_core_runs_such_a_record_again(local_lab: Lab, tmp_path: Path) -> None:
    """Where its marker is configured; it need not know of containers."""
    configure(local_lab.dataset, image="my {images}/tool")
    set_marker(local_lab)
    command = "sh -c 'echo $INSIDE' > {outputs}"
    done = local_lab.run(command, container="tool", outputs=["out.txt"])
    assert done["status"] == "ok", text_of(done)
    copy = copy_of(local_lab, tmp_path / "copy")
    again = rerun(copy)
    assert again.returncode == 0, again.stderr
    assert (copy.root / "out.txt").read_text() == "yes\n"


def test_what_containers_run_has_recorded_becomes_a_job(local_lab: Lab, tmp_path: Path) -> None:
    configure(local_lab.dataset)
    command = "sh -c 'echo $INSIDE' > {outputs}"
    containers_run(command, "tool", dataset=local_lab.dataset, outputs=["out.txt"], **QUIET)
    copy = copy_of(local_lab, tmp_path / "copy")
    (job,) = copy.reschedule()
    assert job["status"] == "ok", text_of(job)
    copy.wait()
    (done,) = copy.finish()
    assert done["status"] == "ok", text_of(done)
    assert (copy.root / "out.txt").read_text() == "yes\n"


def test_a_sweep_in_a_container(lab: Lab) -> None:
    configure(lab.dataset)
    job = lab.schedule(
        "sh -c 'echo $INSIDE {sub}' > {outputs}",
        container="tool",
        outputs=["out-{sub}.txt"],
        foreach=["sub=a,b"],
    )
    assert job["status"] == "ok", text_of(job)
    lab.wait()
    assert {done["status"] for done in lab.finish()} == {"ok"}
    assert [(lab.root / f"out-{sub}.txt").read_text() for sub in "ab"] == ["yes a\n", "yes b\n"]
    for revision, sub in (("HEAD~1", "a"), ("HEAD", "b")):
        record = record_of(lab, revision)
        assert record["cmd"] == f"sh images/tool sh -c 'echo $INSIDE {sub}' > {{outputs}}"
        assert record["extra_inputs"] == ["images/tool"]
        assert record["hpc"]["container"] == "tool"


def test_lines_of_a_batch_in_containers(local_lab: Lab) -> None:
    configure(local_lab.dataset)
    lines: list[Any] = [
        {"cmd": "env > {outputs}", "container": "tool", "outputs": ["1.txt"]},
        "-n tool -o 2.txt -- 'env > {outputs}'",
        "-o 3.txt -- 'env > {outputs}'",
    ]
    jobs = local_lab.schedule_all(None, batch=lines)
    assert {job["status"] for job in jobs} == {"ok"}
    local_lab.wait()
    inside = ["INSIDE=yes" in (local_lab.root / f"{i}.txt").read_text() for i in (1, 2, 3)]
    assert inside == [True, True, False]
