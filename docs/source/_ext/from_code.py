"""Sphinx extension: writes the pages on commands and settings from the code.

Before Sphinx looks for its sources, ``generated/commands/NAME.rst`` is written for each command of
the extension, from the same parser that prints its ``--help``, and ``generated/settings.rst`` from
the registered configuration items. The pages of the commands are its man pages, too.
"""

from __future__ import annotations

import argparse
import re
from functools import cache
from pathlib import Path
from textwrap import dedent, indent

from sphinx.application import Sphinx
from sphinx.config import Config


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx when to write the pages."""
    app.connect("config-inited", name_man_pages)
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "generated"))
    return {"parallel_read_safe": True}


def name_man_pages(_app: Sphinx, config: Config) -> None:
    """Have the man builder make a page of each command: ``man datalad-schedule``."""
    config.man_pages = [
        (f"generated/commands/{name}", f"datalad-{name}", summary(parser), [config.author], 1)
        for name, parser in command_parsers().items()
    ]


def summary(parser: argparse.ArgumentParser) -> str:
    """What a command does, in one line."""
    return (parser.description or "").strip().partition("\n")[0]


def write_pages(folder: Path) -> None:
    """Write all pages; what did not change is left alone, so that it is not built again."""
    for name, parser in command_parsers().items():
        write(folder / "commands" / f"{name}.rst", command_page(name, parser))
    write(folder / "settings.rst", settings_page())


def write(path: Path, text: str) -> None:
    """Write a file unless it holds the text already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


@cache
def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """The command line parser of each of our commands, by the command's name."""
    from datalad.cli.parser import setup_parser

    from datalad_hpc import command_suite

    parsers = setup_parser(["datalad"], return_subparsers=True)
    return {names[2]: parsers[names[2]] for names in command_suite[1]}


def command_page(name: str, parser: argparse.ArgumentParser) -> str:
    """The page on one command."""
    # argparse offers its arguments under a private name only.
    arguments = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return "\n\n".join(
        [
            heading(f"datalad {name}", "="),
            f".. program:: datalad {name}",
            heading("Synopsis", "-"),
            ".. code-block:: none\n\n" + indent(usage(parser), "   "),
            heading("Description", "-"),
            without_markup_of_help(dedent(parser.description or "").strip()),
            heading("Arguments and options", "-"),
            *(argument(action) for action in arguments),
            "",
        ]
    )


def usage(parser: argparse.ArgumentParser) -> str:
    """How a command is called, without the word in front."""
    words = "usage: "
    text = parser.format_usage().strip()
    return dedent(" " * len(words) + text.removeprefix(words))


def without_markup_of_help(description: str) -> str:
    """A description as a page wants it: what looks like a heading is one.

    In the terminal headings are emphasised lines between blank ones.
    """
    return re.sub(
        r"(?m)^\*([A-Z][\w ]+)\*$", lambda found: heading(found.group(1), "-"), description
    )


def argument(action: argparse.Action) -> str:
    """One argument or option, with all its spellings."""
    value = shown_value(action)
    spellings = [f"{spelling} {value}".strip() for spelling in action.option_strings] or [value]
    # DataLad adds what a value is checked for, in words that repeat the line above.
    text = re.sub(r"\s+Constraints: .*?(?=\[Default|$)", " ", action.help or "", flags=re.DOTALL)
    return f".. option:: {', '.join(spellings)}\n\n" + indent(plain(text), "   ")


def shown_value(action: argparse.Action) -> str:
    """How the value of an argument is called; empty where it takes none."""
    if action.nargs == 0:
        return ""
    name = action.metavar or action.dest.upper()
    return name if isinstance(name, str) else " ".join(name)


def plain(text: str) -> str:
    """Text in which only double backquotes are markup."""
    parts = re.split(r"(``.*?``)", " ".join(text.replace("%%", "%").split()))
    return "".join(
        part if part.startswith("``") else re.sub(r"([\\*|`_])", r"\\\1", part) for part in parts
    )


def settings_page() -> str:
    """The page on all configuration items."""
    from datalad.interface.common_cfg import definitions

    import datalad_hpc  # noqa: F401 (registers them)

    items = {name: item for name, item in definitions.items() if name.startswith("datalad.hpc.")}
    return "\n\n".join(
        [
            heading("Settings", "="),
            "Set with ``git config``, ``datalad -c NAME=VALUE``, or in the environment: "
            "``datalad.hpc.store-timeout`` is ``DATALAD_HPC_STORE__TIMEOUT`` there.",
            *(setting(name, item) for name, item in sorted(items.items())),
            "",
        ]
    )


def setting(name: str, item: dict) -> str:
    """One configuration item."""
    words = item["ui"][1]
    default = item.get("default")
    shown = f"``{default}``" if default else "none"
    text = f"{words['title']}. {' '.join(words.get('text', '').split())}."
    return f".. describe:: {name}\n\n" + indent(f"{plain(text)}\n\nDefault: {shown}.", "   ")


def heading(text: str, line: str) -> str:
    """A title with a line below it."""
    return f"{text}\n{line * len(text)}"
