"""What one app of the host holds, and how a view gets at it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import current_app

from apiary import Apiary

from .answers import Answers
from .readers import Readers
from .settings import HostSettings
from .threads import Threads
from .tries import Tries

if TYPE_CHECKING:
    from .broadcast import Broadcast
    from .keeper import Keeper
    from .leftovers import Leftovers
    from .metrics import Metrics


@dataclass(frozen=True, slots=True)
class Host:
    settings: HostSettings
    apiary: Apiary
    answers: Answers
    readers: Readers
    threads: Threads
    #: None where nothing is counted.
    tries: Tries | None
    keeper: "Keeper"
    metrics: "Metrics"
    leftovers: "Leftovers"
    broadcast: "Broadcast | None" = None


def here() -> Host:
    """The host of the current app."""
    host: Host = current_app.extensions["apiary.host"]
    return host
