"""The Slurm scheduler against the Slurm that runs here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from datalad_hpc.errors import SchedulerUnreachable, SubmissionRefused, SubmissionUncertain
from datalad_hpc.schedulers import slurm_accounting
from datalad_hpc.schedulers.base import Cancellation, Handover
from datalad_hpc.schedulers.slurm import Slurm
from datalad_hpc.schedulers.slurm_accounting import LAST_COLUMN, SEPARATOR, STATUS_COLUMNS
from datalad_hpc.schedulers.slurm_queue import (
    COLUMNS,
    FIELD_END,
    FIRST_HEADING,
    LIVE_COLUMNS,
    ROW_END,
)
from datalad_hpc.status import JobKey, JobStatus, Phase, Submission


def slurm_answers() -> bool:
    try:
        return subprocess.run(["sinfo", "-h"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not slurm_answers(), reason="no Slurm answers here"),
]

SINCE = datetime.now(timezone.utc)


class Desk:
    """Submits to the real Slurm, and cancels what it submitted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slurm = Slurm()
        self.keys: list[JobKey] = []

    def handover(self, *arguments: str, token: str = "") -> Handover:
        token = token or uuid.uuid4().hex
        own = ("sbatch", f"--comment=datalad-hpc:{token}", f"--chdir={self.folder}")
        return Handover((*own, *arguments), str(self.folder), token)

    def submit(self, *arguments: str, tasks: tuple[int, ...] | None = None) -> JobKey:
        handover = self.handover("--output=log-%A-%a", *arguments)
        submission = self.slurm.submit(handover)
        key = JobKey(submission.job_id, submission.cluster, handover.token, SINCE, tasks)
        self.keys.append(key)
        return key

    def status(self, key: JobKey, *, facts: bool = False) -> JobStatus | None:
        return self.slurm.status([key], facts=facts).get(key.job_id)

    def wait(
        self, key: JobKey, until: Callable[[JobStatus], bool], *, facts: bool = False
    ) -> JobStatus:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = self.status(key, facts=facts)
            if status and until(status):
                return status
            time.sleep(0.1)
        raise AssertionError(f"job {key.job_id} stays {self.status(key)}")

    def end(self, key: JobKey, *, facts: bool = False) -> JobStatus:
        ended = self.wait(key, lambda status: status.phase is not Phase.LIVE)
        return self.wait(key, lambda status: True, facts=True) if facts else ended


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    if desk.keys:
        subprocess.run(["scancel", *(key.job_id for key in desk.keys)], check=False)


def control(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True)


def states(status: JobStatus | None) -> dict[int | None, str]:
    return {task.index: task.state for task in status.tasks} if status else {}


@pytest.fixture
def no_accounting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "sacct", "echo 'Slurm accounting storage is disabled' >&2")


def stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, code: int = 1
) -> None:
    """Put a program of that name first on PATH, that notes each call and then fails."""
    folder = tmp_path / "stand-ins"
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(f"#!/bin/sh\necho call >> '{folder}/{name}.calls'\n{text}\nexit {code}\n")
    script.chmod(0o755)
    if str(folder) not in os.environ["PATH"]:
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def heading(columns: tuple[str, ...]) -> str:
    return FIELD_END.join((FIRST_HEADING, *columns[1:])) + ROW_END


EMPTY_QUEUE = f"""case "$*" in
    *UserName*) printf %s '{heading(COLUMNS)}';;
    *) printf %s '{heading(LIVE_COLUMNS)}';;
esac"""


def calls(tmp_path: Path, name: str) -> int:
    notes = tmp_path / "stand-ins" / f"{name}.calls"
    return len(notes.read_text().splitlines()) if notes.exists() else 0


def test_a_job_is_known_at_once_and_completes(desk: Desk) -> None:
    key = desk.submit("--wrap", "true")
    assert desk.status(key) is not None
    assert states(desk.end(key)) == {None: "COMPLETED"}
    assert desk.end(key).phase is Phase.COMPLETED


def test_facts_of_an_ended_job(desk: Desk) -> None:
    work = "import time; x = b'a' * 10**8; time.sleep(2.2)"
    key = desk.submit("-J", "two\nlines", "--time=3", "--wrap", f'python3 -c "{work}"')
    status = desk.end(key, facts=True)
    (task,) = status.tasks
    assert task.exit_code == 0
    assert task.peak_memory is not None
    assert task.peak_memory > 10**8
    assert task.elapsed is not None
    assert 2 <= task.elapsed < 10
    assert task.cpu_time
    assert task.nodes
    assert task.started
    assert task.started >= SINCE - timedelta(seconds=5)
    assert status.facts["name"] == "two\nlines"
    assert status.facts["time_limit"] == 180
    assert set(status.identity) == {"user", "group", "account"}


