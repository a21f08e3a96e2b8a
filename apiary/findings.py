"""What a check of the doctor finds."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``remedy`` is "" where there is nothing to do."""

    name: str
    level: Level
    message: str
    remedy: str = ""
