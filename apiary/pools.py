"""The two kinds of database, pooled by peewee, and what a pool of ours looks at by itself."""

import os
from typing import Any

import peewee
from playhouse.pool import PooledSqliteDatabase
from playhouse.postgres_ext import PooledPsycopg3Database

#: Seconds for which a statement waits for what another connection has locked, on both kinds.
PATIENCE = 5
#: Connections to SQLite that are kept open while nobody uses them.
_IDLE = 8


class Sqlite(PooledSqliteDatabase):  # type: ignore[misc]
    """Keeps a few connections open between requests: to open one costs more than a small query.

    There is no upper bound for those in use, as for a plain ``SqliteDatabase``.
    """

    _process = 0

    def _connect(self) -> Any:
        if self._process != os.getpid():
            # Those of the process that forked this one are of no use here.
            self._connections: list[Any] = []
            self._in_use: dict[int, Any] = {}
            self._process = os.getpid()
        return super()._connect()

    def _can_reuse(self, conn: Any) -> bool:
        return len(self._connections) < _IDLE and bool(super()._can_reuse(conn))

    def close_all(self) -> None:
        """Close what nobody uses. SQLite does not survive a close under the feet of a thread."""
        self.close()
        self.close_idle()

    def __del__(self) -> None:
        self.close_idle()


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


def locked(error: BaseException) -> bool:
    """Whether PostgreSQL gave up waiting for a lock."""
    return getattr(getattr(error, "orig", None), "sqlstate", "") == "55P03"
