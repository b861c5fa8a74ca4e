"""``--foreach``: one command, many tasks, each with values and claims of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc import sweeping
from tests.commands.conftest import Lab, text_of

ECHO = "mkdir -p out; echo {sub} > {outputs}"


def swept(lab: Lab, command: str = ECHO, **options: Any) -> dict[str, Any]:
    options.setdefault("outputs", ["out/{sub}.txt"])
    return lab.schedule(command, **options)


def written(lab: Lab) -> dict[str, str]:
    lab.wait()
    return {path.stem: path.read_text() for path in (lab.root / "out").iterdir()}


def test_several_lists_multiply(lab: Lab) -> None:
    job = lab.schedule(
        "mkdir -p out; echo {who} says '{word}' > {outputs}",
        outputs=["out/{who}-{word}.txt"],
        foreach=["who=ann,bob", "word=it's,hi there"],
    )
    assert job["status"] == "ok", text_of(job)
    assert text_of(job).startswith(f"job {job['slurm_job_id']} on {lab.scheduler}: 4 tasks of ")
    assert written(lab) == {
        "ann-it's": "ann says it's\n",
        "ann-hi there": "ann says hi there\n",
        "bob-it's": "bob says it's\n",
        "bob-hi there": "bob says hi there\n",
    }


def test_a_glob_is_what_it_matches_in_the_dataset(local_lab: Lab) -> None:
    for name in ("sub-02", "sub-01", "other"):
        local_lab.write(f"raw/{name}/t1.txt", f"{name}\n")
    job = swept(
        local_lab,
        "mkdir -p out/raw; cat {inputs} > {outputs}",
        foreach="sub=raw/sub-*",
        inputs=["{sub}/t1.txt"],
    )
    assert job["status"] == "ok", text_of(job)
    local_lab.wait()
    found = {path.name: path.read_text() for path in (local_lab.root / "out/raw").iterdir()}
    assert found == {"sub-01.txt": "sub-01\n", "sub-02.txt": "sub-02\n"}


TABLE = "participant\tage\tbad name\nsub-01\t30\tx\nsub-02\t41\ty\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("people.tsv", TABLE),
        ("people.csv", 'participant,age,"x, y"\n"sub-01",30,"a\nb"\n\nsub-02,41,c\n'),
    ],
)
def test_a_table_gives_its_columns(local_lab: Lab, name: str, text: str) -> None:
    local_lab.write(name, text)
    job = local_lab.schedule(
        "mkdir -p out; echo {age} > {outputs}",
        outputs=["out/{participant}.txt"],
        foreach_file=name,
    )
    assert job["status"] == "ok", text_of(job)
    assert written(local_lab) == {"sub-01": "30\n", "sub-02": "41\n"}


def test_the_values_are_those_of_the_submission(local_lab: Lab) -> None:
    local_lab.write("people.tsv", "sub\na\nb\n")
    swept(local_lab, foreach_file="people.tsv")
    (local_lab.root / "people.tsv").unlink()
    (local_lab.root / "people.tsv").write_text("sub\nz\n")
    assert written(local_lab) == {"a": "a\n", "b": "b\n"}


def test_python_gives_values_as_they_are(local_lab: Lab) -> None:
    job = swept(local_lab, foreach={"sub": ["a,b", 3, " "]})
    assert job["status"] == "ok", text_of(job)


def test_values_are_never_anything_but_values(local_lab: Lab) -> None:
    values = ["$HOME", "a b", "`id`", "{inputs}", "it's", '"x"', "-n"]
    job = local_lab.schedule(
        'mkdir -p out; printf "%s|" {v} "{v}" \'{v}\' > {outputs}',
        outputs=["out/{v}.txt"],
        foreach={"v": values},
    )
    assert job["status"] == "ok", text_of(job)
    assert written(local_lab) == {value: f"{value}|" * 3 for value in values}


def test_each_task_claims_its_own_paths(local_lab: Lab) -> None:
    job = swept(local_lab, "sleep 0; " + ECHO, foreach=["sub=a,b"])
    refused = local_lab.schedule("true", outputs=["out/b.txt"])
    assert refused["status"] == "impossible"
    assert f"out/b.txt (job {job['slurm_job_id']})" in text_of(refused)
    with sqlite3.connect(local_lab.root / ".git/datalad/hpc/jobs.db") as store:
        held = store.execute("SELECT path, role, task FROM claims ORDER BY task, role").fetchall()
    number = job["slurm_job_id"]
    assert held == [
        (f"slurm-{number}_0.out", "log", 0),
        ("out/a.txt", "output", 0),
        (f"slurm-{number}_1.out", "log", 1),
        ("out/b.txt", "output", 1),
    ]


REFUSED = [
    ({"foreach": ["sub"]}, "cannot be read; write it like sub=sub-01,sub-02"),
    ({"foreach": ["sub=nothing-*"]}, "matches 'nothing-*'"),
    ({"foreach": ["sub=a", "sub=b"]}, "{sub} gets its values twice"),
    ({"foreach": ["inputs=a"]}, "{inputs} has a meaning already"),
    ({"foreach": ["a b=a"]}, "cannot be the name of a placeholder"),
    ({"foreach": ["other=a,b"]}, "use no value of the sweep ({other})"),
    ({"foreach": ["sub=a,,b"]}, "a value that is empty"),
    ({"foreach_file": "missing.tsv"}, "missing.tsv cannot be read: No such file"),
    ({"foreach_file": "ragged.tsv"}, "2 columns, but a row with 3"),
    ({"foreach_file": "empty.tsv"}, "has no rows"),
    ({"foreach": ["sub=a,b"], "outputs": ["out.txt"]}, "have {sub} in it"),
    ({"foreach": ["sub=a,a/b"], "outputs": ["out/{sub}"]}, "would also be that of the one with"),
    ({"foreach": ["sub=a,b"], "outputs": ["{sub}*", "ab"]}, "have {sub} in it"),
    ({"foreach": ["sub=a,ab"], "outputs": ["{sub}*"]}, "would also be that of the one with sub="),
    ({"foreach": ["sub=a,b"], "outputs": ["../{sub}"]}, "outside of the dataset"),
    ({"foreach": ["sub=a,../../b"], "outputs": ["{sub}"]}, "outside of the dataset"),
    ({"foreach": ["sub=.git,b"], "outputs": ["{sub}/x"]}, "Git's own folder"),
    ({"foreach": ["sub=a,b"], "command": "sbatch job.sh {sub}"}, "runs a command for each task"),
    ({"foreach": ["sub=a,b"], "command": "echo {sub:>3} {nobody}"}, "placeholder"),
    ({"foreach": ["sub=a,b"], "command": "echo } {sub}"}, "brace that is meant as such is doubled"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_a_bad_sweep_changes_nothing(local_lab: Lab, options: dict[str, Any], words: str) -> None:
    (local_lab.root / "ragged.tsv").write_text("sub\tage\na\t1\t2\n")
    (local_lab.root / "empty.tsv").write_text("sub\tage\n")
    job = swept(local_lab, **{"command": "echo {sub}", **options})
    assert job["status"] == "impossible"
    assert words in text_of(job)
    assert local_lab.listed() == {}


def test_so_many_run_at_a_time(local_lab: Lab) -> None:
    count = "n=$(ls running 2>/dev/null | wc -l); touch running/{sub}; sleep 0.3; rm running/{sub}"
    (local_lab.root / "running").mkdir()
    job = swept(
        local_lab,
        f"{count}; mkdir -p out; echo $n > {{outputs}}",
        foreach=["sub=a,b,c,d"],
        max_concurrent=1,
    )
    assert job["status"] == "ok", text_of(job)
    assert set(written(local_lab).values()) == {"0\n"}


def limit_script(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(sweeping, "LARGEST_SCRIPT", size)


def test_what_is_too_large_for_one_array_becomes_several(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_script(monkeypatch, 700)
    values = [f"v{number}" for number in range(24)]
    jobs = lab.schedule_all(
        ECHO, outputs=["out/{sub}.txt"], foreach={"sub": values}, max_concurrent=2
    )
    assert len(jobs) > 1
    assert all(job["status"] == "ok" for job in jobs)
    assert written(lab) == {value: f"{value}\n" for value in values}


def test_an_array_that_is_refused_tells_of_the_others(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_script(monkeypatch, 700)
    submit = sweeping.submit_reserved
    calls = []

    def refuse_the_second(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            # What the local scheduler does with such a folder.
            monkeypatch.setenv("SBATCH_OPEN_MODE", "sideways")
        return submit(*arguments)

    monkeypatch.setattr(sweeping, "submit_reserved", refuse_the_second)
    values = [f"v{number}" for number in range(24)]
    first, failed = local_lab.schedule_all(ECHO, outputs=["out/{sub}.txt"], foreach={"sub": values})
    assert first["status"] == "ok"
    assert failed["status"] != "ok"
    number = first["slurm_job_id"]
    assert f"before it run (jobs {number})" in text_of(failed)
    assert list(local_lab.listed()) == [number]
    monkeypatch.delenv("SBATCH_OPEN_MODE")
    again = swept(local_lab, foreach=["sub=v23"])
    assert again["status"] == "ok", text_of(again)


def test_paths_are_those_of_the_folder_of_the_call(
    local_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = local_lab.root / "in here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    from datalad.api import schedule

    (job,) = schedule(
        "echo {sub} > {outputs}",
        outputs=["{sub}.txt"],
        foreach=["sub=a,b"],
        scheduler="local",
        result_renderer="disabled",
    )
    local_lab.wait(job["slurm_job_id"])
    assert sorted(path.name for path in Path(folder).glob("*.txt")) == ["a.txt", "b.txt"]
