"""A job whose input another one makes waits for that, by itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.commands.conftest import Lab, text_of

GATE = 'until test -e "$PWD/.git/go"; do sleep 0.05; done\n'
"""A job with this waits until the test lets it go on."""


def scheduled(lab: Lab, command: str, **options: Any) -> str:
    """Id of a new job."""
    job = lab.schedule(command, **options)
    assert job["status"] == "ok", text_of(job)
    return str(job["slurm_job_id"])


def let_go(lab: Lab) -> None:
    (lab.root / ".git" / "go").touch()


def held(lab: Lab, command: str = "echo a > a.txt", *outputs: str) -> str:
    """A job that runs until it is let go."""
    return scheduled(lab, f"{GATE}{command}", outputs=list(outputs or ("a.txt",)))


def test_a_chain_runs_in_order_by_itself(lab: Lab) -> None:
    first = held(lab)
    second = lab.schedule("cat a.txt a.txt > b.txt", inputs=["a.txt"], outputs=["b.txt"])
    assert second["status"] == "ok", text_of(second)
    assert f"it waits for job {first} (a.txt)" in text_of(second)
    third = scheduled(lab, "cat b.txt b.txt > c.txt", inputs=["b.txt"], outputs=["c.txt"])
    assert {job["slurm_job_status"] for job in lab.listed().values()} <= {"PENDING", "RUNNING"}
    let_go(lab)
    lab.wait()
    done = lab.finish()
    assert [res["status"] for res in done] == ["ok"] * 3, done
    assert [res["slurm_job_id"] for res in done] == [first, second["slurm_job_id"], third]
    assert (lab.root / "c.txt").read_text() == "a\n" * 4
    subjects = lab.git("log", "-3", "--reverse", "--format=%s").split("\n")
    assert [line.split()[5][:-1] for line in subjects[:3]] == [
        first,
        second["slurm_job_id"],
        third,
    ]
    assert lab.changes() == ""


@pytest.mark.parametrize(
    ("output", "inputs"),
    [
        ("out/", ["out/a/b"]),
        ("out/", ["./out//"]),
        ("out/a", ["out"]),
        ("out/a", ["."]),
        ("out/a", ["o*/[a-c]"]),
        ("out/*", ["out/a"]),
        ("out/*.csv", ["out/a*"]),
    ],
)
def test_whatever_the_spelling(local_lab: Lab, output: str, inputs: list[str]) -> None:
    lab = local_lab
    first = held(lab, "mkdir -p out/a; echo 1 > out/a/b; echo 1 > out/a.csv", output)
    second = lab.schedule("ls out > b.txt", inputs=inputs, outputs=["b.txt"])
    assert f"job {first}" in text_of(second)
    let_go(lab)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok", "ok"]
    assert (lab.root / "b.txt").read_text()


def test_from_a_subfolder_and_through_a_link(local_lab: Lab, inside: Any) -> None:
    from datalad.api import schedule

    lab = local_lab
    first = held(lab, "mkdir -p out; echo a > out/a.txt", "out/a.txt")
    (lab.root / "latest").symlink_to("out/a.txt")
    (lab.root / "folder").symlink_to("out")
    inside("sub")
    options = {"result_renderer": "disabled", "on_failure": "ignore", "scheduler": "local"}
    for number, path in enumerate(["../out/a.txt", "../latest", "../folder/a.txt"]):
        job = schedule(
            f"cat ../out/a.txt > {number}", inputs=[path], outputs=[str(number)], **options
        )[-1]
        assert f"it waits for job {first} ({path})" in text_of(job)
    let_go(lab)
    lab.wait()
    assert {res["status"] for res in lab.finish()} == {"ok"}


def test_jobs_beside_it_are_not_waited_for(local_lab: Lab) -> None:
    lab = local_lab
    held(lab, "mkdir -p out; echo a > out/a; cat raw.txt", "out/a")
    lab.write("out/ab")
    lab.write("raw.txt")
    job = lab.schedule(
        "cat out/ab > b.txt", inputs=["out/ab", "raw.txt", "/etc/hostname"], outputs=["b.txt"]
    )
    assert "waits" not in text_of(job)
    lab.wait(job["slurm_job_id"])
    assert [res["status"] for res in lab.finish(job["slurm_job_id"])] == ["ok"]
    let_go(lab)
    lab.wait()


def test_a_missing_input_that_nobody_makes_is_an_error_still(local_lab: Lab) -> None:
    lab = local_lab
    held(lab)
    for inputs in (["none.txt"], ["a.txt", "none*"]):
        job = lab.schedule("true", inputs=inputs, outputs=["b.txt"])
        assert job["status"] == "impossible"
        assert "none" in text_of(job)
        assert "a.txt" not in text_of(job)
    let_go(lab)
    lab.wait()


def test_what_is_there_of_a_folder_is_retrieved(local_lab: Lab) -> None:
    lab = local_lab
    lab.write("out/old.dat")
    lab.git("annex", "move", "--quiet", "out/old.dat", "--to", remote(lab))
    assert not (lab.root / "out/old.dat").exists()
    held(lab, "echo new > out/new.dat", "out/new.dat")
    job = lab.schedule("cat out/* > b.txt", inputs=["out"], outputs=["b.txt"])
    assert job["status"] == "ok", text_of(job)
    assert (lab.root / "out/old.dat").exists()
    let_go(lab)
    lab.wait()
    assert {res["status"] for res in lab.finish()} == {"ok"}
    assert (lab.root / "b.txt").read_text() == "new\ncontent\n"


def remote(lab: Lab) -> str:
    """A place to which content can go."""
    folder = lab.root.parent / "store"
    folder.mkdir()
    kind = ("type=directory", f"directory={folder}", "encryption=none")
    lab.git("annex", "initremote", "--quiet", "store", *kind)
    return "store"


def test_what_has_succeeded_is_not_waited_for_and_comes_first(lab: Lab) -> None:
    first = scheduled(lab, "mkdir out; echo a > out/a; echo b > b", outputs=["out/", "b"])
    lab.wait(first)
    second = lab.schedule("cat out/* b > c", inputs=["out/", "b"], outputs=["c"])
    assert second["status"] == "ok", text_of(second)
    assert "waits" not in text_of(second)
    lab.wait()
    done = lab.finish()
    assert [res["slurm_job_id"] for res in done] == [first, second["slurm_job_id"]]
    assert (lab.root / "c").read_text() == "a\nb\n"


def test_what_has_failed_is_not_waited_for(lab: Lab) -> None:
    first = scheduled(lab, "exit 3", outputs=["a.txt"])
    lab.wait(first)
    second = lab.schedule("cat a.txt > b.txt", inputs=["a.txt"], outputs=["b.txt"])
    assert second["status"] == "impossible"
    for words in (
        "Nothing was submitted",
        f"job {first}, which makes a.txt,",
        "exit code 3",
        f"datalad reschedule --failed {first}",
    ):
        assert words in text_of(second)
    assert list(lab.listed()) == [first]
    assert [res["status"] for res in lab.finish(first, close_failed_jobs=True)] == ["ok"]


def test_two_that_read_what_the_other_makes_make_no_circle(local_lab: Lab) -> None:
    lab = local_lab
    lab.write("b.txt")
    first = scheduled(lab, f"{GATE}cp b.txt a.txt", inputs=["b.txt"], outputs=["a.txt"])
    second = lab.schedule("cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    assert f"waits for job {first}" in text_of(second)
    third = lab.schedule("cat c.txt >> c.txt", inputs=["."], outputs=["c.txt"])
    assert f"job {first}" in text_of(third)
    assert f"job {second['slurm_job_id']}" in text_of(third)
    let_go(lab)
    lab.wait()
    assert len(lab.listed()) == 3
