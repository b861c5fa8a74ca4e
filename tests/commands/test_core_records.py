"""Records that DataLad core's ``rerun`` runs again, and core's own that are run as jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datalad.api import Dataset

from datalad_hpc.record import CORE_MARKER, MARKER
from tests.commands.conftest import QUIET, Lab, stand_in, text_of
from tests.commands.test_schedule_options import record_of


def set_marker(lab: Lab, marker: str = "core") -> None:
    lab.git("config", "datalad.hpc.record-marker", marker)
    lab.dataset.config.reload(force=True)


@pytest.fixture
def core_lab(local_lab: Lab) -> Lab:
    """Where the records of plain commands have core's marker."""
    set_marker(local_lab)
    return local_lab


def clone_of(lab: Lab, path: Path) -> Lab:
    subprocess.run(["git", "clone", "-q", lab.root, path], check=True)
    subprocess.run(["git", "annex", "init", "-q"], cwd=path, check=True)
    return Lab(Dataset(path), lab.scheduler)


def rerun(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``datalad rerun`` does on the command line."""
    program = str(Path(sys.executable).parent / "datalad")
    argv = [program, "-f", "json", "rerun", *arguments]
    return subprocess.run(argv, cwd=lab.root, check=False, capture_output=True, text=True)


def head(lab: Lab) -> str:
    return lab.git("rev-parse", "HEAD").strip()


def test_rerun_runs_a_plain_command_again(core_lab: Lab, tmp_path: Path) -> None:
    for name in ("a b.txt", "{c}.txt", "it's.txt"):
        core_lab.write(name, f"{name}\n")
    done = core_lab.run(
        "sort -r {inputs} | tee {outputs[0]} | wc -l | tr -d ' ' > {outputs[1]}",
        inputs=["a b.txt", "{{c}}.txt", "it's.txt"],
        outputs=["o ut.txt", "{{n}}"],
        message="Why\n\nHow",
    )
    assert done["status"] == "ok", text_of(done)
    assert core_lab.message().startswith(f"{CORE_MARKER} Why\n\nHow\n\n=== Do not change")
    clone = clone_of(core_lab, tmp_path / "clone")
    clone.git("annex", "get", "--quiet", ".")
    before = head(clone)
    again = rerun(clone)
    assert again.returncode == 0, again.stderr
    assert (clone.root / "o ut.txt").read_text() == "{c}.txt\nit's.txt\na b.txt\n"
    assert (clone.root / "{n}").read_text() == "3\n"
    # Nothing has changed, so nothing is committed.
    assert (head(clone), clone.changes()) == (before, "")
    (clone.root / "a b.txt").unlink()
    clone.write("a b.txt", "z\n")
    again = rerun(clone, before)
    assert again.returncode == 0, again.stderr
    assert sorted((clone.root / "o ut.txt").read_text().split()) == ["it's.txt", "z", "{c}.txt"]
    assert clone.committed() == {"o ut.txt"}
    assert record_of(clone)["chain"] == [before]
    assert "hpc" not in record_of(clone)
    assert clone.message().startswith(f"{CORE_MARKER} Why\n\nHow\n")


def test_rerun_in_a_clone_takes_absent_logs_for_outputs(core_lab: Lab, tmp_path: Path) -> None:
    """Core removes what its commit changed and has no content here; the command writes no logs."""
    done = core_lab.run("echo 1 > out.txt", outputs=["out.txt"])
    clone = clone_of(core_lab, tmp_path / "clone")
    again = rerun(clone)
    assert again.returncode == 0, again.stderr
    assert (clone.root / "out.txt").read_text() == "1\n"
    job = done["slurm_job_id"]
    assert clone.committed() == {f"slurm-{job}.out", f"slurm-job-{job}.env.json"}
    assert clone.changes() == ""


def test_rerun_expects_the_failure_of_a_failed_job(core_lab: Lab) -> None:
    core_lab.schedule("date +%N > out.txt; exit 3", outputs=["out.txt"])
    core_lab.wait()
    (done,) = core_lab.finish(commit_failed_jobs=True)
    assert done["status"] == "ok", text_of(done)
    record = record_of(core_lab)
    assert (record["exit"], record["hpc"]["state"]) == (3, "Failed")
    again = rerun(core_lab)
    assert again.returncode == 0, again.stderr
    assert core_lab.committed() == {"out.txt"}
    assert (record_of(core_lab)["exit"], record_of(core_lab)["chain"]) == (3, [done["commit"]])
    (refused,) = core_lab.reschedule()
    assert "had failed" in text_of(refused)
    (taken,) = core_lab.reschedule(with_failed_jobs=True)
    assert taken["status"] == "ok", text_of(taken)
    core_lab.wait()


def test_paths_of_core_are_relative_to_the_folder(core_lab: Lab, inside: Any) -> None:
    from datalad.api import schedule

    core_lab.write("in.txt", "1\n")
    inside("sub dir/deeper")
    job = schedule(
        "cat {inputs} > {outputs[0]}; mkdir -p ../folder; cat {inputs} > ../folder/x; touch here",
        inputs=["../../in.txt"],
        outputs=["../out.txt", "../folder/", "here"],
        scheduler="local",
        result_renderer="disabled",
    )
    assert job[0]["outputs"] == ["sub dir/out.txt", "sub dir/folder/", "sub dir/deeper/here"]
    core_lab.wait()
    (done,) = core_lab.finish()
    assert done["status"] == "ok", text_of(done)
    record = record_of(core_lab)
    assert record["pwd"] == "sub dir/deeper"
    assert record["outputs"] == ["../out.txt", "../folder/", "here"]
    assert record["inputs"] == ["../../in.txt"]
    (core_lab.root / "in.txt").unlink()
    core_lab.write("in.txt", "2\n")
    again = rerun(core_lab, done["commit"])
    assert again.returncode == 0, again.stderr
    assert core_lab.committed() == {"sub dir/out.txt", "sub dir/folder/x"}
    (repeated,) = core_lab.reschedule()
    assert repeated["status"] == "ok", text_of(repeated)
    assert repeated["outputs"] == job[0]["outputs"]
    core_lab.wait()
    (done,) = core_lab.finish()
    assert done["status"] == "ok", text_of(done)
    assert len(record_of(core_lab)["chain"]) == 2


def test_rerun_passes_over_what_only_a_scheduler_can_run(core_lab: Lab) -> None:
    start = head(core_lab)
    core_lab.script("date +%N > by-script")
    assert core_lab.run("sbatch job.sh", outputs=["by-script"])["status"] == "ok"
    assert core_lab.message().startswith(f"{MARKER} Slurm job ")
    assert core_lab.run("date +%N > plain", outputs=["plain"])["status"] == "ok"
    assert core_lab.message().startswith(f"{CORE_MARKER} date +%N > plain\n\n===")
    core_lab.write("by-hand")
    again = rerun(core_lab, f"--since={start}")
    assert again.returncode == 0, again.stderr
    assert core_lab.committed() == {"plain"}
    told = [json.loads(line) for line in again.stdout.splitlines()]
    ran = [res for res in told if res.get("rerun_action") == "run" or res["action"] == "run"]
    assert len([res for res in ran if "run_info" in res]) == 1


def test_a_dataset_without_an_id_can_be_rerun(core_lab: Lab) -> None:
    core_lab.git("config", "-f", ".datalad/config", "--unset", "datalad.dataset.id")
    core_lab.save(".datalad/config")
    core_lab.dataset.config.reload(force=True)
    core_lab.dataset.close()
    assert core_lab.run("date +%N > plain", outputs=["plain"])["status"] == "ok"
    again = rerun(core_lab)
    assert again.returncode == 0, again.stderr
    assert core_lab.committed() == {"plain"}


@pytest.mark.parametrize("marker", ["both", "CORES"])
def test_another_marker_is_refused_before_anything_is_done(local_lab: Lab, marker: str) -> None:
    local_lab.schedule("date > plain", outputs=["plain"])
    local_lab.wait()
    set_marker(local_lab, marker)
    (refused,) = local_lab.finish()
    assert refused["status"] == "impossible"
    assert "it can be hpc or core" in text_of(refused)
    set_marker(local_lab, "hpc")
    assert [res["status"] for res in local_lab.finish()] == ["ok"]
    assert local_lab.message().startswith(MARKER)


def test_the_marker_of_a_dataset_somebody_else_made_does_not_count(local_lab: Lab) -> None:
    local_lab.git("config", "-f", ".datalad/config", "datalad.hpc.record-marker", "core")
    local_lab.save(".datalad/config")
    local_lab.dataset.config.reload(force=True)
    assert local_lab.run("date > plain", outputs=["plain"])["status"] == "ok"
    assert local_lab.message().startswith(MARKER)


def run(lab: Lab, command: Any, **options: Any) -> str:
    """What core's own ``run`` commits."""
    lab.dataset.run(command, **QUIET, **options)
    return head(lab)


def repeated(lab: Lab, *revision: str, **options: Any) -> dict[str, Any]:
    """Schedule a record again, and finish it."""
    (job,) = lab.reschedule(*revision, **options)
    assert job["status"] == "ok", text_of(job)
    lab.wait()
    (done,) = lab.finish()
    assert done["status"] == "ok", text_of(done)
    return job


def test_a_run_of_core_becomes_a_job(lab: Lab) -> None:
    lab.write("in put.txt", "1\n")
    commit = run(
        lab,
        "cat {inputs} > {outputs}; date +%N >> {outputs}",
        inputs=["in put.txt"],
        outputs=["out put.txt"],
        message="Why",
    )
    job = repeated(lab)
    assert job["outputs"] == ["out put.txt"]
    assert "out put.txt" in lab.committed()
    record = record_of(lab)
    assert record["chain"] == [commit]
    assert record["cmd"] == "cat {inputs} > {outputs}; date +%N >> {outputs}"
    assert "\n\nWhy\n\n===" in lab.message()
    # And once more, from the record of the job.
    repeated(lab)
    assert len(record_of(lab)["chain"]) == 2


def test_a_run_without_outputs_reserves_what_its_commit_changed(local_lab: Lab) -> None:
    lab = local_lab
    for name in ("gone", "kept"):
        lab.write(name)
    commit = run(lab, "mkdir d; date > 'd/a b'; date > 'x[1]'; git rm -q gone; echo 2 >> new")
    assert lab.committed() == {"d/a b", "x[1]", "gone", "new"}
    (shown,) = lab.reschedule(report=True)
    assert shown["outputs"] == ["d/a b", "new", "x[1]"], text_of(shown)
    lab.git("commit", "-q", "--allow-empty", "-m", lab.message(commit))
    (refused,) = lab.reschedule()
    assert "no new or changed files" in text_of(refused)


def test_a_record_in_a_sidecar_file(local_lab: Lab) -> None:
    lab = local_lab
    run(lab, "date > out.txt", sidecar=True)
    (sidecar,) = (lab.root / ".datalad/runinfo").iterdir()
    (shown,) = lab.reschedule(report=True)
    assert (shown["command"], shown["outputs"]) == ("date > out.txt", ["out.txt"])
    content = sidecar.resolve()
    for text, words in [(b"no xz", "cannot be read"), (b"", "cannot be read"), (None, "not here")]:
        content.parent.chmod(0o755)
        content.unlink(missing_ok=True)
        if text is not None:
            content.write_bytes(text)
        (refused,) = lab.reschedule(report=True)
        assert words in text_of(refused)
        assert f".datalad/runinfo/{sidecar.name}" in text_of(refused)


def test_a_command_that_is_a_list_in_an_old_record(local_lab: Lab) -> None:
    record = {"cmd": ["printf", "%s\\n", "a b", "it's"], "outputs": [], "pwd": ".", "exit": 0}
    local_lab.git("commit", "-q", "--allow-empty", "-m", core_message(record))
    (local_lab.root / "made").touch()
    local_lab.git("add", "made")
    local_lab.git("commit", "-q", "--amend", "--no-edit")
    (shown,) = local_lab.reschedule(report=True)
    assert shown["command"] == """printf '%s\\n' 'a b' 'it'"'"'s'"""


def core_message(record: Any, subject: str = "Subject") -> str:
    return (
        f"{CORE_MARKER} {subject}\n\n=== Do not change lines below ===\n{json.dumps(record)}\n"
        "^^^ Do not change lines above ^^^\n"
    )


def test_a_run_in_a_container_becomes_a_job(local_lab: Lab) -> None:
    lab = local_lab
    lab.script('exec "$@"', name="image dir/image")
    (lab.root / "image dir/image").chmod(0o755)
    lab.save()
    lab.dataset.containers_add(
        "tool", image="image dir/image", call_fmt="sh '{img}' {cmd}", **QUIET
    )
    lab.write("job.in")
    (done,) = lab.dataset.containers_run(
        "cp {inputs} {outputs}",
        container_name="tool",
        inputs=["job.in"],
        outputs=["o"],
        **{**QUIET, "result_filter": lambda res: res["action"] == "run"},
    )
    assert done["status"] == "ok"
    commit = head(lab)
    assert record_of(lab)["extra_inputs"] == ["image dir/image"]
    lab.git("rm", "-q", "o")
    lab.save()
    repeated(lab, commit)
    assert (lab.root / "o").read_text() == "content\n"
    assert record_of(lab)["extra_inputs"] == ["image dir/image"]
    assert record_of(lab)["chain"] == [commit]


def test_a_report_and_a_script_of_all_kinds_of_records(
    local_lab: Lab, before: Path, tmp_path: Path
) -> None:
    lab = local_lab
    lab.script("date > by-script")
    lab.run("sbatch job.sh x", outputs=["by-script"])
    lab.git("checkout", "-q", "-b", "other", "HEAD^")
    run(lab, "printf 'a  b\\n' > {outputs}; echo END >> {outputs}", outputs=["by core"])
    lab.git("checkout", "-q", "-")
    lab.run("echo 'it is' > {outputs}", outputs=["plain"])
    lab.git("merge", "-q", "--no-ff", "-m", "both", "other")
    lab.write("by-hand")
    shown = lab.reschedule(since="", report=True)
    assert sorted(res["command_line"] for res in shown) == [
        "echo 'it is' > {outputs}",
        "printf 'a  b\\n' > {outputs}; echo END >> {outputs}",
        "sbatch job.sh x",
    ]
    (written,) = lab.reschedule(since="", script=str(tmp_path / "again.sh"))
    assert written["status"] == "ok", text_of(written)
    # In the place of sbatch: a script that has no file comes in at its standard input.
    stand_in(before, "sbatch", 'if test "$1"; then echo "$@"; else bash; fi\n')
    lab.git("rm", "-q", "by core", "plain")
    ended = subprocess.run([tmp_path / "again.sh"], check=True, stdout=subprocess.PIPE)
    assert ended.stdout == b"job.sh x\n"
    assert (lab.root / "by core").read_text() == "a  b\nEND\n"
    assert (lab.root / "plain").read_text() == "it is\n"


def test_all_of_a_mixed_history(local_lab: Lab) -> None:
    """Core's ``rerun`` of a run, and a failed run, stand in the range with our own records."""
    lab = local_lab
    commit = run(lab, "date +%N > {outputs}", outputs=["by core"])
    lab.run("date +%N > {outputs}", outputs=["plain"])
    lab.dataset.run("date +%N > failed; exit 4", outputs=["failed"], on_cmd_failure="save", **QUIET)
    assert record_of(lab)["exit"] == 4
    found = lab.reschedule(since="")
    assert [(res["status"], res["outputs"]) for res in found] == [
        ("ok", ["by core"]),
        ("ok", ["plain"]),
    ]
    lab.wait()
    assert {res["status"] for res in lab.finish()} == {"ok"}
    (again,) = lab.reschedule("HEAD~2", with_failed_jobs=True)
    assert again["outputs"] == ["failed"]
    lab.wait()
    (done,) = lab.finish(commit_failed_jobs=True)
    assert done["status"] == "ok", text_of(done)
    assert rerun(lab, commit).returncode == 0
    assert record_of(lab)["chain"] == [commit]
    repeated(lab)
    assert record_of(lab)["chain"][0] == commit
    assert len(record_of(lab)["chain"]) == 2
    # What was repeated twice by now is run once.
    found = lab.reschedule(since="", with_failed_jobs=True)
    assert [(res["status"], *res["outputs"]) for res in found] == [
        ("ok", "plain"),
        ("ok", "failed"),
        ("ok", "by core"),
    ]
    lab.wait()
