"""The table, and the results as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.findings import Finding

TITLES = ("scenario", "what", "target", "measured", "")

VERSIONS = {
    "git": ("git", "--version"),
    "git-annex": ("git-annex", "version", "--raw"),
    "datalad": ("datalad", "--version"),
    "slurm": ("sbatch", "--version"),
}


def table(findings: Sequence[Finding]) -> Iterator[str]:
    """Lines of the table, the notes below it."""
    rows = [TITLES, *(_row(finding) for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
    notes = [finding for finding in findings if finding.note]
    if notes:
        yield ""
    yield from (f"{finding.scenario}, {finding.unit}: {finding.note}." for finding in notes)


def _row(finding: Finding) -> tuple[str, ...]:
    verdict = "ok" if finding.is_ok else "NOT OK"
    return (finding.scenario, finding.what, finding.target, finding.measured, verdict)


def as_json(bench: Bench, findings: Sequence[Finding], left_out: dict[str, str]) -> dict[str, Any]:
    """Everything that was measured, with what it was measured on."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "quick": bench.quick,
        "repetitions": bench.repetitions,
        "machine": {"processors": os.cpu_count(), "system": platform.system()},
        "versions": _versions(bench),
        "findings": [
            {**asdict(finding), "target": finding.target, "ok": finding.is_ok}
            for finding in findings
        ],
        "left out": left_out,
    }


def _versions(bench: Bench) -> dict[str, str]:
    versions = {
        name: bench.ours.run(*argv, folder=bench.work).output.strip()
        for name, argv in VERSIONS.items()
    }
    asked = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    peer = bench.peer.run("python", "-c", asked, "datalad-slurm", folder=bench.work)
    return {**versions, "python": platform.python_version(), "datalad-slurm": peer.output.strip()}


def write(folder: Path, results: dict[str, Any]) -> Path:
    """Write the results; gives the path without its suffix, for the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = "quick" if results["quick"] else "full"
    moment = results["time"][:19].replace(":", "")
    path = folder / f"{moment}-{kind}"
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    path.with_suffix(".json").write_text(text, encoding="utf-8")
    return path
