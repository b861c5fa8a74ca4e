"""The command ``datalad hpc-log``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from datalad.distribution.dataset import datasetmethod
from datalad.interface.base import Interface, build_doc, eval_results
from datalad.interface.utils import generic_result_renderer
from datalad.support.constraints import EnsureInt, EnsureNone, EnsureRange
from datalad.support.param import Parameter
from datalad.ui import ui

from datalad_hpc.commands.completing import AllJobIds
from datalad_hpc.commands.shared import as_tuple, dataset_option, opened
from datalad_hpc.interruption import interruptible

MOST_ON_TERMINAL = 2**20
"""Bytes of a log's end that a terminal gets, where nothing else was asked for."""


_AT_THE_END = ("listed", "failed", "hint")
"""Fields of results that are shown together."""


@build_doc
class HpcLog(Interface):
    """Show or follow what jobs print

    Without an id the log of the newest job is shown: of the open ones, or of
    all where none is open. A task of an array or of a sweep is named as
    JOBID_TASK; of a job with several logs there is a list of them otherwise.

    The log comes to standard output as it is, all that is said about it to
    standard error. On a terminal that is the last MB of a longer log, in a
    pipe or a file all of it. The log of a job that is finished comes from its
    commit.
    """

    result_renderer = "tailored"

    _params_ = dict(
        job_ids=Parameter(
            args=("job_ids",),
            action=AllJobIds,
            metavar="JOBID",
            nargs="*",
            doc="id of a job, or of a task (123_4); by default the newest job.",
        ),
        dataset=dataset_option,
        follow=Parameter(
            args=("-f", "--follow"),
            action="store_true",
            doc="""go on with what is added, from before the job starts until it has
            ended; Ctrl-C ends that earlier and leaves the job alone.""",
        ),
        stderr=Parameter(
            args=("--stderr",),
            action="store_true",
            doc="show standard error, where it has a log of its own (--error).",
        ),
        failed=Parameter(
            args=("--failed",),
            action="store_true",
            doc="""show why each failed task failed, and the last lines of its logs;
            without an id for all open jobs.""",
        ),
        lines=Parameter(
            args=("-n", "--lines"),
            metavar="N",
            constraints=EnsureNone() | (EnsureInt() & EnsureRange(min=0)),
            doc="""begin with the last N lines of the log; with [CMD: --failed CMD][PY:
            failed=True PY] 10 by default.""",
        ),
    )

    _examples_ = [
        dict(
            text="Follow the job that was scheduled last until it has ended",
            code_cmd="datalad hpc-log -f",
            code_py="hpc_log(follow=True)",
        ),
        dict(
            text="Look for a word in the log of a task",
            code_cmd="datalad hpc-log 4711_3 | grep Warning",
        ),
        dict(
            text="See why tasks of a job failed",
            code_cmd="datalad hpc-log --failed 4711",
            code_py="hpc_log('4711', failed=True)",
        ),
    ]

    @staticmethod
    @datasetmethod(name="hpc_log")
    @eval_results
    @interruptible
    def __call__(
        job_ids: Any = None,
        *,
        dataset: Any = None,
        follow: bool = False,
        stderr: bool = False,
        failed: bool = False,
        lines: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        from datalad_hpc.following.failed import show_failed
        from datalad_hpc.following.live import follow as follow_logs
        from datalad_hpc.following.meant import ACTION, Look
        from datalad_hpc.following.showing import show
        from datalad_hpc.results import as_results
        from datalad_hpc.workplace import Workplace

        workplace = Workplace.of(dataset, "show logs of jobs")
        most = MOST_ON_TERMINAL if sys.stdout.isatty() else None
        story = show_failed if failed else follow_logs if follow else show
        with as_results(ACTION, workplace.root) as results, opened(workplace) as (store, named):
            look = Look(workplace, store, named, as_tuple(job_ids), stderr, lines, most)
            yield from story(look)
        yield from results

    @staticmethod
    def custom_result_renderer(res: dict[str, Any], **_kwargs: Any) -> None:
        """Put the log to standard output as it is, and what is said of it beside it.

        DataLad itself would not show what was not needed.
        """
        if "content" in res and not res.get("failed"):
            _write_log(res)
        elif any(res.get(name) for name in _AT_THE_END):
            return
        elif res["status"] in ("ok", "notneeded") or "exit_code" in res:
            # Ctrl-C, which has an exit code of its own, is how to end --follow.
            from datalad_hpc.results import message_text

            _say(message_text(res))
        else:
            generic_result_renderer(res)

    @staticmethod
    def custom_result_summary_renderer(results: list[dict[str, Any]]) -> None:
        """The list of logs, or the ends of those of failed tasks."""
        found = [res for res in results if isinstance(res, dict)]
        if listed := [res for res in found if res.get("listed")]:
            ui.message("\n".join(_table(listed)))
        if failed := [res for res in found if res.get("failed")]:
            from datalad_hpc.following.alike import report

            ui.message("\n".join(report(failed)))
        for res in found:
            if res.get("hint"):
                from datalad_hpc.results import message_text

                _say(message_text(res))


def _write_log(res: dict[str, Any]) -> None:
    """Pass a piece of a log on; who is not read any more hears of it as ``unread``."""
    heading = f"==> {res['heading']} <==\n" if res.get("heading") else ""
    content = (heading + res["content"]).encode("utf-8", "surrogateescape")
    try:
        if raw := getattr(sys.stdout, "buffer", None):
            sys.stdout.flush()
            raw.write(content)
        else:
            sys.stdout.write(content.decode(errors="replace"))
        sys.stdout.flush()
    except BrokenPipeError:
        res["unread"] = True
        _leave_standard_output()


def _leave_standard_output() -> None:
    """Have nobody complain at the end that what is left cannot be written."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _say(text: str) -> None:
    """Say something of what was shown, behind it also where both go to one place."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_standard_output()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _table(listed: list[dict[str, Any]]) -> Iterator[str]:
    """Logs with their size and the time of the last change."""
    from datalad_hpc.results import visible_line

    rows = [("log of", "state", "size", "written", "path")]
    rows += [_row(res) for res in listed]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for of, state, size, written, path in rows:
        line = f"{of:<{widths[0]}}  {state:<{widths[1]}}  {size:>{widths[2]}}  "
        yield visible_line(f"{line}{written:<{widths[3]}}  {path}".rstrip())


def _row(res: dict[str, Any]) -> tuple[str, str, str, str, str]:
    import time

    from datalad_hpc.results import message_text

    label = res["slurm_job_id"] + (f"_{res['task']}" if "task" in res else "")
    size = f"{res['size']:,}" if "size" in res else "-"
    clock = time.localtime(res["modified"]) if res.get("modified") else None
    written = time.strftime("%Y-%m-%d %H:%M:%S", clock) if clock else ""
    path = os.path.relpath(res["path"], res["refds"]) if res["type"] == "file" else ""
    if path.startswith("../"):
        path = res["path"]
    note = message_text(res)
    return label, res.get("slurm_job_status", ""), size, written, f"{path}{note and f' ({note})'}"
