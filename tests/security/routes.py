"""The route table, read."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.security.world import World

TABLE = tomllib.loads((Path(__file__).parent / "routes.toml").read_text())


@dataclass(frozen=True)
class Row:
    method: str
    rule: str
    who: str
    answers: int
    stranger: int | None = None
    guest: int | None = None
    send: dict[str, Any] = field(default_factory=dict)
    oauth: bool = False
    file: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.rule}"

    @property
    def path(self) -> str:
        """The files are named differently on each of the three shelves."""
        if self.rule.startswith("/vendor"):
            return "/vendor/VENDOR.txt"
        return "/settings/static/apiary.css" if self.rule.startswith("/settings/static") else ""

    def at(self, world: World) -> str:
        return self.path or world.path(self.rule)


ROWS = [Row(*name.split(" ", 1), **row) for name, row in TABLE.items()]
