"""What a job reads, and whether another one makes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datalad_hpc.claims import claim_for, collide
from datalad_hpc.job import Claim, ClaimRole
from datalad_hpc.reads import AFTER_ALL, AFTER_SAME_TASK, Nearby, Reads, kind_of, tasks_read

SLOWLY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

PARTS = st.sampled_from("a b ab a* * *b ** [a]".split())  # noqa: SIM905
PATHS = st.lists(PARTS, max_size=3).map("/".join).map(lambda path: path or ".")
CLAIMS = st.builds(claim_for, PATHS | PATHS.map("{}/".format))
OF_TASKS = st.lists(
    st.builds(lambda claim, task: replace(claim, task=task), CLAIMS, st.none() | st.integers(0, 2))
)


@SLOWLY
@given(st.lists(CLAIMS, max_size=4), CLAIMS)
def test_none_that_meets_a_claim_is_overlooked(paths: list[Claim], claim: Claim) -> None:
    meeting = {position for position, path in enumerate(paths) if collide(path, claim)}
    assert meeting <= Nearby(paths).near(claim)


def log(path: str) -> Claim:
    return claim_for(path, ClaimRole.LOG)


@SLOWLY
@given(st.lists(CLAIMS, max_size=4), CLAIMS)
def test_what_is_read_meets_an_output_as_claims_do(read: list[Claim], made: Claim) -> None:
    assert Reads(read).meets(made) is any(collide(path, made) for path in read)


@pytest.mark.parametrize(
    ("read", "made", "meets"),
    [
        ("code/slurm-1.out", "code/slurm-1.out", True),
        ("code/", "code/slurm-1.out", False),
        ("code", "code/slurm-1.out", False),
        (".", "slurm-1.out", False),
        ("*.json", "slurm-job-1.env.json", False),
        ("slurm-1_4.out", "slurm-1_*.out", True),
        ("slurm-2_4.out", "slurm-1_*.out", False),
        ("logs", "logs/1_*.out", False),
    ],
)
def test_a_log_is_read_where_an_input_names_it(read: str, made: str, meets: bool) -> None:
    assert Reads([claim_for(read)]).meets(log(made)) is meets


def of_task(path: str, task: int | None) -> Claim:
    return replace(claim_for(path), task=task)


MADE = [of_task(f"out/{task}.txt", task) for task in range(3)]


@pytest.mark.parametrize(
    ("read", "tasks"),
    [
        ("out/1.txt", {1}),
        ("out/1.txt/below", {1}),
        ("out/", {0, 1, 2}),
        ("out/[01].*", {0, 1}),
        ("other", set()),
        ("whole/x", None),
    ],
)
def test_it_is_known_which_tasks_make_what_is_read(read: str, tasks: set[int] | None) -> None:
    made = [*MADE, of_task("whole/", None)]
    assert tasks_read(Reads([claim_for(read)]), made) == tasks


@pytest.mark.parametrize(
    ("read", "made", "kind"),
    [
        ({0: ["out/0.txt"], 1: ["out/1.txt", "raw"]}, MADE, AFTER_SAME_TASK),
        ({0: ["out/0.txt/x"]}, MADE, AFTER_SAME_TASK),
        ({0: ["out/1.txt"]}, MADE, AFTER_ALL),
        ({0: ["out/"]}, MADE, AFTER_ALL),
        ({0: ["out/0*"]}, MADE, AFTER_ALL),
        ({7: ["out/0.txt"]}, MADE, AFTER_ALL),
        ({0: ["out/0.txt"]}, [*MADE, of_task("out/0.txt", None)], AFTER_ALL),
        ({0: ["a/0/x*"]}, [of_task(f"a/{task}/*.nii", task) for task in range(3)], AFTER_SAME_TASK),
        ({0: ["out/0.txt"]}, [of_task("out/", 0)], AFTER_SAME_TASK),
    ],
)
def test_tasks_wait_for_their_likes_where_these_are_enough(
    read: dict[int, list[str]], made: list[Claim], kind: str
) -> None:
    assert kind_of({task: map(claim_for, paths) for task, paths in read.items()}, made) == kind


@SLOWLY
@given(st.dictionaries(st.integers(0, 2), st.lists(CLAIMS, max_size=2)), OF_TASKS)
def test_no_task_waits_for_too_little(read: dict[int, list[Claim]], made: list[Claim]) -> None:
    if kind_of(read, made) == AFTER_SAME_TASK:
        for index, paths in read.items():
            assert {
                claim.task for claim in made if any(collide(claim, path) for path in paths)
            } <= {index}
