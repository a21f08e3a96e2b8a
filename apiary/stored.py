"""Whether the database can be used, and the key ring opens what is stored in it."""

import os
from collections.abc import Iterator
from typing import Any

import peewee

from . import db, rotation
from .findings import Check
from .models import StoredCanary
from .pools import FileGone, Postgres
from .state import State

_DATABASE_ERRORS = (*db.ERRORS, OSError)


def database(state: State) -> Iterator[Check]:
    """Whether the database answers and is up to date."""
    kind = "SQLite" if isinstance(state.database, peewee.SqliteDatabase) else "PostgreSQL"
    try:
        pending = db.pending(state.database, state.migrations)
    except _DATABASE_ERRORS as error:
        yield _unusable("database", f"{kind} cannot be used", error)
        return
    yield Check("database", "ok", f"{kind} answers.")
    if getattr(state.database, "made", False):
        yield Check(
            "database",
            "warn",
            f"There was none at {state.database.database} when this process started, so an empty"
            " one was made.",
            "If one should be there, stop the app and put it back, or set APIARY_DATABASE_URL.",
        )
    if pending:
        yield Check(
            "database",
            "wrong",
            f"The database is not up to date. Migrations that wait: {len(pending)}.",
            "Run: flask apiary upgrade",
        )
        return
    yield Check("database", "ok", "The database is up to date.")
    try:
        _write()
    except _DATABASE_ERRORS as error:
        yield _unusable("database", f"{kind} takes no writes", error)
        return
    if isinstance(state.database, Postgres):
        yield _room(state)


def _write() -> None:
    """Write a row and take it back."""
    with db.connected(), db.database.atomic() as change:
        StoredCanary.insert(kid="doctor", iv=b"", sealed=b"", since=0).execute()
        change.rollback()


_ROOM = """
SELECT current_setting('max_connections')::int
     - current_setting('superuser_reserved_connections')::int
     - coalesce(current_setting('reserved_connections', true), '0')::int
"""


def _room(state: State) -> Check:
    """Whether PostgreSQL takes what the processes of this machine may ask for."""
    with db.connected():
        found: Any = state.database
        [room] = found.execute_sql(_ROOM).fetchone()
    each = state.settings.database_connections
    told = os.environ.get("WEB_CONCURRENCY", "")
    processes = int(told) if told.isascii() and told.isdigit() and int(told) else 1
    if processes * each <= room:
        return Check(
            "database",
            "ok",
            f"PostgreSQL takes {room} connections, and each process up to {each}. Processes of"
            f" all machines that fit: {room // each}.",
        )
    return Check(
        "database",
        "warn",
        f"PostgreSQL takes {room} connections, and this machine may ask for {processes * each}."
        " A request that is refused one is answered with 503.",
        "Raise max_connections of PostgreSQL, or set APIARY_DATABASE_CONNECTIONS to"
        f" {max(1, room // processes)} or less.",
    )


def vault(state: State) -> Iterator[Check]:
    """The stored keys by the key that sealed them, and the canaries."""
    ring = state.vault.ring
    try:
        if db.pending(state.database, state.migrations):
            return
    except _DATABASE_ERRORS:
        # That is what the check of the database says.
        return
    try:
        with db.connected():
            found = rotation.usage(ring)
    except _DATABASE_ERRORS as error:
        yield _unusable("vault", "The stored keys cannot be counted", error)
        return
    bad = [use for use in found if use.role == "missing" or not use.sound]
    for use in bad:
        if use.unreadable:
            yield Check(
                "vault",
                "wrong",
                f"Stored keys that cannot be read: {use.unreadable}. They are sealed with"
                f" {use.kid}, which is not in the key ring. Nothing was lost.",
                "Put that key back into APIARY_ENCRYPTION_KEYS and restart. If it is gone for"
                " good, the owners have to connect again.",
            )
        elif use.role == "missing":
            yield Check(
                "vault",
                "warn",
                f"{use.kid} was used to seal keys and is not in the key ring; nothing stored"
                " needs it. Another process may still use it.",
                "Give every process the same APIARY_ENCRYPTION_KEYS, or forget it:"
                f" flask apiary keys retire {use.kid}",
            )
        else:
            yield Check(
                "vault",
                "wrong",
                f"The canary of {use.kid} does not open although the key is there.",
                "Run the version of Apiary that wrote this database, or restore a backup.",
            )
    older = sum(use.stored + use.held for use in found if use.role == "decrypts")
    if older:
        yield Check(
            "vault",
            "warn",
            f"Stored keys that are sealed with an older key of the ring: {older}.",
            "Run: flask apiary keys rotate",
        )
    if not bad:
        stored = sum(use.stored for use in found)
        yield Check("vault", "ok", f"Stored keys: {stored}. The key ring opens all of them.")


def _unusable(name: str, what: str, error: Exception) -> Check:
    if isinstance(error, FileGone):
        return Check(
            name,
            "wrong",
            f"{what}: {error.why}",
            "Stop the app, put the database back with nothing of the old one (-wal, -shm) beside"
            " it, and start.",
        )
    # The text of a driver's error names hosts and users, never a password.
    lines = str(error).strip().splitlines()
    return Check(
        name,
        "wrong",
        f"{what}: {lines[0] if lines else type(error).__name__}",
        "See that the database runs, has room, is no standby and is locked by nobody, and that"
        " APIARY_DATABASE_URL and the rights of its files or user are right.",
    )
