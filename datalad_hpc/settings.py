"""What holds where a configuration item is not set."""

from __future__ import annotations

TRUE = ("yes", "true", "on", "1")
"""Values that switch something on."""

DEFAULTS = {
    "datalad.hpc.scheduler": "auto",
    "datalad.hpc.store-timeout": "60",
    "datalad.hpc.scheduler-timeout": "60",
    "datalad.hpc.poll-interval": "2 60",
    "datalad.hpc.missing-outputs": "error",
    "datalad.hpc.record-identity": "no",
    "datalad.hpc.record-environment": "yes",
    "datalad.hpc.record-marker": "hpc",
}
