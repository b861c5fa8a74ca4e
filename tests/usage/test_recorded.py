"""What foreign records lead to."""

from __future__ import annotations

import json
import os
from pathlib import Path

from datalad_hpc.usage.recorded import _facts_file


def test_only_a_file_of_the_very_job_is_read(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text(json.dumps({"job_id": "7"}))
    assert _facts_file(tmp_path, "facts.json", "7") == {"job_id": "7"}
    assert _facts_file(tmp_path, "facts.json", "8") == {}
    for path in (None, 3, "/etc/passwd", "../facts.json", "none", ""):
        assert _facts_file(tmp_path, path, "7") == {}


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    # Nobody writes into it.
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "facts.json").symlink_to("pipe")
    (tmp_path / "more.json").symlink_to("/dev/zero")
    assert _facts_file(tmp_path, "facts.json", "7") == {}
    assert _facts_file(tmp_path, "more.json", "7") == {}
