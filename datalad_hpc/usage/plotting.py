"""A picture of what many tasks asked for and used; matplotlib is imported when one is drawn."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datalad_hpc.errors import BadRequest
from datalad_hpc.sizes import HOUR, MINUTE
from datalad_hpc.spent import NO_LIMIT
from datalad_hpc.usage.values import COMPLETED, JobUse

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")

USED, ASKED, FAILED = "#0072b2", "#d55e00", "#000000"
"""Blue and vermilion of the palette of Okabe and Ito, which colour-blind people tell apart."""

MOST_BARS = 60
"""More tasks are drawn as one area: bars would be thinner than the gaps between them."""

MOST_MARKS = 500
"""So many crosses can be told apart at best; of more, evenly chosen ones are drawn."""

ORDER = "tasks; in each panel by what they asked for, then by what they used"

LOGARITHMIC = 20
"""How much less must have been used than asked for before lengths are of no use any more."""

_TIMES = ((2 * HOUR, HOUR, "hours"), (2 * MINUTE, MINUTE, "minutes"), (0, 1, "seconds"))
_SIZES = ((2 * 2**30, 2**30, "GiB"), (2 * 2**20, 2**20, "MiB"), (0, 2**10, "KiB"))
"""From this value on a panel has that unit."""


def refuse_unfit(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before anything else is done.

    Raises
    ------
    BadRequest
      Its name says no kind of picture that we draw, or matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadRequest(
            f"the name of a plot says what it is: it ends in {' or '.join(SUFFIXES)}, which "
            f"{path.name!r} does not"
        )
    if find_spec("matplotlib") is None:
        raise BadRequest(
            "a plot is drawn by matplotlib, which is not installed here; install it "
            "(`pip install matplotlib`), or leave --plot out"
        )


@dataclass
class _Panel:
    """One quantity of many tasks."""

    title: str
    units: Sequence[tuple[float, float, str]]
    pairs: list[tuple[float, float, bool]] = field(default_factory=list)
    """What was asked for (infinite where it is not told), what was used, and whether it failed."""

    def add(self, asked: float | None, used: float | None, *, failed: bool) -> None:
        if used is not None:
            self.pairs.append((math.inf if asked is None else asked, used, failed))

    @property
    def unit(self) -> tuple[float, str]:
        """Size and name of the unit that suits what was used."""
        largest = max(used for _, used, _ in self.pairs)
        return next((size, name) for least, size, name in self.units if largest >= least)


def draw(jobs: Iterable[JobUse], path: Path) -> int:
    """Draw three panels: time, memory and use of processors; a file that is there is replaced.

    Returns
    -------
    int
      How many tasks are drawn.

    Raises
    ------
    OSError
      The file cannot be written.
    """
    from matplotlib.figure import Figure

    tasks = [task for job in jobs for task in job.each_task()]
    figure = Figure(figsize=(9, 10), dpi=120, layout="constrained")
    number, count = len(tasks), len({task.job_id.partition("_")[0] for task in tasks})
    figure.suptitle(
        f"Asked for and used: {number:,} task{'s' * (number != 1)} of "
        f"{count:,} job{'s' * (count != 1)}"
    )
    panels = _panels(tasks)
    every = figure.subplots(len(panels))
    for axes, panel in zip(every, panels, strict=True):
        _draw_panel(axes, panel)
    every[-1].set_xlabel(ORDER)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False)
    _write(figure, path)
    return number


def _panels(tasks: Sequence[JobUse]) -> Sequence[_Panel]:
    panels = (
        _Panel("Wall time", _TIMES),
        _Panel("Peak memory", _SIZES),
        _Panel("CPU efficiency", ((0, 0.01, "% of the processors' time"),)),
    )
    for task in tasks:
        failed = set(task.states) != {COMPLETED}
        efficiency = task.spent.cpu_efficiency(task.asked)
        limit = task.asked.time_limit
        within = limit if limit is not None and limit < NO_LIMIT else None
        panels[0].add(within, task.spent.elapsed, failed=failed)
        panels[1].add(task.asked.memory, task.spent.memory(task.asked), failed=failed)
        panels[2].add(1.0, efficiency, failed=failed)
    return panels


def _draw_panel(axes: Axes, panel: _Panel) -> None:
    axes.set_title(panel.title, loc="left", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    if not panel.pairs:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
        return
    size, name = panel.unit
    pairs = sorted(panel.pairs)
    used = [used / size for _, used, _ in pairs]
    asked = [asked / size if math.isfinite(asked) else math.nan for asked, _, _ in pairs]
    base = _scale(axes, used, asked)
    _draw_used(axes, used, base)
    edges = [at + 0.5 for at in range(len(pairs) + 1)]
    if not all(map(math.isnan, asked)):
        axes.plot(edges, [*asked, asked[-1]], drawstyle="steps-post", color=ASKED, linewidth=1.8)
    failed = [at for at, (_, _, failed) in enumerate(pairs) if failed]
    shown = failed[:: len(failed) // MOST_MARKS + 1]
    # What ended at once lies below a logarithmic axis.
    axes.scatter([at + 1 for at in shown], [max(used[at], base) for at in shown], **_CROSS)
    axes.set_xlim(edges[0], edges[-1])
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel(name + " (logarithmic)" * (axes.get_yscale() == "log"))


_CROSS: dict[str, Any] = {"marker": "x", "s": 30, "color": FAILED, "linewidths": 1.2, "zorder": 3}


def _draw_used(axes: Axes, used: Sequence[float], base: float) -> None:
    if len(used) <= MOST_BARS:
        places = range(1, len(used) + 1)
        heights = [max(value - base, 0) for value in used]
        axes.bar(places, heights, bottom=base, color=USED, width=0.8)
    else:
        edges = [at + 0.5 for at in range(len(used) + 1)]
        heights = [*used, used[-1]]
        axes.fill_between(edges, heights, base, step="post", color=USED, linewidth=0)


def _scale(axes: Axes, used: Sequence[float], asked: Sequence[float]) -> float:
    """Choose the scale and its end; gives where bars begin."""
    limits = [limit for limit in asked if limit > 0]
    most = max(*used, *limits, 0) or 1.0
    seen = [value for value in used if value > 0]
    if not seen or not limits or max(limits) < LOGARITHMIC * max(used):
        axes.set_ylim(0, most * 1.08)
        return 0.0
    base = min(seen) / 2
    axes.set_yscale("log")
    axes.set_ylim(base, most * 2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return base


def _legend() -> Sequence[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color=USED, label="used"),
        Line2D([], [], color=ASKED, linewidth=1.8, label="asked for"),
        Line2D([], [], color=FAILED, linestyle="", marker="x", label="did not succeed"),
    ]


def _write(figure: Any, path: Path) -> None:
    """Not through a link: it may lead into the annex."""
    kind = path.suffix.lower().removeprefix(".")
    # The same numbers are the same file.
    same = {"metadata": {"Date": None}} if kind == "svg" else {}
    handle, half = tempfile.mkstemp(dir=path.parent, prefix=".usage-", suffix=path.suffix)
    os.close(handle)
    try:
        figure.savefig(half, format=kind, **same)
        os.chmod(half, 0o666 & ~_umask())
        os.replace(half, path)
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise


def _umask() -> int:
    # There is no way to read it without setting it; this value harms nobody.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
