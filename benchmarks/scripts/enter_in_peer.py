"""Enter jobs in datalad-slurm's database; run by the Python that has datalad-slurm.

Reads a JSON list of objects with ``slurm_job_id``, ``output`` and ``log``.
"""

import json
import os
import sys

from datalad.api import Dataset
from datalad_slurm.schedule import add_to_database, get_sub_paths

dataset = Dataset(os.getcwd())
for row in json.load(sys.stdin):
    record = {
        "slurm_job_id": int(row["slurm_job_id"]),
        "cmd": "sbatch job.sh",
        "chain": [],
        "inputs": [],
        "extra_inputs": [],
        "outputs": [row["output"]],
        "slurm_outputs": [row["log"], ""],
        "pwd": ".",
        "dsid": dataset.id,
    }
    if not add_to_database(
        dataset, record, "", [row["output"]], get_sub_paths([row["output"]]), ""
    ):
        sys.exit("datalad-slurm's database could not be opened")
