"""Schedule jobs one by one in this process; run by the Python of either side.

Reads ``{"command": ..., "argv": [...], "outputs": [...]}`` and writes
``{"seconds": ..., "messages": [...]}``, both as JSON.
"""

import json
import os
import sys
import time

import datalad.api
from datalad.api import Dataset

asked = json.load(sys.stdin)
schedule = getattr(datalad.api, asked["command"])
dataset = Dataset(os.getcwd())
messages = []
start = time.perf_counter()
for output in asked["outputs"]:
    results = schedule(asked["argv"], dataset=dataset, outputs=[output], result_renderer="disabled")
    messages += [str(result["message"]) for result in results if result["status"] == "ok"]
seconds = time.perf_counter() - start
json.dump({"seconds": seconds, "messages": messages}, sys.stdout)
