"""What ``finish`` shows of jobs that may still run, of which there may be thousands."""

from __future__ import annotations

import json
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest
from datalad import cfg
from datalad.utils import swallow_outputs

from datalad_hpc.commands.finish import Finish
from datalad_hpc.results import result

THRESHOLD = "datalad.ui.suppress-similar-results-threshold"


def waiting(number: int, state: str = "PENDING") -> list[dict[str, Any]]:
    text = "is not over"
    more = {"slurm_job_status": state, "live": True}
    return [result("finish", Path("/d"), "impossible", text, **more) for _ in range(number)]


def shown(results: list[Any]) -> list[str]:
    with swallow_outputs() as caught:
        for res in results:
            if isinstance(res, dict):
                Finish.custom_result_renderer(res)
        Finish.custom_result_summary_renderer(results)
        return str(caught.out).splitlines()


def test_a_few_jobs_have_a_line_each() -> None:
    assert shown(waiting(10)) == ["finish(impossible): . (dataset) [is not over]"] * 10


def test_many_jobs_are_counted() -> None:
    jobs = [*waiting(2000), *waiting(300, "RUNNING"), *waiting(20, "RUNNING 1, PENDING 2")]
    lines = shown(jobs)
    assert len(lines) == 11
    assert "2,310 more" in lines[-1]
    assert "PENDING 2,000, RUNNING 300, in several states 20" in lines[-1]


def test_who_wants_to_see_all_sees_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cfg.overrides, "datalad.ui.suppress-similar-results", "off")
    cfg.reload(force=True)
    try:
        assert len(shown(waiting(30))) == 30
    finally:
        monkeypatch.undo()
        cfg.reload(force=True)


def test_jobs_that_were_committed_come_first() -> None:
    done = result("finish", Path("/d"), "ok", "done")
    assert "done" in shown([*waiting(2), done])[0]


def test_a_caller_may_ask_for_something_else_than_results() -> None:
    assert shown(["/d/a/path", None]) == []


def test_a_result_is_laid_out_on_one_line() -> None:
    (res,) = waiting(1)
    assert pformat([res, res]).count("\n") == 1
    assert repr(res) == repr(dict(res))
    assert json.loads(json.dumps(res))["live"] is True
