"""The dataset around us: its job store, its annex, its containers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datalad_hpc.checking import place
from datalad_hpc.errors import StoreUnusable
from datalad_hpc.finding import Finding, Standing
from datalad_hpc.job import OPEN_STATES
from datalad_hpc.store import store_exists
from datalad_hpc.store.engine import file_of
from datalad_hpc.store.survey import Survey, survey
from datalad_hpc.wording import some_of
from datalad_hpc.workplace import Workplace

PATIENCE = 2.0
"""Seconds to wait for a store that somebody writes."""


def findings(workplace: Workplace, runs_elsewhere: bool | None) -> Iterator[Finding]:
    """All that is to say of the dataset and where it lies."""
    yield _annex(workplace)
    yield place.file_system(workplace.root, runs_elsewhere)
    yield place.room(workplace.root)
    path = file_of(workplace.store_url)
    yield from place.trials(Path(path).parent if path else workplace.common_git_dir)
    yield _store(workplace)
    yield _containers(workplace)


def _annex(workplace: Workplace) -> Finding:
    facts: dict[str, Any] = {"root": str(workplace.root), "id": workplace.dataset_id}
    facts["annex"] = (workplace.common_git_dir / "annex").is_dir()
    crippled = workplace.config.get("annex.crippledfilesystem", "false")
    facts["crippled"] = str(crippled).lower() == "true"
    name = "annex"
    if not facts["annex"]:
        text = "none: all outputs go to Git itself"
        return Finding(name, Standing.MISSING, text, "`git annex init` for large outputs", facts)
    if facts["crippled"]:
        text = "git-annex takes its file system for crippled"
        advice = "files are kept unlocked, each twice; better move the dataset"
        return Finding(name, Standing.LIMITED, text, advice, facts)
    return Finding(name, Standing.OK, f"a git-annex in {workplace.root}", "", facts)


def _store(workplace: Workplace) -> Finding:
    url = workplace.store_url
    facts: dict[str, Any] = {"url": url, "exists": store_exists(url)}
    if not facts["exists"]:
        text = f"none yet; the first job makes {url}"
        return Finding("job store", Standing.OK, text, "", facts)
    try:
        seen = survey(url, workplace.store_scope, PATIENCE)
    except StoreUnusable as error:
        return Finding("job store", Standing.BROKEN, str(error), "", facts)
    facts |= {"layout": seen.layout, "jobs": dict(seen.states), "bytes": seen.size}
    facts["checked"] = seen.is_checked
    return _judged(url, seen, facts)


def _judged(url: str, seen: Survey, facts: dict[str, Any]) -> Finding:
    name = "job store"
    if seen.damage:
        advice = f"restore {url} from a backup, or move it away to start anew"
        return Finding(name, Standing.BROKEN, f"damaged: {seen.damage}", advice, facts)
    if seen.layout > seen.known:
        text = f"written by a newer version (layout {seen.layout}, this one knows {seen.known})"
        return Finding(name, Standing.BROKEN, text, "upgrade datalad-hpc", facts)
    is_open = sum(seen.states.get(state.value, 0) for state in OPEN_STATES)
    text = f"{is_open} open of {sum(seen.states.values())} jobs"
    path = file_of(url)
    if not os.access(path, os.W_OK):
        advice = "jobs can be listed, but neither scheduled nor finished: mend the permissions"
        return Finding(name, Standing.BROKEN, f"{text}; {path} cannot be written", advice, facts)
    if seen.layout < seen.known:
        text += f"; layout {seen.layout}, which the next command brings to {seen.known}"
    elif not seen.is_checked:
        text += "; too large to look for damage"
    return Finding(name, Standing.OK, text, "", facts)


def _containers(workplace: Workplace) -> Finding:
    from datalad_container.utils import get_container_configuration

    known = get_container_configuration(workplace.dataset)
    found = {name: options.get("image", "") for name, options in known.items()}
    facts = {"containers": found}
    if not found:
        text = "none is configured"
        advice = "`datalad containers-add` adds one, for `datalad schedule -n`"
        return Finding("containers", Standing.MISSING, text, advice, facts)
    absent = [name for name, image in found.items() if not (workplace.root / str(image)).exists()]
    text = some_of(sorted(found))
    if absent:
        text += (
            f"; the images of {some_of(sorted(absent))} are not here yet, and are got by schedule"
        )
    return Finding("containers", Standing.OK, text, "", facts)
