"""The programs that we, or jobs, stand on: which there are, in which version, and where."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from datalad_hpc import process
from datalad_hpc.errors import BadRequest, ProcessFailed
from datalad_hpc.finding import Finding, Standing

PATIENCE = 10.0
"""Seconds for each program to tell its version."""

ENGINES = (
    ("apptainer", "--version"),
    ("singularity", "--version"),
    # Its own version would say nothing of the service that it needs.
    ("docker", "version", "--format={{.Server.Version}}"),
    ("podman", "--version"),
    ("ch-run", "--version"),
)
"""Programs that run containers, the last one Charliecloud's, and how they tell their version."""

MODULE_FILES = "/etc/profile.d/*mod*.sh"
"""Where sites have what defines the command ``module``, besides its own folder."""

_VERSION = re.compile(r"\d+(\.\w+)+[^\s,()]*")


def findings(folder: Path, modules: Callable[[], Sequence[str]]) -> list[Finding]:
    """What is installed.

    Parameters
    ----------
    folder:
      The dataset, or where we are: Git may be configured there.
    modules:
      Gives the names of the modules that jobs are configured to load.
    """
    checks: list[Callable[[], Finding]] = [
        _python,
        _datalad,
        _git,
        lambda: _identity(folder),
        _annex,
        _containers,
        lambda: _modules(modules),
    ]
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(check) for check in checks]
        return [each.result() for each in running]


def _python() -> Finding:
    facts = {"version": platform.python_version(), "path": sys.executable}
    return Finding("Python", Standing.OK, f"{facts['version']} ({facts['path']})", "", facts)


def _datalad() -> Finding:
    names = ("datalad", "datalad-hpc", "datalad-container", "argcomplete")
    found = {name: installed for name in names if (installed := _installed(name))}
    text = ", ".join(f"{name} {installed}" for name, installed in found.items())
    return Finding("DataLad", Standing.OK, text, "", found)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _git() -> Finding:
    from datalad.support.gitrepo import GitRepo

    advice = f"install Git {GitRepo.GIT_MIN_VERSION} or later, or load its module"
    return _needed("Git", ("git", "--version"), GitRepo.GIT_MIN_VERSION, advice)


def _identity(folder: Path) -> Finding:
    """Whether Git knows whose commits it makes: it may guess, or be told not to."""
    try:
        argv = ["git", "var", "GIT_COMMITTER_IDENT"]
        who = process.check(argv, folder=folder, timeout=PATIENCE).text.rpartition(" <")[0]
    except ProcessFailed:
        text = "Git does not know who you are, and would refuse to commit"
        advice = "`git config --global user.name NAME` and `git config --global user.email EMAIL`"
        return Finding("identity", Standing.BROKEN, text, advice)
    return Finding("identity", Standing.OK, f"commits are made by {who}", "", {"name": who})


def _annex() -> Finding:
    from datalad.support.annexrepo import AnnexRepo

    least = AnnexRepo.GIT_ANNEX_MIN_VERSION
    advice = f"`pip install git-annex` brings it, without root ({least} or later is needed)"
    return _needed("git-annex", ("git-annex", "version", "--raw"), least, advice)


def _needed(name: str, argv: Sequence[str], least: str, advice: str) -> Finding:
    """A program without which nothing of ours works."""
    found = told(argv)
    facts = {**found, "needed": least}
    if not found["path"]:
        return Finding(name, Standing.BROKEN, "not on PATH", advice, facts)
    if not found["version"]:
        text = f"{found['path']} does not work: {found['complaint']}"
        return Finding(name, Standing.BROKEN, text, advice, facts)
    text = f"{found['version']} ({found['path']})"
    if _numbers(found["version"]) < _numbers(least):
        return Finding(name, Standing.BROKEN, f"{text} is too old", advice, facts)
    return Finding(name, Standing.OK, text, "", facts)


