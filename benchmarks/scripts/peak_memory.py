"""Run ``datalad ...`` and write its own peak memory in KiB: peak_memory.py FILE ARGUMENTS...

What its children use is not counted. Linux keeps the figure as ``VmHWM`` (proc(5)).
"""

import sys
from pathlib import Path

from datalad.cli.main import main

target = Path(sys.argv[1])
try:
    main(["datalad", *sys.argv[2:]])
finally:
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    target.write_text(fields["VmHWM"].split()[0])
