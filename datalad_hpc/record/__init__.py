"""Pure: a job and what became of it ↔ the record in JSON ↔ the commit message.

The layout is datalad-slurm's, so that its commits and ours are read by both;
what is ours alone stands below the key ``hpc``. See ``docs/source/design.rst``.
"""

from datalad_hpc.record.layout import CORE_MARKER, FORMAT, MARKER, Record, Style
from datalad_hpc.record.reading import read_record
from datalad_hpc.record.writing import commit_message, log_paths, state_word

__all__ = [
    "CORE_MARKER",
    "FORMAT",
    "MARKER",
    "Record",
    "Style",
    "commit_message",
    "log_paths",
    "read_record",
    "state_word",
]
