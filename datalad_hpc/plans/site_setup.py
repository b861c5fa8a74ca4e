"""What a site needs before a command can run there: modules, variables, lines of shell.

It is a matter of the machine and of its user, so nothing is taken from a dataset's own file, and a
record does not have it either: the command is set up for the place where it runs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from datalad_hpc.errors import BadRequest
from datalad_hpc.placeholders import recordable
from datalad_hpc.workplace import Workplace

MODULES = "datalad.hpc.modules"
VARIABLES = "datalad.hpc.variables"
PROLOGUE = "datalad.hpc.prologue"

_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)

# A batch job's shell is no login shell: what defines `module` has not always been read there. All
# of /etc/profile would set PATH anew and lose the one that was handed over.
_FIND_MODULE = """\
for datalad_hpc_file in "$MODULESHOME/init/bash" "$LMOD_PKG/init/bash" /etc/profile.d/*mod*.sh; do
    if ! command -v module >/dev/null && [ -r "$datalad_hpc_file" ]; then . "$datalad_hpc_file"; fi
done
if ! command -v module >/dev/null; then
    echo "datalad-hpc: there is no command 'module' on $(uname -n), so the modules of the" \
        "setting datalad.hpc.modules cannot be loaded and the job's command was not run" >&2
    exit 1
fi"""

# Environment Modules 3 succeeds in any case: there only the list of what is loaded tells.
_LOAD_MODULE = """\
if ! module load {name} || [[ ${{MODULE_VERSION-}} == 3.* && :$LOADEDMODULES: != *:{name}[:/]* ]]
then
    echo "datalad-hpc: the module" {name} "of the setting datalad.hpc.modules could not be" \
        "loaded on $(uname -n), so the job's command was not run" >&2
    exit 1
fi"""


def site_setup(workplace: Workplace) -> str:
    """Lines for a shell that come before a command; empty where nothing is configured.

    Raises
    ------
    BadRequest
      A setting cannot be used.
    """
    lines = [
        *_modules(modules_of(workplace)),
        *_variables(_values(workplace, VARIABLES)),
        *_values(workplace, PROLOGUE),
    ]
    return "\n".join(lines)


def modules_of(workplace: Workplace) -> list[str]:
    """Modules that the job of a plain command loads."""
    return [name for value in _values(workplace, MODULES) for name in value.split()]


def _values(workplace: Workplace, name: str) -> list[str]:
    """Values of a setting, of no dataset; an empty one forgets those before it."""
    if not workplace.setting(name):
        # There is none, or it ends empty: what is left may be the dataset's.
        return []
    found = workplace.config.get(name, get_all=True)
    values: list[str] = []
    for value in found if isinstance(found, tuple) else [found]:
        text = recordable(f"the setting {name}", str(value or ""))
        values = [*values, text] if text.strip() else []
    return values


def _modules(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield _FIND_MODULE
    for name in names:
        if name.startswith("-"):
            raise BadRequest(f"the setting {MODULES} has {name!r}, which is no name of a module")
        yield _LOAD_MODULE.format(name=shlex.quote(name))


def _variables(values: Sequence[str]) -> Iterator[str]:
    for value in values:
        found = _VARIABLE.fullmatch(value)
        if not found:
            raise BadRequest(
                f"the setting {VARIABLES} has {value!r}, which is not NAME=VALUE; for a second "
                "variable set it once more (git config --add)"
            )
        yield f"export {found[1]}={shlex.quote(found[2])}"
