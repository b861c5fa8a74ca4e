"""What the user has told Git and what Git's own commands would heed: asked in one question."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

ASKED = (
    r"^(author\..*|committer\..*|commit\.gpgsign|core\.hookspath"
    r"|annex\.pidlock|maintenance\.auto|maintenance\.autodetach|gc\.autodetach)$"
)
"""Settings that matter to us, for ``git config --get-regexp``: names in lower case."""

_OFF = ("false", "no", "off", "")


@dataclass(frozen=True)
class Settings:
    """Git's settings in a repository, from all of its files, by name in lower case."""

    values: Mapping[str, str]

    @classmethod
    def parse(cls, output: bytes) -> Settings:
        """The answer of ``git config --null --get-regexp``; what was set last counts."""
        values: dict[str, str] = {}
        for item in os.fsdecode(output).split("\0")[:-1]:
            name, equals, value = item.partition("\n")
            # A name alone, without "=", is a switch that is on (git-config(1)).
            values[name] = value if equals else "true"
        return cls(values)

    def is_on(self, name: str, *, default: bool = False) -> bool:
        """A switch, in any of the words that Git takes for one."""
        value = self.values.get(name)
        if value is None:
            return default
        return value.lower() not in _OFF and value.strip("+-0") != ""

    def has_any(self, section: str) -> bool:
        """Whether anything is set in a section."""
        return any(name.startswith(f"{section}.") for name in self.values)
