"""The house keeps its directions: who may import whom, and what only one room may do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "datalad_hpc"
HOUSE = Path(__file__).parent.parent / PACKAGE

LADDER = (
    # values
    {"member", "outlook", "status"},
    {"attempt"},
    {"errors", "finding", "globs", "interruption", "job", "job_script", "settings", "sizes"},
    {"beneath", "collection", "later_globs", "nearness", "process", "templates", "wording"},
    {"claims", "durations", "failures", "members", "requested", "spent"},
    {"earlier", "shares"},
    {"facts", "located", "placeholders", "reads"},
    {"record", "sweeps"},
    {"unfolding"},
    # rooms
    {"commit", "schedulers", "staging", "store", "unfit"},
    # parts of stories
    {"polling", "progress", "results", "workplace"},
    {"history", "retrieving", "submissions"},
    {"chains"},
    {"plans"},
    {"checking", "environment", "submitting"},
    {"dry_run"},
    {"finish"},
    {"cancel"},
    # stories
    {"following", "scheduling"},
    {"retries"},
    {"cancelling", "finishing", "rescheduling", "retrying", "statuses", "sweeping", "usage"},
    {"batches", "waiting"},
    # the face
    {"commands"},
)
"""A room imports from the steps below its own: never up, never sideways."""

OWNERS = {
    "sqlalchemy": "store",
    "subprocess": "process",
}
"""Dangerous imports, and the one room that may have them."""

BANNED_IMPORTS = {"multiprocessing", "pty"}
"""Other ways to start a process."""

BANNED_CALLS = ("os.system", "os.popen", "os.fork", "os.exec", "os.spawn", "os.posix_spawn")
"""Beginnings of calls that start a process as well."""

NO_EFFECTS = {
    "rooms": {
        "claims",
        "durations",
        "earlier",
        "errors",
        "facts",
        "failures",
        "globs",
        "job",
        "job_script",
        "later_globs",
        "members",
        "outlook",
        "reads",
        "plans/resources",
        "record",
        "schedulers/slurm_reasons",
        "requested",
        "shares",
        "sizes",
        "spent",
        "templates",
        "status",
        "wording",
    },
    "imports": {"datalad", "os", "pathlib", "shutil", "tempfile"},
}
"""Pure rooms, and what they would touch the world with."""

LONGEST_FILE = 300
LONGEST_FUNCTION = 50


def test_each_module_keeps_the_rules() -> None:
    files = sorted(HOUSE.rglob("*.py"))
    assert len(files) > 20
    assert [line for file in files for line in violations(_relative(file), file.read_text())] == []


def test_the_modules_of_a_room_go_in_no_circle() -> None:
    # The lines of a batch are read by the parser of the command that reads them.
    for room in {file.parent for file in HOUSE.rglob("*.py")} - {HOUSE, HOUSE / "commands"}:
        files = {f"{PACKAGE}.{room.name}.{file.stem}": file for file in room.glob("*.py")}
        below = {name: _modules(file) & files.keys() for name, file in files.items()}
        assert list(TopologicalSorter(below).static_order())


def _modules(file: Path) -> set[str]:
    """Dotted names of the modules that a file imports, or imports from."""
    names = _imported_names(ast.parse(file.read_text()))
    return names | {name.rpartition(".")[0] for name in names}


def test_each_room_of_the_ladder_is_there() -> None:
    rooms = {_room(_relative(file)) for file in HOUSE.rglob("*.py")} - {""}
    assert set().union(*LADDER) - rooms == set()


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("store/jobs.py", "from datalad_hpc.scheduling import schedule", "scheduling"),
        ("store/jobs.py", "from datalad_hpc import commit", "commit"),
        ("store/jobs.py", "import datalad_hpc.schedulers.base", "schedulers"),
        ("commit/trees.py", "from datalad_hpc.store import Store", "store"),
        ("schedulers/slurm.py", "def f():\n    from datalad_hpc.commit import trees", "commit"),
        ("job.py", "from datalad_hpc.claims import matches", "claims"),
        ("errors.py", "from datalad_hpc import job", "job"),
        ("store/jobs.py", "from ..commit import trees", "relative"),
        ("finishing.py", "from . import commit", "relative"),
        ("schedulers/slurm.py", "import subprocess", "process"),
        ("schedulers/slurm.py", "from subprocess import run", "process"),
        ("workplace.py", "import os\nos.system('ls')", "os.system"),
        ("workplace.py", "import os\nos.execvp('ls', [])", "os.execvp"),
        ("workplace.py", "from os import popen", "os.popen"),
        ("workplace.py", "import pty", "pty"),
        ("finishing.py", "from sqlalchemy import select", "store"),
        ("commands/finish.py", "import sqlalchemy.engine", "store"),
        ("process.py", "run('ls', shell=True)", "shell"),
        ("finishing.py", "print('done')", "print"),
        ("finishing.py", "try:\n    x\nexcept:\n    pass", "except"),
        ("finishing.py", "try:\n    x\nexcept Exception:\n    pass", "except"),
        ("finishing.py", "try:\n    x\nexcept (ValueError, BaseException):\n    y", "except"),
        ("claims.py", "import os", "pure"),
        ("record/reading.py", "from datalad.api import status", "pure"),
        ("attic.py", "", "LADDER"),
        ("finishing.py", "x = 1\n" * 301, "300"),
        ("finishing.py", "def f():\n" + "    x = 1\n" * 50, "50"),
    ],
)
def test_a_violation_is_seen(module: str, source: str, complaint: str) -> None:
    (line,) = violations(module, source)
    assert complaint in line
    assert module in line


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("commands/finish.py", "from datalad_hpc import finishing\nprint('x')"),
        ("store/jobs.py", "import sqlalchemy\nfrom datalad_hpc.store import rows"),
        ("process.py", "import subprocess\ntry:\n    x\nexcept BaseException:\n    y()\n    raise"),
        ("finishing.py", "import os\nos.path.join('a')\ntry:\n    x\nexcept ValueError:\n    pass"),
        ("__init__.py", "from datalad.support.extensions import register_config"),
    ],
)
def test_what_is_allowed_is_left_alone(module: str, source: str) -> None:
    assert violations(module, source) == []


def violations(module: str, source: str) -> list[str]:
    """All that a module does against the rules, a sentence for each.

    Parameters
    ----------
    module:
      Path of the file below the package.
    source:
      Its text.
    """
    tree = ast.parse(source)
    complaints = [
        *_unknown_room(module),
        *_directions(module, tree),
        *_imports(module, tree),
        *_statements(module, tree),
        *_lengths(source, tree),
    ]
    return [f"{module}: {complaint}" for complaint in complaints]


def _unknown_room(module: str) -> Iterator[str]:
    room = _room(module)
    if room and _step(room) is None:
        yield "is on no step of LADDER in tests/test_layers.py: put it above all that it imports"


def _directions(module: str, tree: ast.AST) -> Iterator[str]:
    room = _room(module)
    own = _step(room)
    for name in _imported_names(tree):
        if name.startswith("."):
            yield "has a relative import: write the whole name, so that directions can be read"
        other = name.removeprefix(f"{PACKAGE}.").partition(".")[0]
        if not name.startswith(f"{PACKAGE}.") or other == room or _step(other) is None:
            continue
        if own is None or _step(other) >= own:
            yield f"imports {other}, which is not below it (see LADDER)"


def _imports(module: str, tree: ast.AST) -> Iterator[str]:
    room = _room(module)
    for top in sorted({name.partition(".")[0] for name in _imported_names(tree)}):
        owner = OWNERS.get(top, room)
        if owner != room:
            yield f"imports {top}: only {owner} may"
        if top in BANNED_IMPORTS:
            yield f"imports {top}: only the room process starts processes"
        is_pure = not NO_EFFECTS["rooms"].isdisjoint({room, module.removesuffix(".py")})
        if is_pure and top in NO_EFFECTS["imports"]:
            yield f"imports {top}: this room is pure"
    for name in sorted(_imported_names(tree)):
        if name.startswith(BANNED_CALLS):
            yield f"imports {name}: only the room process starts processes"


def _statements(module: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _calls(module, node)
        elif isinstance(node, ast.ExceptHandler) and _is_broad(node):
            yield f"line {node.lineno}: except catches everything: name the errors that are meant"


def _calls(module: str, call: ast.Call) -> Iterator[str]:
    called = ast.unparse(call.func)
    if called == "print" and _room(module) != "commands":
        yield f"line {call.lineno}: print is for commands only: yield a result or use lgr"
    if called.startswith(BANNED_CALLS):
        yield f"line {call.lineno}: {called}: only the room process starts processes"
    if any(word.arg == "shell" for word in call.keywords):
        yield f"line {call.lineno}: no shell for our own work: give an argument list"


def _is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether everything is caught; to clean up and raise it again is fine."""
    if isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None:
        return False
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in caught
    )


def _lengths(source: str, tree: ast.AST) -> Iterator[str]:
    if len(source.splitlines()) > LONGEST_FILE:
        yield f"has more than {LONGEST_FILE} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and _lines_of_code(node) > LONGEST_FUNCTION:
            yield f"{node.name} has more than {LONGEST_FUNCTION} lines"


def _lines_of_code(function: ast.FunctionDef) -> int:
    """Lines from the name to the end, less the docstring."""
    assert function.end_lineno
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def _imported_names(tree: ast.AST) -> set[str]:
    """Dotted names of all that is imported anywhere in a module."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    return names


def _relative(file: Path) -> str:
    return file.relative_to(HOUSE).as_posix()


def _room(module: str) -> str:
    """The first part of a path below the package; empty for the package's own file."""
    return module.partition("/")[0].removesuffix(".py").replace("__init__", "")


def _step(room: str) -> int | None:
    return next((number for number, rooms in enumerate(LADDER) if room in rooms), None)
