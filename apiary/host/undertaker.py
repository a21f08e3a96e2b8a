"""Marks the answers whose process died, whether or not anybody looks at them."""

import logging
import time
from typing import Any

import peewee
from flask import Flask

from apiary import database

from . import conversations
from .broadcast import bury
from .shared import DEAD
from .state import here
from .tables import Message, name_of

_log = logging.getLogger(__name__)
#: Seconds after its start at which a process looks for those that the one before left.
SOON = 8.0
#: Answers in one look: those that are left over wait for the next.
_MOST = 1000


def sweep() -> int:
    """Mark them as broken off, and return how many there were. Needs an open database."""
    # Written out, so that every plan sees that the index of running answers serves.
    running: Any = peewee.SQL("state = 'streaming'")
    silent = time.time() - DEAD
    rows = Message.select().where(running, Message.saved < silent).limit(_MOST)
    found = 0
    for row in list(rows):
        if conversations.is_running(row):
            continue
        broadcast = here().broadcast
        if broadcast is not None:
            found += bury(broadcast, name_of(row)) is not None
        else:
            conversations.break_off(row)
            found += conversations.keep_broken_off(row)
    return found


def look(app: Flask) -> None:
    """As :func:`sweep`, from a thread of its own."""
    with app.app_context(), database.connection_context():
        if found := sweep():
            _log.warning("%d answers of processes that died were marked as broken off", found)
