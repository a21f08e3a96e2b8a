"""From a URL to a database, the database of the current app, and its migrations."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import peewee
from flask import current_app, has_app_context
from playhouse.db_url import connect as connect_url
from playhouse.migrations import Runner
from playhouse.pool import PooledSqliteDatabase

from .errors import ConfigError
from .prepared import Prepared, PreparedInsert
from .secret import private_folder

#: Any number, as long as it is the same in every process that upgrades.
_LOCK = 0x617069617279
#: Connections to SQLite that are kept open while nobody uses them.
_IDLE = 8
_OWN_MIGRATIONS = Path(__file__).resolve().parent / "migrations"


class AppDatabase(peewee.DatabaseProxy):
    """The database of the current app, so that several apps can share the models."""

    __slots__ = ()

    def __init__(self) -> None:
        object.__setattr__(self, "_callbacks", [])

    @property
    def obj(self) -> peewee.Database | None:
        # peewee itself asks while the models are defined, before there is any app.
        if not has_app_context():
            return None
        return cast(peewee.Database, current_app.extensions["apiary"].database)

    def prepare(self, build: Callable[..., Any], names: Iterable[str] | None = None) -> Prepared:
        """A query whose SQL is made once. See :class:`.prepared.Prepared`."""
        return Prepared(self, build, names)

    def prepare_insert(self, model: type[peewee.Model]) -> PreparedInsert:
        """The same for the insertion of whole rows: call it with an instance."""
        return PreparedInsert(self, model)


class _Sqlite(PooledSqliteDatabase):  # type: ignore[misc]
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


#: What models bind to, the plug-in's and those of a host that wants to share the database.
database = AppDatabase()


def sender() -> Any:
    """The app itself, as the sender of a signal."""
    return current_app._get_current_object()  # type: ignore[attr-defined]


@contextmanager
def connected() -> Iterator[None]:
    """A connection for a few statements, where none is open on this thread yet."""
    with _opened(cast(peewee.Database, database)):
        yield


def open_url(url: str) -> peewee.Database:
    """A database for ``sqlite:///path`` or ``postgresql://…``; nothing is dialled yet.

    :raises ConfigError: another kind of URL, or a missing driver. The URL is not repeated:
        it may hold a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "sqlite" and len(parts.path) > 1:
        path = Path(url.removeprefix("sqlite:///"))
        try:
            private_folder(path.parent)
            # SQLite would make it readable for everybody; its journals take after it.
            if not path.exists():
                path.touch(mode=0o600)
        except OSError as error:
            raise ConfigError(f"{path} cannot be used: {error.strerror}.") from None
        return _Sqlite(
            str(path),
            pragmas={
                "journal_mode": "wal",
                "foreign_keys": 1,
                "synchronous": "normal",
                # A deleted key is overwritten in the file, not only unlinked.
                "secure_delete": 1,
            },
            max_connections=None,
            # One thread at a time uses a connection, but not always the one that opened it.
            check_same_thread=False,
            # A transaction that reads and then writes would else fail at once, not wait.
            lock_type="IMMEDIATE",
            autoconnect=False,
        )
    if parts.scheme in {"postgres", "postgresql"} and parts.path.strip("/"):
        pooled = re.sub(r"^postgres(ql)?:", "psycopg3+pool:", url)
        try:
            # peewee looks for it at the first connection only.
            import psycopg  # noqa: F401

            return cast(
                peewee.Database,
                connect_url(
                    pooled,
                    unquote_password=True,
                    unquote_user=True,
                    autoconnect=False,
                    max_connections=50,
                    stale_timeout=300,
                    timeout=5,
                    connect_timeout=5,
                    # A machine that is gone says nothing, and its connections would wait for
                    # a quarter of an hour. A server that works on something is not gone.
                    tcp_user_timeout=5000,
                    keepalives_idle=5,
                    keepalives_interval=2,
                    keepalives_count=3,
                ),
            )
        except (ImportError, peewee.ImproperlyConfigured):
            raise ConfigError(
                "PostgreSQL needs the driver psycopg: pip install 'flask-apiary[postgres]'."
            ) from None
    raise ConfigError(
        "APIARY_DATABASE_URL cannot be read. Write postgresql://user:password@host/name,"
        " or sqlite:////path/to/file."
    )


def pending(db: peewee.Database, extra: Mapping[str, Path]) -> list[str]:
    """Names of the migrations that were not run yet."""
    with _opened(db):
        return [
            f"{name}: {migration.name}"
            for name, runner in _runners(db, extra)
            for migration in runner.status()
            if migration.applied is None
        ]


def upgrade(db: peewee.Database, extra: Mapping[str, Path]) -> list[str]:
    """Run what is pending and return its names. Several processes may call it at once.

    :param extra: folders of migrations by name, beside the plug-in's own.
    """
    done: list[str] = []
    with _only_one(db), _opened(db), _advisory_lock(db):
        for name, runner in _runners(db, extra):
            done += [f"{name}: {migration}" for migration in runner.up() or ()]
    return done


def _runners(db: peewee.Database, extra: Mapping[str, Path]) -> Iterator[tuple[str, Any]]:
    for name, folder in {"apiary": _OWN_MIGRATIONS, **extra}.items():
        yield name, Runner(db, str(folder), table_name=f"{name}_migration")


@contextmanager
def _opened(db: peewee.Database) -> Iterator[None]:
    # A connection_context() inside another one would close the outer one's connection.
    if db.is_closed():
        with db.connection_context():
            yield
    else:
        yield


@contextmanager
def _advisory_lock(db: peewee.Database) -> Iterator[None]:
    if not isinstance(db, peewee.PostgresqlDatabase):
        yield
        return
    run: Any = db.execute_sql
    run("SELECT pg_advisory_lock(%s)", (_LOCK,))
    try:
        yield
    finally:
        run("SELECT pg_advisory_unlock(%s)", (_LOCK,))


@contextmanager
def _only_one(db: peewee.Database) -> Iterator[None]:
    """For SQLite a lock on a file beside the database: it takes no lock of its own here."""
    memory = str(db.database) == ":memory:" or str(db.database).startswith("file:")
    if not isinstance(db, peewee.SqliteDatabase) or memory or os.name != "posix":
        yield
        return
    import fcntl

    with open(f"{db.database}.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
