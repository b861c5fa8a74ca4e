"""What else a job can wait for, where it cannot, and what that means for its inputs."""

from __future__ import annotations

import fcntl
import subprocess
import time
from pathlib import Path

import pytest
from datalad.api import Dataset

from tests.children import start
from tests.commands.conftest import Lab, ask_store, stand_in, text_of
from tests.commands.test_chains import GATE, held, let_go, scheduled
from tests.helpers import wait_for


def test_a_job_waits_for_those_that_are_named(lab: Lab) -> None:
    first = held(lab)
    job = lab.schedule("cp a.txt b.txt", outputs=["b.txt"], after=[first])
    assert f"it waits for job {first}" in text_of(job)
    let_go(lab)
    lab.wait()
    assert [res["slurm_job_id"] for res in lab.finish()] == [first, job["slurm_job_id"]]
    # Now it is over, and there is nothing to wait for.
    job = lab.schedule("cp a.txt c.txt", outputs=["c.txt"], after=first)
    assert job["status"] == "ok"
    assert "waits" not in text_of(job)
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"


def test_what_was_given_up_or_is_not_known_is_not_waited_for(lab: Lab) -> None:
    first = scheduled(lab, "false", outputs=["a.txt"])
    lab.wait()
    failed = lab.schedule("true", outputs=["b.txt"], after=[first])
    assert f"job {first}, named with --after, did not succeed" in text_of(failed)
    assert lab.finish(close_failed_jobs=True)[-1]["status"] == "ok"
    closed = lab.schedule("true", outputs=["b.txt"], after=[first])
    assert f"job {first}, named with --after, is over without a commit" in text_of(closed)
    unknown = lab.schedule("true", outputs=["b.txt"], after=["987654321"])
    assert f"{lab.scheduler} does not know job 987654321" in text_of(unknown)
    nonsense = lab.schedule("true", outputs=["b.txt"], after=["yesterday"])
    assert "no job 'yesterday'" in text_of(nonsense)
    results = (failed, closed, unknown, nonsense)
    assert {res["status"] for res in results} == {"impossible"}
    assert lab.listed() == {}


def test_a_job_of_another_dataset_is_waited_for(lab: Lab, tmp_path: Path) -> None:
    from datalad.api import create

    other = Lab(Dataset(tmp_path / "other"), lab.scheduler)
    create(other.root, result_renderer="disabled")
    first = held(other)
    job = lab.schedule(f"cp {other.root}/a.txt b.txt", outputs=["b.txt"], after=[first])
    assert f"it waits for job {first}" in text_of(job)
    let_go(other)
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"
    other.wait()
    last = lab.schedule(f"cp {other.root}/a.txt c.txt", outputs=["c.txt"], after=[first])
    assert last["status"] == "ok"
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"


def test_one_task_of_an_array_is_enough(lab: Lab) -> None:
    lab.script(
        f"test $SLURM_ARRAY_TASK_ID = 1 || {{ {GATE}\n}}; echo $SLURM_ARRAY_TASK_ID > "
        "$SLURM_ARRAY_TASK_ID.txt"
    )
    array = scheduled(lab, "sbatch --array=0-1 job.sh", outputs=["{task}.txt"])
    job = scheduled(lab, "cat 1.txt > one", inputs=["1.txt"], outputs=["one"])
    named = scheduled(lab, "cat 1.txt > two", outputs=["two"], after=[f"{array}_1"])
    both = scheduled(lab, "cat 0.txt 1.txt > three", inputs=["?.txt"], outputs=["three"])
    lab.wait(job, named)
    assert "PENDING" in lab.listed()[both]["slurm_job_status"]
    let_go(lab)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * 4
    assert (lab.root / "three").read_text() == "0\n1\n"


def test_tasks_of_a_sweep_wait_for_their_likes(lab: Lab) -> None:
    gate = "{ test {x} = 1 || until test -e .git/go; do sleep 0.05; done; }"
    first = scheduled(
        lab,
        f"{gate.replace('{ ', '{{ ').replace('; }', '; }}')} && echo {{x}} > {{x}}.a",
        outputs=["{x}.a"],
        foreach=["x=1,2"],
    )
    second = scheduled(
        lab, "cat {x}.a > {x}.b", inputs=["{x}.a"], outputs=["{x}.b"], foreach=["x=1,2"]
    )
    wait_for((lab.root / "1.b").exists)
    assert not (lab.root / "2.b").exists()
    assert "PENDING" in lab.listed()[second]["slurm_job_status"]
    let_go(lab)
    lab.wait()
    assert lab.listed()[first]["slurm_job_status"] == "COMPLETED"
    done = lab.finish()
    assert [res["status"] for res in done] == ["ok"] * 4
    assert [res["slurm_job_id"].partition("_")[0] for res in done] == [first] * 2 + [second] * 2
    assert (lab.root / "2.b").read_text() == "2\n"


