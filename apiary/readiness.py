"""Whether a process can serve: a quick look, with answers that anybody may read."""

import logging

from . import db, rotation
from .errors import DatabaseDown
from .state import State

_log = logging.getLogger("apiary")
_AWAY = "The database cannot be reached."


def reasons(state: State) -> list[str]:
    """What stands in the way, in sentences; empty when nothing does. Needs an app context."""
    try:
        if db.pending(state.database, state.migrations):
            return ["The database is not up to date. Run: flask apiary upgrade"]
        with db.connected():
            unreadable = rotation.unreadable(state.vault.ring)
    except (*db.ERRORS, OSError) as error:
        # The driver's words name hosts and users, so they are for the log.
        _log.warning("The database cannot be reached", exc_info=True)
        return [error.message if isinstance(error, DatabaseDown) else _AWAY]
    if unreadable:
        return ["The key ring does not open every stored key. Run: flask apiary doctor"]
    return []
