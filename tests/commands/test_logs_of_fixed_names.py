"""A log whose name has no id in it: the next job writes it where that of the last one is."""

from __future__ import annotations

from pathlib import Path

from tests.commands.conftest import Lab, text_of


def test_the_log_that_is_committed_is_not_written_to(lab: Lab) -> None:
    lab.script("echo run $1 | tee out.txt")
    for number in (1, 2):
        done = lab.run(f"sbatch -o same.log job.sh {number}", outputs=["out.txt"])
        assert done["status"] == "ok", text_of(done)
        assert (lab.root / "same.log").read_text() == f"run {number}\n"
    lab.git("annex", "fsck", "-q", "--all")
    lab.git("checkout", "-q", "HEAD~1")
    assert (lab.root / "same.log").read_text() == "run 1\n"


def test_what_was_made_writable_is_as_before_once_it_was_given_up(local_lab: Lab) -> None:
    lab = local_lab
    lab.script("echo log")
    lab.run("sbatch -o same.log --wrap 'echo log; echo > x'", outputs=["x"])
    target = Path(lab.root / "same.log").readlink()
    lab.schedule("sbatch -o same.log --wrap 'echo log; exit 1'", outputs=["x"])
    assert not (lab.root / "same.log").is_symlink()
    lab.wait()
    lab.finish(close_failed_jobs=True)
    assert (lab.root / "same.log").readlink() == target
    assert lab.changes() == ""