@pytest.mark.parametrize("glob", ["*.csv", "out [1]/*.c[s]v", "it's/?.csv"])
def test_globs_are_expanded_when_the_files_are_there(local_lab: Lab, glob: str) -> None:
    lab = local_lab
    folder = glob.rpartition("/")[0].replace("[1]", "1")
    (lab.root / folder).mkdir(exist_ok=True)
    names = [str(Path(folder, f"{number}.csv")) for number in (1, 2)]
    first = held(lab, " && ".join(f'echo {n} > "{name}"' for n, name in enumerate(names)), *names)
    job = lab.schedule(
        ["cat", "{inputs}", ">", "sum"][0] + " {inputs} > sum", inputs=[glob], outputs=["sum"]
    )
    assert f"waits for job {first}" in text_of(job)
    refused = lab.schedule("sbatch job.sh {inputs}", inputs=[glob], outputs=["other"])
    assert refused["status"] == "impossible"
    quoted = lab.schedule('cat "{inputs}"', inputs=[glob], outputs=["other"])
    assert quoted["status"] == "impossible"
    assert "outside of quotes" in text_of(quoted)
    let_go(lab)
    lab.wait()
    assert {res["status"] for res in lab.finish()} == {"ok"}
    assert (lab.root / "sum").read_text() == "0\n1\n"


def test_what_is_taken_as_it_is_is_not_waited_for(local_lab: Lab) -> None:
    lab = local_lab
    lab.write("a.txt")
    held(lab)
    job = lab.schedule(
        "cat a.txt > b.txt", inputs=["a.txt"], outputs=["b.txt"], assume_ready="inputs"
    )
    assert "waits" not in text_of(job)
    let_go(lab)
    lab.wait()


def test_it_cannot_wait_for_a_job_elsewhere(local_lab: Lab) -> None:
    lab = local_lab
    first = held(lab)
    ask_store(lab, "UPDATE jobs SET cluster = 'elsewhere'")
    job = lab.schedule("true", inputs=["a.txt"], outputs=["b.txt"])
    assert job["status"] == "impossible"
    assert f"job {first}, which makes a.txt, is on local (elsewhere)" in text_of(job)
    let_go(lab)
    lab.wait()
    # What has succeeded there is here.
    job = lab.schedule("true > b.txt", inputs=["a.txt"], outputs=["b.txt"])
    assert job["status"] == "ok", text_of(job)
    lab.wait()


def test_own_conditions_hold_as_well(lab: Lab) -> None:
    first, other = held(lab), scheduled(lab, f"{GATE}echo o > o.txt", outputs=["o.txt"])
    lab.script("cat a.txt o.txt > b.txt", "b.sh")
    job = lab.schedule(
        f"sbatch --dependency=afterok:{other} b.sh", inputs=["a.txt"], outputs=["b.txt"]
    )
    assert f"waits for job {first}" in text_of(job)
    either = lab.schedule(
        f"sbatch --dependency=afterok:{other}?afterany:{other} b.sh",
        inputs=["a.txt"],
        outputs=["c.txt"],
    )
    assert either["status"] == "impossible"
    assert "asks for any one" in text_of(either)
    let_go(lab)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok"] * 3


