"""What is measured. A scenario takes the run and yields rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.bench import Bench
from benchmarks.findings import Finding
from benchmarks.scenarios import arrays, finishing, growth, memory, metadata, queue, submitting

Scenario = Callable[[Bench], Iterator[Finding]]

SCENARIOS: dict[str, Scenario] = {
    "finish-200": finishing.finish_200,
    "finish-100k": finishing.finish_100k,
    "finish-300k": growth.finish_300k,
    "finish-history": growth.finish_history,
    "list-1000": queue.list_1000,
    "schedule-one": submitting.schedule_one,
    "schedule-array": arrays.schedule_array,
    "finish-array": arrays.finish_array,
    "memory": memory.memory,
    "schedule-1000": submitting.schedule_1000,
    "slow-metadata": metadata.slow_metadata,
}
"""All scenarios in the order of the table, by the names that ``ONLY`` takes."""