def test_the_ways_to_fail(desk: Desk) -> None:
    failed = desk.submit("--wrap", "exit 3")
    killed = desk.submit("--wrap", "kill -9 $$")
    held = desk.submit("--hold", "--wrap", "true")
    cancelled = desk.submit("--hold", "--wrap", "true")
    control("scancel", cancelled.job_id)
    (failure,) = desk.end(failed).tasks
    assert (failure.state, failure.exit_code, failure.signal) == ("FAILED", 3, None)
    assert desk.end(killed).tasks[0].signal == 9
    assert states(desk.end(cancelled)) == {None: "CANCELLED"}
    status = desk.wait(held, lambda status: status.tasks[0].state == "PENDING")
    assert states(status) == {None: "PENDING"}


def test_states_of_the_tasks_of_an_array(desk: Desk) -> None:
    script = "test $SLURM_ARRAY_TASK_ID = 3 && sleep 20; exit $((SLURM_ARRAY_TASK_ID % 2))"
    key = desk.submit("--array=0-3", "--wrap", script, tasks=(0, 1, 2, 3))
    expected = {0: "COMPLETED", 1: "FAILED", 2: "COMPLETED", 3: "RUNNING"}
    status = desk.wait(key, lambda status: states(status) == expected)
    assert status.phase is Phase.LIVE


def test_a_fresh_array_has_all_its_tasks(desk: Desk) -> None:
    indices = tuple(range(0, 2000, 7))
    key = desk.submit("--hold", f"--array={','.join(map(str, indices))}%2", "--wrap", "true")
    wanted = JobKey(key.job_id, "", key.token, SINCE, indices)
    for _ in range(40):
        status = desk.status(wanted)
        assert status is not None
        assert states(status) == dict.fromkeys(indices, "PENDING")
        time.sleep(0.1)


def test_an_array_of_which_some_wait(desk: Desk) -> None:
    key = desk.submit("--array=0-8:2%1", "--wrap", "sleep 20", tasks=(0, 2, 4, 6, 8))
    expected = {0: "RUNNING", **dict.fromkeys((2, 4, 6, 8), "PENDING")}
    desk.wait(key, lambda status: states(status) == expected)


def test_a_task_that_was_cancelled_while_it_waited_is_not_live_for_ever(desk: Desk) -> None:
    key = desk.submit("--hold", "--array=0-2", "--wrap", "true", tasks=(0, 1, 2))
    control("scancel", f"{key.job_id}_1")
    control("scontrol", "release", key.job_id)
    status = desk.wait(key, lambda status: len(status.tasks) == 3)
    assert states(desk.end(key)) == {0: "COMPLETED", 1: "CANCELLED", 2: "COMPLETED"}
    assert "no record" in status.tasks[1].reason