class TestAlternativeDirectory:
    @pytest.fixture
    def there(self, tmp_path: Path) -> Path:
        folder = tmp_path / "scratch"
        folder.mkdir()
        return folder

    def test_a_chain_stays_there(self, local_lab: Lab, there: Path) -> None:
        lab = local_lab
        lab.write("a.txt", "old\n")
        gate = GATE.replace("$PWD", str(lab.root))
        first = scheduled(lab, f"{gate}echo new > a.txt", outputs=["a.txt"], alt_dir=str(there))
        second = scheduled(
            lab, "cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"], alt_dir=str(there)
        )
        third = scheduled(
            lab,
            f"{gate.replace('go', 'goon')}cp a.txt c.txt",
            inputs=["a.txt"],
            outputs=["c.txt"],
            alt_dir=str(there),
        )
        let_go(lab)
        lab.wait(first, second)
        # What others read there is not taken away.
        results = {res["slurm_job_id"]: res for res in lab.finish()}
        assert f"until job {third} has ended" in text_of(results[first])
        assert f"until job {first} is finished" in text_of(results[second])
        (lab.root / ".git" / "goon").touch()
        lab.wait()
        assert [res["status"] for res in lab.finish()] == ["ok"] * 3
        assert {(lab.root / f"{name}.txt").read_text() for name in "abc"} == {"new\n"}

    def test_what_is_made_elsewhere_is_no_input_yet(
        self, local_lab: Lab, there: Path, tmp_path: Path
    ) -> None:
        lab = local_lab
        gate = GATE.replace("$PWD", str(lab.root))
        first = scheduled(lab, f"{gate}echo a > a.txt", outputs=["a.txt"], alt_dir=str(there))
        second = held(lab, "echo b > b.txt", "b.txt")
        (tmp_path / "another").mkdir()

        def refused(path: str, place: Path | None) -> str:
            alt_dir = {"alt_dir": str(place)} if place else {}
            job = lab.schedule("true", inputs=[path], outputs=["c.txt"], **alt_dir)
            assert job["status"] == "impossible"
            return text_of(job)

        assert f"--alt-dir {there}" in refused("a.txt", None)
        assert f"--alt-dir {there}" in refused("a.txt", tmp_path / "another")
        assert f"job {second}, which makes b.txt, has not ended" in refused("b.txt", there)
        let_go(lab)
        lab.wait()
        assert f"datalad finish {first}" in refused("a.txt", there)
        third = scheduled(
            lab, "cp b.txt c.txt", inputs=["b.txt"], outputs=["c.txt"], alt_dir=str(there)
        )
        lab.wait(third)
        assert [res["status"] for res in lab.finish()] == ["ok"] * 3


@pytest.mark.slurm
def test_without_an_answer_nothing_is_submitted(dataset: Dataset, before: Path) -> None:
    lab = Lab(dataset, "slurm")
    first = held(lab)
    for program in ("sacct", "squeue", "scontrol"):
        stand_in(before, program, "echo 'no answer today' >&2; exit 1\n")
    job = lab.schedule("cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    assert job["status"] == "impossible"
    assert f"cannot be told whether job {first}, which makes a.txt, succeeds" in text_of(job)
    # Nor while it cannot be told whether there is such a job.
    ask_store(lab, f"UPDATE jobs SET state = 'submitting', job_id = '' WHERE job_id = '{first}'")
    job = lab.schedule("cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    assert job["status"] == "impossible"
    assert "job submission-" in text_of(job)
    for program in ("sacct", "squeue", "scontrol"):
        (before / program).unlink()
    # Now it is found again, and waited for.
    job = lab.schedule("cp a.txt b.txt", inputs=["a.txt"], outputs=["b.txt"])
    assert f"waits for job {first}" in text_of(job)
    let_go(lab)
    lab.wait()
    assert [res["status"] for res in lab.finish()] == ["ok", "ok"]


def test_a_job_that_is_being_submitted_is_waited_for(local_lab: Lab) -> None:
    """Two at once, as from two terminals: the first retrieves its input for a while."""
    lab = local_lab
    lab.script("echo a > a.txt", "a.sh")
    lab.write("in.dat")
    token = "0123456789abcdef"
    lock = lab.root / ".git" / "datalad" / "hpc" / f"submission-{token}.lock"
    first = held(lab)
    ask_store(lab, f"UPDATE jobs SET state = 'reserved', token = '{token}'")
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        child = start(lambda: text_of(lab.schedule("true", inputs=["a.txt"], outputs=["b.txt"])))
        time.sleep(1)
        ask_store(lab, "UPDATE jobs SET state = 'open'")
    lock.unlink()
    # Of the local scheduler's job the token is another one now, as if it were just accepted.
    told = str(child.outcome().value)
    assert f"waits for job {first} (a.txt)" in told
    let_go(lab)
    ask_store(lab, "UPDATE jobs SET state = 'closed'")


@pytest.mark.slurm
def test_a_job_that_waits_for_ever_says_so(dataset: Dataset) -> None:
    lab = Lab(dataset, "slurm")
    first = held(lab, "false")
    second = scheduled(
        lab,
        "cp a.txt b.txt",
        inputs=["a.txt"],
        outputs=["b.txt"],
        resources=["kill-on-invalid-dep=no"],
    )
    let_go(lab)
    lab.wait(first)
    wait_for(lambda: "chain_note" in lab.listed()[second] and "failed" in listed(lab, second))
    assert f"its predecessor, job {first}, failed, so that it never starts" in listed(lab, second)
    subprocess.run(["scancel", second], check=True)
    lab.wait()
    assert [res["status"] for res in lab.finish(close_failed_jobs=True)] == ["ok", "ok"]


def listed(lab: Lab, job: str) -> str:
    return text_of(lab.listed()[job])
