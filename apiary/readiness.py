"""Whether a process can serve: a quick look, with answers that anybody may read."""

import logging

import peewee
from playhouse.pool import MaxConnectionsExceeded

from . import db, rotation
from .state import State

_log = logging.getLogger("apiary")


def reasons(state: State) -> list[str]:
    """What stands in the way, in sentences; empty when nothing does. Needs an app context."""
    try:
        if db.pending(state.database, state.migrations):
            return ["The database is not up to date. Run: flask apiary upgrade"]
        with db.connected():
            unreadable = rotation.unreadable(state.vault.ring)
    except (peewee.PeeweeException, MaxConnectionsExceeded, OSError):
        # The driver's words name hosts and users, so they are for the log.
        _log.warning("The database cannot be reached", exc_info=True)
        return ["The database cannot be reached."]
    if unreadable:
        return ["The key ring does not open every stored key. Run: flask apiary doctor"]
    return []