def test_the_settings_are_asked_for_once_for_all_arrays_that_lack_a_task(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--hold", "--array=0-1", "--wrap", "true")
    keys = [desk.submit(*asked, tasks=(0, 1)) for _ in range(2)]
    for key in keys:
        control("scancel", f"{key.job_id}_1")
    scontrol = shutil.which("scontrol")
    stand_in(tmp_path, monkeypatch, "scontrol", f'exec {scontrol} "$@"')
    told = desk.slurm.status(keys, facts=False)
    assert [states(told[key.job_id]) for key in keys] == [{0: "PENDING", 1: "CANCELLED"}] * 2
    assert calls(tmp_path, "scontrol") == 1


def test_components_of_a_heterogeneous_job(desk: Desk) -> None:
    key = desk.submit("--hold", "-n1", ":", "-n1", "--wrap", "true")
    assert states(desk.status(key)) == {0: "PENDING", 1: "PENDING"}
    control("scancel", key.job_id)
    assert states(desk.end(key)) == {0: "CANCELLED", 1: "CANCELLED"}


def test_a_requeued_job_is_live_and_counts_its_newest_attempt(desk: Desk) -> None:
    key = desk.submit("--wrap", "sleep 20")
    desk.wait(key, lambda status: states(status) == {None: "RUNNING"})
    control("scontrol", "requeue", key.job_id)
    for _ in range(30):
        status = desk.status(key)
        assert status is not None
        assert status.phase is Phase.LIVE
        time.sleep(0.1)


def test_refusals_show_the_words_of_sbatch(desk: Desk) -> None:
    handover = desk.handover("--partition=nope", "--wrap", "true")
    with pytest.raises(SubmissionRefused, match="invalid partition specified: nope"):
        desk.slurm.submit(handover)
    assert desk.slurm.find(handover.token, SINCE) is None


@pytest.mark.parametrize("argv", [("/nowhere/sbatch", "x"), (__file__, "x")])
def test_a_program_that_cannot_start_submits_nothing(desk: Desk, argv: tuple[str, ...]) -> None:
    with pytest.raises(SubmissionRefused, match="could not be started"):
        desk.slurm.submit(Handover(argv, str(desk.folder), "token"))


def test_parsable_and_quiet_answers(desk: Desk) -> None:
    parsable = desk.submit("--hold", "--parsable", "--wrap", "true")
    quiet = desk.submit("--hold", "--quiet", "--wrap", "true")
    assert int(parsable.job_id) < int(quiet.job_id)
    assert states(desk.status(quiet)) == {None: "PENDING"}


def test_a_cluster_that_was_named(desk: Desk) -> None:
    name = desk.slurm.ask(["scontrol", "show", "config"]).split("ClusterName")[1].split()[1]
    key = desk.submit(f"--clusters={name}", "--wrap", "true")
    assert key.cluster == name
    assert desk.status(key) is not None
    assert states(desk.end(key)) == {None: "COMPLETED"}


def test_a_token_is_found_while_the_job_waits_and_after_its_end(desk: Desk) -> None:
    array = desk.submit("--hold", "--array=1-3", "--wrap", "true")
    het = desk.submit("--hold", "-n1", ":", "-n1", "--wrap", "true")
    ended = desk.submit("--wrap", "true")
    desk.end(ended)
    for key in (array, het, ended):
        found = desk.slurm.find(key.token, SINCE)
        assert isinstance(found, Submission)
        assert found.job_id == key.job_id


def test_accounting_finds_what_the_queue_has_forgotten(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = desk.submit("--wrap", "true")
    cancelled = desk.submit("--hold", "--wrap", "true")
    control("scancel", cancelled.job_id)
    stand_in(tmp_path, monkeypatch, "squeue", EMPTY_QUEUE, code=0)
    for key in (ended, cancelled):
        deadline = time.monotonic() + 30
        while (found := desk.slurm.find(key.token, SINCE)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert found.job_id == key.job_id


def test_a_token_that_was_never_handed_over(desk: Desk) -> None:
    now = datetime.now(timezone.utc)
    assert desk.slurm.find(uuid.uuid4().hex, now) is None
    assert desk.slurm.find(uuid.uuid4().hex, now - timedelta(days=3)) is None


@pytest.mark.usefixtures("no_accounting")
def test_without_accounting_an_absence_is_certain_only_while_the_queue_remembers(
    desk: Desk,
) -> None:
    now = datetime.now(timezone.utc)
    assert desk.slurm.find(uuid.uuid4().hex, now) is None
    with pytest.raises(SchedulerUnreachable, match=r"storage is disabled.*too long ago"):
        desk.slurm.find(uuid.uuid4().hex, now - timedelta(days=3))


@pytest.mark.parametrize("mark", ["", "datalad-hpc:"])
def test_where_comments_are_replaced_a_job_of_that_time_leaves_a_doubt(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    now = datetime.now(timezone.utc)
    fields = {"JobArrayID": "7", "State": "PENDING", "SubmitTime": str(int(now.timestamp()))}
    ours = [{**fields, "Comment": "billed"}, {**fields, "Comment": mark}]
    lines = (FIELD_END.join(row.get(name, "N/A") for name in COLUMNS) + ROW_END for row in ours)
    told = heading(COLUMNS) + "".join(lines)
    stand_in(tmp_path, monkeypatch, "squeue", f"printf %s '{told}'", code=0)
    stand_in(tmp_path, monkeypatch, "sacct", "echo down >&2")
    if mark:
        assert desk.slurm.find("token", now) is None
    else:
        with pytest.raises(SchedulerUnreachable, match="may be job 7"):
            desk.slurm.find("token", now)


@pytest.mark.usefixtures("no_accounting")
def test_without_accounting_the_queue_tells(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="datalad.hpc.slurm")
    array = desk.submit("--array=0-1", "--wrap", "exit $SLURM_ARRAY_TASK_ID", tasks=(0, 1))
    held = desk.submit("--hold", "--wrap", "true")
    status = desk.end(array, facts=True)
    assert states(status) == {0: "COMPLETED", 1: "FAILED"}
    assert [task.exit_code for task in status.tasks] == [0, 1]
    assert all(task.nodes and task.ended for task in status.tasks)
    assert status.facts["restarts"] == 0
    assert states(desk.status(held)) == {None: "PENDING"}
    hints = [record for record in caplog.records if "storage is disabled" in record.getMessage()]
    assert len(hints) == 1


@pytest.mark.usefixtures("no_accounting")
def test_without_any_answer_both_programs_are_quoted(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = desk.submit("--hold", "--wrap", "true")
    stand_in(tmp_path, monkeypatch, "squeue", "echo 'no controller' >&2")
    with pytest.raises(SchedulerUnreachable, match=r"storage is disabled.*no controller"):
        desk.status(key)
    with pytest.raises(SchedulerUnreachable, match=r"no controller.*storage is disabled"):
        desk.slurm.find("nobody", SINCE)


def test_a_query_that_hangs_is_stopped(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = desk.submit("--hold", "--wrap", "true")
    desk.slurm.timeout = 0.3
    stand_in(tmp_path, monkeypatch, "sacct", "sleep 30")
    stand_in(tmp_path, monkeypatch, "squeue", "sleep 30")
    with pytest.raises(SchedulerUnreachable, match=r"sacct did not answer.*squeue did not answer"):
        desk.status(key)


@pytest.mark.usefixtures("no_accounting")
def test_a_controller_that_hangs_makes_no_absence_certain(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.slurm.timeout = 3
    stand_in(tmp_path, monkeypatch, "scontrol", "sleep 30")
    with pytest.raises(SchedulerUnreachable, match="scontrol did not answer within 3 seconds"):
        desk.slurm.find(uuid.uuid4().hex, datetime.now(timezone.utc))


def test_many_jobs_are_one_query_for_each_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = SEPARATOR.join((*STATUS_COLUMNS, LAST_COLUMN))
    stand_in(tmp_path, monkeypatch, "sacct", f"printf '%s\\n' '{header}'", code=0)
    stand_in(tmp_path, monkeypatch, "squeue", EMPTY_QUEUE, code=0)
    assert Slurm().status(many_keys(1201)) == {}
    assert calls(tmp_path, "sacct") == 2
    # Which are live, and what is known of those that accounting does not know.
    assert calls(tmp_path, "squeue") == 2


def many_keys(number: int) -> list[JobKey]:
    return [JobKey(str(job), "", f"token{job}", SINCE) for job in range(10**8, 10**8 + number)]


def live_line(key: JobKey) -> str:
    told = {"JobArrayID": key.job_id, "State": "PENDING", "Comment": f"datalad-hpc:{key.token}"}
    return FIELD_END.join(told.get(column, "") for column in LIVE_COLUMNS) + ROW_END


def test_accounting_is_not_asked_for_many_jobs_that_are_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = many_keys(60)
    answer = tmp_path / "answer"
    answer.write_text("\n".join([heading(LIVE_COLUMNS), *map(live_line, keys)]))
    stand_in(tmp_path, monkeypatch, "sacct", "exit 1")
    stand_in(tmp_path, monkeypatch, "squeue", f"cat '{answer}'", code=0)
    slurm = Slurm()
    slurm.expect(len(keys))
    assert {status.phase for status in slurm.status(keys).values()} == {Phase.LIVE}
    assert len(slurm.status(keys)) == len(keys)
    assert calls(tmp_path, "squeue") == 2, "what was asked early is taken once"
    assert calls(tmp_path, "sacct") == 0


def test_without_the_queue_accounting_tells_of_many_jobs(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = desk.submit("--wrap", "true")
    stand_in(tmp_path, monkeypatch, "squeue", "echo 'no controller' >&2")
    desk.end(ended)
    desk.slurm.expect(61)
    found = dict(desk.slurm.status([*many_keys(60), ended]))
    assert states(found.pop(ended.job_id)) == {None: "COMPLETED"}
    assert list(found.values()) == [None] * 60, "nothing can be said of the others"


def test_live_and_ended_ones_among_many_jobs(desk: Desk) -> None:
    ended = desk.submit("--wrap", "true")
    held = desk.submit("--hold", "--wrap", "true")
    array = desk.submit("--array=0-3", "--hold", "--wrap", "true", tasks=(0, 1, 2, 3))
    desk.end(ended)
    found = desk.slurm.status([*many_keys(60), ended, held, array], facts=True)
    assert {job: states(status) for job, status in found.items()} == {
        ended.job_id: {None: "COMPLETED"},
        held.job_id: {None: "PENDING"},
        array.job_id: dict.fromkeys(range(4), "PENDING"),
    }
    assert found[ended.job_id].facts


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("echo 'Submitted batch job 4'; echo 'Submitted batch job 5'", 0, "4, 5"),
        ("echo 'sbatch: error: Socket timed out on send/recv operation' >&2", 1, "Socket timed"),
        ("kill -9 $$", 0, "may nevertheless"),
        ("sleep 30", 0, "did not answer"),
        ("true", 0, "nevertheless have the job: .*named no job id"),
    ],
)
def test_answers_that_leave_a_doubt(
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    code: int,
    message: str,
) -> None:
    stand_in(tmp_path, monkeypatch, "sbatch", script, code)
    desk.slurm.timeout = 0.1
    with pytest.raises(SubmissionUncertain, match=message):
        desk.slurm.submit(desk.handover("--wrap", "true"))


def test_an_id_is_trusted_whatever_the_exit_code(
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stand_in(tmp_path, monkeypatch, "sbatch", "echo 'Submitted batch job 4'; echo odd >&2", 3)
    assert desk.slurm.submit(desk.handover("job.sh")) == Submission("4")
    assert "odd" in caplog.text


def phases(status: JobStatus) -> dict[int | None, str]:
    return {task.index: task.phase.value for task in status.tasks}


def test_cancelling(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANCEL_STATE", "SUSPENDED")
    waits = desk.submit("--hold", "--wrap", "true")
    runs = desk.submit("--wrap", "sleep 60")
    array = desk.submit("--array=0-3", "--wrap", "sleep 60", tasks=(0, 1, 2, 3))
    gone = JobKey("99999999", "", "token", SINCE)
    desk.wait(runs, lambda status: status.tasks[0].state == "RUNNING")
    # One that is not there keeps the others from nothing.
    wanted = [Cancellation(key) for key in (gone, waits, runs)]
    assert desk.slurm.cancel([*wanted, Cancellation(array, (0, 2, 7))]) == {}
    for key in (waits, runs):
        assert [task.state for task in desk.end(key).tasks] == ["CANCELLED"]
    expected = {0: "failed", 1: "live", 2: "failed", 3: "live"}
    desk.wait(array, lambda status: phases(status) == expected)
    # A second time it is no error either.
    assert desk.slurm.cancel([*wanted, Cancellation(array)]) == {}
    assert {task.state for task in desk.end(array).tasks} == {"CANCELLED"}


def test_what_is_told_to_end_is_live_until_it_has(desk: Desk) -> None:
    """Accounting has it as cancelled at once, and Slurm lets it go on for half a minute."""
    script = "trap '' TERM CONT; touch deaf; until test -e go; do sleep 0.1; done"
    key = desk.submit("--wrap", script)
    deadline = time.monotonic() + 30
    while not (desk.folder / "deaf").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    desk.slurm.cancel([Cancellation(key)])
    accounting = slurm_accounting.status_command([key.job_id], SINCE)
    while "CANCELLED" not in desk.slurm.ask(accounting):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    status = desk.status(key)
    assert status
    assert [(task.state, task.phase) for task in status.tasks] == [("COMPLETING", Phase.LIVE)]
    (desk.folder / "go").touch()
    assert [task.state for task in desk.end(key).tasks] == ["CANCELLED"]


def test_a_job_submits_without_handing_its_own_settings_on(desk: Desk) -> None:
    (desk.folder / "inner.py").write_text(
        "from datalad_hpc.schedulers.base import Handover\n"
        "from datalad_hpc.schedulers.slurm import Slurm\n"
        "argv = ('sbatch', '--output=inner', '--wrap', 'env; sleep 0.1')\n"
        "print(Slurm().submit(Handover(argv, '.', 'token')).job_id, flush=True)\n"
    )
    root = Path(__file__).parents[2]
    wrap = f"SLURM_MEM_PER_NODE=17 PYTHONPATH='{root}' '{sys.executable}' inner.py"
    outer = desk.submit("--wrap", wrap)
    assert desk.end(outer).phase is Phase.COMPLETED
    inner = next(desk.folder.glob("log-*")).read_text().strip()
    inner_log = desk.folder / "inner"
    deadline = time.monotonic() + 30
    while not inner_log.exists() or "SLURM_JOB_ID" not in inner_log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert f"SLURM_JOB_ID={inner}" in inner_log.read_text()
    assert "SLURM_MEM_PER_NODE=17" not in inner_log.read_text()