def told(argv: Sequence[str]) -> dict[str, str]:
    """Where a program lies, which version it tells, and why it tells none; empty if not known."""
    path = shutil.which(argv[0]) or ""
    facts = {"path": path, "version": "", "complaint": ""}
    return {**facts, **_asked(argv)} if path else facts


def _asked(argv: Sequence[str]) -> dict[str, str]:
    try:
        ended = process.run(argv, folder="/", timeout=PATIENCE)
    except ProcessFailed as error:
        return {"complaint": str(error)}
    if ended.code:
        return {"complaint": ended.complaint or f"it ended with exit code {ended.code}"}
    # Environment Modules tell theirs on standard error.
    if found := _VERSION.search(f"{ended.text}\n{ended.complaint}"):
        return {"version": found[0]}
    return {"complaint": ended.complaint or f"{argv[0]} tells no version"}


def _numbers(text: str) -> list[int]:
    """The leading numbers of a version: 10.20230126-gabc is newer than 10.2022."""
    found = re.match(r"\d+(\.\d+)*", text)
    return [int(number) for number in found[0].split(".")] if found else []


def _containers() -> Finding:
    with ThreadPoolExecutor() as pool:
        asked = pool.map(told, ENGINES)
    found = {argv[0]: facts for argv, facts in zip(ENGINES, asked, strict=True) if facts["path"]}
    facts = {"engines": found}
    name = "container engines"
    if not found:
        advice = (
            "jobs in containers (`datalad schedule -n`) need one, most often Apptainer; compute "
            "nodes may have what this machine lacks"
        )
        return Finding(name, Standing.MISSING, "none on PATH", advice, facts)
    text = ", ".join(f"{engine} {each['version'] or 'fails'}" for engine, each in found.items())
    wrong = {engine: each["complaint"] for engine, each in found.items() if not each["version"]}
    advice = "; ".join(
        f"{engine} says: {' '.join(words.split())}" for engine, words in wrong.items()
    )
    standing = Standing.LIMITED if wrong.keys() == found.keys() else Standing.OK
    return Finding(name, standing, text, advice, facts)


def _modules(configured: Callable[[], Sequence[str]]) -> Finding:
    try:
        wanted = configured()
    except BadRequest as error:
        return Finding("modules", Standing.BROKEN, str(error), "change it with `git config`")
    facts = module_system(os.environ, Path("/").glob(MODULE_FILES.removeprefix("/")))
    facts["configured"] = list(wanted)
    if facts["system"]:
        text = " ".join(filter(None, (facts["system"], facts["version"])))
        paths = facts["module_path"]
        text += f", {len(paths)} folders on MODULEPATH" if paths else ", MODULEPATH is empty"
        return Finding("modules", Standing.OK, text, "", facts)
    text = "there is no command `module`"
    if not wanted:
        return Finding("modules", Standing.MISSING, text, "nothing here asks for one", facts)
    advice = f"jobs would fail here: datalad.hpc.modules asks for {', '.join(wanted)}"
    return Finding("modules", Standing.LIMITED, text, advice, facts)


def module_system(environment: Mapping[str, str], files: Iterable[Path]) -> dict[str, Any]:
    """Which kind of environment modules there is, by the variables that its start-up files set.

    Parameters
    ----------
    environment:
      Variables: LMOD_CMD is Lmod's, MODULES_CMD that of Environment Modules.
    files:
      Files that would define ``module`` in a job, where nothing is set here.
    """
    folders = [path for path in environment.get("MODULEPATH", "").split(":") if path]
    system, number = next(_systems(environment, files), ("", ""))
    return {"system": system, "version": number, "module_path": folders}


def _systems(environment: Mapping[str, str], files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for system, variable in (("Lmod", "LMOD_CMD"), ("Environment Modules", "MODULES_CMD")):
        if command := environment.get(variable):
            yield system, _asked((command, "bash", "--version")).get("version", "")
    if home := environment.get("MODULESHOME"):
        yield f"modules in {home}", ""
    yield from ((f"modules by {path}", "") for path in files if os.access(path, os.R_OK))
