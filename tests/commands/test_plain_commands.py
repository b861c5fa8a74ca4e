"""A command that does not start with sbatch is run as the job, like the line of ``datalad run``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.commands.conftest import Lab, text_of
from tests.commands.test_schedule_options import record_of


def test_a_command_becomes_a_job_a_commit_and_a_job_again(lab: Lab) -> None:
    lab.write("in.txt", "one\ntwo\n")
    command = "sort -r {inputs} | tee copy.txt > {outputs[0]}; test -s copy.txt"
    done = lab.run(command, inputs=["in.txt"], outputs=["sorted.txt", "copy.txt"])
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "sorted.txt").read_text() == "two\none\n"
    assert record_of(lab)["cmd"] == command
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"
    assert record_of(lab)["cmd"] == command
    assert lab.changes() == ""


def test_names_with_blanks_and_quotes_arrive_whole(local_lab: Lab) -> None:
    names = ["a b.txt", "it's.txt", '"x" $HOME;.txt']
    for name in names:
        local_lab.write(name, f"{name}\n")
    done = local_lab.run("cat {inputs} '{inputs[1]}' > {outputs}", inputs=names, outputs=["o u"])
    assert done["status"] == "ok", text_of(done)
    assert (local_lab.root / "o u").read_text().splitlines() == [*names, names[1]]


def test_a_lone_placeholder_in_a_list_of_words_is_many_words(local_lab: Lab) -> None:
    for name in ("a b.txt", "c.txt"):
        local_lab.write(name, f"{name}\n")
    words = ["--", "install", "-D", "-t", "{outputs[0]}", "{inputs}"]
    done = local_lab.run(words, inputs=["*.txt"], outputs=["all files"])
    assert done["status"] == "ok", text_of(done)
    assert record_of(local_lab)["cmd"] == "install -D -t {outputs[0]} {inputs}"
    assert (local_lab.root / "all files/a b.txt").read_text() == "a b.txt\n"


def test_the_script_says_what_runs_and_its_file_is_gone(lab: Lab) -> None:
    done = lab.run("echo $((6 * 7)) > out.txt", outputs=["out.txt"])
    assert done["status"] == "ok", text_of(done)
    assert (lab.root / "out.txt").read_text() == "42\n"
    facts = json.loads((lab.root / record_of(lab)["hpc"]["facts"]).read_text())
    assert "echo $((6 * 7)) > out.txt" in facts["script"]
    assert facts["script"].startswith("#!/bin/bash\n#SBATCH --job-name=echo\n")
    assert str(lab.root) not in facts["script"]
    assert list((lab.root / ".git/datalad/hpc").glob("*.sh")) == []


def test_it_fails_as_its_last_command_does(lab: Lab) -> None:
    done = lab.run("echo x > out.txt; exit 3", outputs=["out.txt"])
    assert done["status"] == "impossible"
    assert "exit code 3" in text_of(done)


def test_it_runs_in_the_folder_of_the_call(local_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (local_lab.root / "sub dir").mkdir()
    monkeypatch.chdir(local_lab.root / "sub dir")
    from datalad.api import finish, schedule

    schedule("pwd > out.txt", outputs=["out.txt"], scheduler="local", result_renderer="disabled")
    local_lab.wait()
    (done,) = finish(result_renderer="disabled")
    assert done["status"] == "ok"
    assert (local_lab.root / "sub dir/out.txt").read_text() == f"{local_lab.root}/sub dir\n"
    assert record_of(local_lab)["pwd"] == "sub dir"


def test_an_alternative_directory(local_lab: Lab, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    local_lab.write("in.txt", "1\n")
    done = local_lab.run(
        "cp {inputs} {outputs}; pwd >> {outputs}",
        inputs=["in.txt"],
        outputs=["out.txt"],
        alt_dir=str(elsewhere),
    )
    assert done["status"] == "ok", text_of(done)
    assert (local_lab.root / "out.txt").read_text() == f"1\n{os.path.realpath(elsewhere)}\n"


def test_an_unknown_placeholder_is_told_of(local_lab: Lab) -> None:
    job = local_lab.schedule("awk '{print $1}' x > y", outputs=["y"])
    assert job["status"] == "impossible"
    assert "brace that is meant as such is doubled" in text_of(job)
    assert local_lab.listed() == {}


def test_braces_are_doubled_as_for_run(local_lab: Lab) -> None:
    done = local_lab.run("echo 1 2 | awk '{{print $2}}' > {outputs}", outputs=["y"])
    assert done["status"] == "ok", text_of(done)
    assert (local_lab.root / "y").read_text() == "2\n"


def test_words_of_git_annex_are_cut_where_they_have_no_end(local_lab: Lab) -> None:
    # It takes an archive that begins with one of its own links for one, and prints it.
    local_lab.write("a.txt")
    job = local_lab.run("tar -cf {outputs} a.txt", outputs=["links.tar"])
    assert job["status"] == "error"
    assert "links.tar: git-annex" in text_of(job)
    assert len(text_of(job)) < 2000
