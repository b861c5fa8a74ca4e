"""Counts how often the scheduler's programs are started, by wrappers that stand first on PATH."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

from benchmarks.toolbox import Toolbox

PROGRAMS = ("sbatch", "sacct", "squeue", "scontrol", "scancel", "sinfo", "sacctmgr", "sstat")

WRAPPER = """\
#!/bin/sh
echo {name} >> '{record}'
exec '{program}' "$@"
"""


class CallCounter:
    """A folder of wrappers, and the file in which each of them leaves a line."""

    def __init__(self, folder: Path, tools: Toolbox) -> None:
        """Write the wrappers for the programs that ``tools`` would find."""
        folder.mkdir(parents=True, exist_ok=True)
        self._record = folder / "record"
        path = tools.environment["PATH"]
        for name in PROGRAMS:
            program = shutil.which(name, path=path)
            if program:
                text = WRAPPER.format(name=name, record=self._record, program=program)
                (folder / name).write_text(text)
                (folder / name).chmod(0o755)
        self.tools = tools.having(PATH=f"{folder}{os.pathsep}{path}")
        """The same tools, counted."""

    def counted(self) -> Counter[str]:
        """Calls since the last time, by program."""
        if not self._record.exists():
            return Counter()
        names = self._record.read_text().split()
        self._record.unlink()
        return Counter(names)
