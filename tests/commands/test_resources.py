"""What a job needs, given on the command line or by a template: the job gets it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from datalad_hpc.process import run
from tests.commands.conftest import Lab, text_of

SHOW = "scontrol show job $SLURM_JOB_ID > {outputs}"
SHORTHAND = "2 0:07 300MB comment='a \"b\" # c'"


def facts_in(text: str) -> dict[str, str]:
    """What ``scontrol show job`` prints; a comment goes on to the end of its line."""
    return {**dict(re.findall(r"(\w+)=(\S*)", text)), **dict(re.findall(r"(Comment)=(.*)", text))}


def configure(lab: Lab, name: str, *values: str, file: str = "") -> None:
    """Set something, in the dataset's own file or in the one that only its owner has."""
    for value in values:
        lab.git("config", *(("--file", file) if file else ()), "--add", name, value)
    lab.dataset.config.reload(force=True)


def needs(facts: dict[str, str]) -> tuple[str, str, str]:
    return facts["NumCPUs"], facts["TimeLimit"], facts["MinMemoryNode"]


@pytest.mark.slurm
@pytest.mark.parametrize("command", [SHOW, "sbatch job.sh"])
def test_the_job_gets_what_it_needs(
    dataset: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(dataset, "slurm")
    lab.script("#SBATCH --time=9\n" + SHOW.format(outputs="out.txt"))
    monkeypatch.setenv("SBATCH_TIMELIMIT", "11")
    done = lab.run(command, outputs=["out.txt"], resources=SHORTHAND)
    assert done["status"] == "ok", text_of(done)
    facts = facts_in((lab.root / "out.txt").read_text())
    assert needs(facts) == ("2", "00:07:00", "300M")
    assert facts["Comment"].startswith('a "b" # c; ')
    (again,) = lab.reschedule()
    assert again["status"] == "ok", text_of(again)
    lab.wait()
    assert lab.finish()[-1]["status"] == "ok"
    assert needs(facts_in((lab.root / "out.txt").read_text())) == ("2", "00:07:00", "300M")


@pytest.mark.slurm
def test_options_of_the_command_win(dataset: Any) -> None:
    lab = Lab(dataset, "slurm")
    lab.script(SHOW.format(outputs="out.txt"))
    done = lab.run("sbatch -t 5 job.sh", outputs=["out.txt"], resources=["2", "0:07 300MB"])
    assert done["status"] == "ok", text_of(done)
    assert needs(facts_in((lab.root / "out.txt").read_text())) == ("2", "00:05:00", "300M")


def test_the_local_scheduler_says_that_it_ignores_them(
    local_lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        done = local_lab.run("echo x > {outputs}", outputs=["out.txt"], resources="4 3:00 15G gpu")
    assert done["status"] == "ok", text_of(done)
    assert "--cpus-per-task" in caplog.text
    assert "--gres" in caplog.text


def test_what_is_not_understood_submits_nothing(local_lab: Lab) -> None:
    job = local_lab.schedule("true", outputs=["out.txt"], resources=["4", "1h"])
    assert job["status"] == "impossible"
    assert "--resources: '1h' cannot be understood" in text_of(job)
    assert local_lab.listed() == {}


def test_a_template_is_overridden_by_what_is_given(local_lab: Lab) -> None:
    configure(local_lab, "datalad.hpc.template.big", "16 1-0:00 64G exclusive")
    planned = dry(local_lab, template="Big", resources="4 mem-per-cpu=1G")
    assert planned["argv"][1:-1] == [
        *("--time=1-00:00:00", "--exclusive", "--cpus-per-task=4", "--mem-per-cpu=1G")
    ]


def dry(lab: Lab, **options: Any) -> dict[str, Any]:
    job = lab.schedule("true", outputs=["out.txt"], dry_run="basic", **options)
    assert job["status"] == "ok", text_of(job)
    return dict(job["dry_run"])


def test_an_unknown_template_is_told_which_there_are(local_lab: Lab) -> None:
    job = local_lab.schedule("true", outputs=["out.txt"], template="big")
    assert job["status"] == "impossible"
    assert "git config --global datalad.hpc.template.NAME" in text_of(job)
    configure(local_lab, "datalad.hpc.template.small", "1")
    configure(local_lab, "datalad.hpc.template.tiny", "1", file=".datalad/config")
    job = local_lab.schedule("true", outputs=["out.txt"], template="big")
    assert "no template 'big'; known are small, tiny" in text_of(job)


def test_a_template_of_the_dataset_is_used_unless_the_user_has_one(local_lab: Lab) -> None:
    name = "datalad.hpc.template.big"
    configure(local_lab, name, "4 8G partition=long", file=".datalad/config")
    local_lab.save()
    assert "--partition=long" in dry(local_lab, template="big")["argv"]
    configure(local_lab, name, "2")
    assert dry(local_lab, template="big")["argv"] == ["sbatch", "--cpus-per-task=2", "job.sh"]


HARM = (
    *("output=/home/you/.bashrc", "error=x", "input=/etc/passwd", "export=ALL,LD_PRELOAD=x.so"),
    *("mail-user=me@example.com", "container=x", "account=lab", "uid=0", "hold", "qos=high"),
    *("chdir=/", "wrap='rm -rf /'", "bb=x", "nodefile=x", "comment='a\nb'", "job-name='$(id)'"),
    *("reservation=ours", "priority=9", "get-user-env", "mem=4G\n--output=x", "'mem=4G\n#'"),
)


def test_a_dataset_can_do_no_harm_by_a_template(local_lab: Lab) -> None:
    for number, harm in enumerate(HARM):
        name = f"datalad.hpc.template.bad{number}"
        local_lab.git("config", "--file", ".datalad/config", name, f"1 {harm}")
    configure(local_lab, "datalad.hpc.template.good", "1 4G", file=".datalad/config")
    for number, harm in enumerate(HARM):
        job = local_lab.schedule("true", outputs=["out.txt"], template=f"bad{number}")
        assert job["status"] == "impossible", harm
        setting = f"datalad.hpc.template.bad{number} (from the dataset's .datalad/config)"
        assert setting in text_of(job), harm
    assert local_lab.listed() == {}
    assert "--mem=4G" in dry(local_lab, template="good")["argv"]


def test_a_sweep_has_them_too(local_lab: Lab) -> None:
    job = local_lab.schedule(
        "true {x}", foreach={"x": ["1", "2"]}, outputs=["{x}"], resources="4G", dry_run="basic"
    )
    assert job["dry_run"]["argv"] == ["sbatch", "--mem=4G", "--array=0-1", "job.sh"]
    assert "#SBATCH --mem=4G\n#SBATCH --array=0-1\n" in job["dry_run"]["script"]


def test_templates_are_listed_with_what_they_mean(
    local_lab: Lab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    none = local_lab.schedule(None, list_templates=True)
    assert none["status"] == "ok"
    assert "no template is configured; make one with `git config" in text_of(none)
    configure(local_lab, "datalad.hpc.template.big", "16 1-0:00")
    configure(local_lab, "datalad.hpc.template.shared", "hold", file=".datalad/config")
    big, shared = local_lab.schedule_all(None, list_templates=True)
    assert (big["template"], big["shorthand"]) == ("big", "16 1-0:00")
    assert big["resources"] == {"cpus-per-task": "16", "time": "1-00:00:00"}
    assert big["origin"] == "your configuration"
    assert shared["resources"] is None
    assert "cannot be taken from a dataset" in shared["meaning"]
    assert local_lab.listed() == {}
    shown = run(["datalad", "schedule", "--list-templates"], folder=local_lab.root).text
    assert shown.startswith(
        "big: 16 1-0:00\n  --cpus-per-task=16 --time=1-00:00:00\n  from your configuration\n"
    )
