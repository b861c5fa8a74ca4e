"""The plot: what each figure used of what its target allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.findings import Finding

SUFFIXES = (".svg", ".png")
REACHED, MISSED = "tab:green", "tab:red"


def plot(findings: Sequence[Finding], path: Path) -> list[Path]:
    """Draw one bar a finding, and save it beside the results.

    Parameters
    ----------
    path:
      Where to, without a suffix.

    Returns
    -------
    list
      The files that were written; none where matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.5 + 0.4 * len(findings)), layout="constrained")
    axes = figure.add_subplot()
    labels = [f"{finding.what}\n{finding.measured} ({finding.target})" for finding in findings]
    # Less than nothing, as of a difference within the noise, has no logarithm.
    shares = [max(finding.share, 0.01) for finding in findings]
    colours = [REACHED if finding.is_ok else MISSED for finding in findings]
    axes.barh(range(len(findings)), shares, color=colours)
    axes.set_yticks(range(len(findings)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linestyle="--")
    axes.set_xlabel("part of what the target allows (1: all of it; less is better)")
    files = [path.with_suffix(suffix) for suffix in SUFFIXES]
    for file in files:
        figure.savefig(file)
    return files
