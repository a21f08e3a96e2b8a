"""The two kinds of database, pooled by peewee, and what a pool of ours looks at by itself."""

import logging
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee
from playhouse.pool import PooledSqliteDatabase
from playhouse.postgres_ext import PooledPsycopg3Database

from .errors import DatabaseDown
from .fair import FairLock
from .translation import say

_log = logging.getLogger("apiary")
#: Seconds for which a statement waits for what another connection has locked, on both kinds.
PATIENCE = 5
#: Connections to SQLite that are kept open while nobody uses them.
_IDLE = 8
_Id = tuple[int, int] | None
#: How statements begin that take SQLite's lock for themselves.
_WRITES = ("INSERT", "UPDATE", "DELETE")


class FileGone(DatabaseDown, peewee.OperationalError):
    """The file of a SQLite database is not the one that was opened. ``why`` is for the operator."""

    def __init__(self, why: str) -> None:
        super().__init__(
            say(
                "The file of this site's database was deleted or replaced while it was in use."
                " Whoever runs this site has to put it in order; nothing is saved meanwhile."
            )
        )
        self.why = why


class _Connection(sqlite3.Connection):
    #: Which of the files that lay there one after the other it has open, by number.
    file = 0


class Sqlite(PooledSqliteDatabase):  # type: ignore[misc]
    """Keeps a few connections open between requests: to open one costs more than a small query.

    Who writes waits here for the others of this process, each in turn. SQLite has no queue: it
    looks again now and then, and among many there are always some that never find it free.

    There is no upper bound for those in use, as for a plain ``SqliteDatabase``. An open file can
    be deleted and written to all the same, for nothing; so the pool looks whether its file is
    still there, before it opens a connection and at most once a second before it lends one again.
    """

    #: Whether the file was not there at the start of this process and was made.
    made = False
    _process = 0
    #: The number of the file that is used now; no connection begins with it.
    _current = 0

    def __init__(self, database: str, **more: Any) -> None:
        super().__init__(database, factory=_Connection, **more)
        self._writing = FairLock()

    def begin(self, lock_type: str | None = None) -> None:
        self._take_turn()
        try:
            super().begin(lock_type)
        except BaseException:
            self._writing.release()
            raise

    def commit(self) -> None:
        super().commit()
        self._writing.release()

    def rollback(self) -> None:
        try:
            # Where SQLite has done so by itself, on a full disk, its error is what counts.
            if self.is_closed() or self.connection().in_transaction:
                super().rollback()
        finally:
            self._writing.release()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        if not sql.startswith(_WRITES) or self._writing.mine:
            return super().execute_sql(sql, params)
        self._take_turn()
        try:
            return super().execute_sql(sql, params)
        finally:
            self._writing.release()

    def _take_turn(self) -> None:
        if not self._writing.acquire(PATIENCE):
            raise peewee.OperationalError("database is locked")

    def _connect(self) -> Any:
        if self._process != os.getpid():
            # Those of the process that forked this one are of no use here.
            self._connections: list[Any] = []
            self._in_use: dict[int, Any] = {}
            self._writing = FairLock()
            self._process = os.getpid()
            self._why = ""
            self._next_look = 0.0
        if not self._connections and not self._in_use:
            # Nothing is open, so there is nothing that a file could be different from.
            self._current += 1
            self._file: _Id = None
            self._beside: tuple[_Id, ...] = ()
        self._look()
        connection = super()._connect()
        if connection.file != self._current:
            connection.file = self._current
            self._file, self._beside = _id(self.database), self._companions()
        return connection

    def _look(self) -> None:
        """:raises FileGone: what is written now would be lost, or do harm."""
        if self._connections and time.monotonic() < self._next_look:
            return
        found, why = _id(self.database), ""
        if found is None:
            why = f"{self.database} was deleted."
        elif self._file not in (None, found):
            why = self._adopt()
        elif self._file is not None:
            self._beside = self._companions()
        if why and why != self._why:
            _log.error("%s Stop the app, put the database back, and start.", why)
        self._why = why
        if why:
            # Looked at again by whoever comes next: nobody is served meanwhile.
            raise FileGone(why)
        self._next_look = time.monotonic() + 1

    def _adopt(self) -> str:
        """Take to another file in the place of ours; why not, where that cannot be."""
        for old, now in zip(self._beside, self._companions(), strict=True):
            # SQLite would write pages of the old database into the new one.
            if now is not None and old in (None, now):
                return (
                    f"{self.database} was replaced, and what belongs to the old one still lies"
                    f" beside it ({Path(self.database).name}-wal, -shm)."
                )
        if not _has_our_tables(self.database):
            return f"{self.database} was replaced by a file without the tables of Apiary."
        _log.error("%s was replaced while it was in use; the new one is used now.", self.database)
        self._current += 1
        self._file = None
        self.close_idle()
        return ""

    def _companions(self) -> tuple[_Id, ...]:
        return tuple(_id(f"{self.database}-{kind}") for kind in ("wal", "shm"))

    def _can_reuse(self, conn: Any) -> bool:
        if None in self._beside:
            # The first one that wrote has made them.
            self._beside = self._companions()
        few = conn.file == self._current and len(self._connections) < _IDLE
        return few and bool(super()._can_reuse(conn))

    def close_all(self) -> None:
        """Close what nobody uses. SQLite does not survive a close under the feet of a thread."""
        self.close()
        self.close_idle()

    def __del__(self) -> None:
        self.close_idle()


def _id(path: str) -> _Id:
    """Which file it is, None for none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _has_our_tables(path: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE name = 'apiary_connection'"
    try:
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=rw", uri=True)) as new:
            return new.execute(query).fetchone() is not None
    except sqlite3.Error:
        return False


class _Adapter(peewee.Psycopg3Adapter):
    """Dials, below the pool."""

    def connect(self, db: Any, **params: Any) -> Any:
        connection = super().connect(db, **params)  # type: ignore[no-untyped-call]
        try:
            connection.autocommit = True
            # Not as an option of the connection, which PgBouncer refuses; and an operator who
            # has set it for the role or the database knows better.
            connection.execute(
                "SELECT set_config('lock_timeout', %s, false)"
                " WHERE current_setting('lock_timeout') = '0'",
                (f"{PATIENCE}s",),
            )
        except BaseException:
            connection.close()
            raise
        return connection


class Postgres(PooledPsycopg3Database):  # type: ignore[misc]
    """Waits for a lock no longer than SQLite does; PostgreSQL's own way is to wait without end."""

    psycopg3_adapter = _Adapter

    def close_all(self) -> None:
        """Close what nobody uses. A thread whose connection is closed under its feet goes on to
        read from its socket's number, which is the next connection's by then: that one hangs.
        """
        self.close()
        self.close_idle()


def locked(error: BaseException) -> bool:
    """Whether PostgreSQL gave up waiting for a lock."""
    return getattr(getattr(error, "orig", None), "sqlstate", "") == "55P03"
