"""From a URL to a database, the database of the current app, and its migrations."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import peewee
from flask import current_app
from playhouse.db_url import parse as parse_url
from playhouse.migrations import Runner
from playhouse.pool import MaxConnectionsExceeded

from .errors import ConfigError, DatabaseDown
from .pools import PATIENCE, Postgres, Sqlite
from .prepared import Prepared, PreparedInsert
from .secret import private_folder
from .translation import say

#: Any number, as long as it is the same in every process that upgrades.
_LOCK = 0x617069617279
#: Seconds for which a migration waits for what another connection has locked.
_MIGRATION = 60
#: What peewee and its pools raise where the database cannot be used.
ERRORS = (peewee.PeeweeException, MaxConnectionsExceeded)
#: Of those, what may be over in a moment: away, locked, full, read-only.
PASSING = (
    peewee.OperationalError,
    peewee.InterfaceError,
    peewee.InternalError,
    MaxConnectionsExceeded,
)
#: Around what goes to the driver past peewee.
_peewees_errors: Any = vars(peewee)["__exception_wrapper__"]
_UNUSABLE = say("The database cannot be used right now. Try again in a moment.")
_OWN_MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def _of_app() -> peewee.Database:
    """:raises RuntimeError: there is no app."""
    return cast(peewee.Database, current_app.extensions["apiary"].database)


class AppDatabase(peewee.DatabaseProxy):
    """The database of the current app, so that several apps can share the models."""

    __slots__ = ()

    def __init__(self) -> None:
        object.__setattr__(self, "_callbacks", [])

    @property
    def obj(self) -> peewee.Database | None:
        try:
            return _of_app()
        except RuntimeError:
            # peewee itself asks while the models are defined, before there is any app.
            return None

    def __getattr__(self, name: str) -> Any:
        # peewee's own looks the app up twice, and does not say what is missing.
        try:
            real = _of_app()
        except RuntimeError as error:
            raise AttributeError(str(error)) from None
        return getattr(real, name)

    def atomic(self, *args: Any, **kwargs: Any) -> Any:
        return self.__getattr__("atomic")(*args, **kwargs)

    def prepare(self, build: Callable[..., Any], names: Iterable[str] | None = None) -> Prepared:
        """A query whose SQL is made once. See :class:`.prepared.Prepared`."""
        return Prepared(self, build, names)

    def prepare_insert(self, model: type[peewee.Model]) -> PreparedInsert:
        """The same for the insertion of whole rows: call it with an instance."""
        return PreparedInsert(self, model)


#: What models bind to, the plug-in's and those of a host that wants to share the database.
database = AppDatabase()


def sender() -> Any:
    """The app itself, as the sender of a signal."""
    return current_app._get_current_object()  # type: ignore[attr-defined]


def connected() -> AbstractContextManager[None]:
    """A connection for a few statements, where none is open on this thread yet."""
    return _opened(cast(peewee.Database, database))


def reopen() -> None:
    """Take a fresh connection on this thread, in place of one that may have broken."""
    if _in_memory(cast(peewee.Database, database)):
        return  # it would be gone with its connection
    if not database.is_closed():
        database.close()
    # What lies idle in a pool has broken too, if this one has.
    getattr(database, "close_idle", lambda: None)()
    database.connect()


@contextmanager
def answering() -> Iterator[None]:
    """As :func:`connected`, for what hosts call.

    :raises DatabaseDown: in place of what peewee raises.
    """
    try:
        with connected():
            yield
    except ERRORS as error:
        raise DatabaseDown(sentence(error)) from error


def sentence(error: Exception) -> str:
    """What to say to people about one of :data:`ERRORS`."""
    return error.message if isinstance(error, DatabaseDown) else _UNUSABLE


def open_url(url: str, connections: int = 20) -> peewee.Database:
    """A database for ``sqlite:///path`` or ``postgresql://…``; nothing is dialled yet.

    :param connections: to PostgreSQL, at most; who needs one more waits for :data:`PATIENCE`.
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
            made = not path.exists()
            if made:
                path.touch(mode=0o600)
        except OSError as error:
            raise ConfigError(f"{path} cannot be used: {error.strerror}.") from None
        opened = Sqlite(
            str(path),
            pragmas={
                "journal_mode": "wal",
                "foreign_keys": 1,
                "synchronous": "normal",
                # A deleted key is overwritten in the file, not only unlinked.
                "secure_delete": 1,
            },
            timeout=PATIENCE,
            max_connections=None,
            # One thread at a time uses a connection, but not always the one that opened it.
            check_same_thread=False,
            # A transaction that reads and then writes would else fail at once, not wait.
            lock_type="IMMEDIATE",
            autoconnect=False,
        )
        opened.made = made
        return opened
    if parts.scheme in {"postgres", "postgresql"} and parts.path.strip("/"):
        try:
            # peewee looks for it at the first connection only.
            import psycopg  # noqa: F401
        except ImportError:
            raise ConfigError(
                "PostgreSQL needs the driver psycopg: pip install 'flask-apiary[postgres]'."
            ) from None
        given = parse_url(url, unquote_password=True, unquote_user=True)
        ours = {
            "autoconnect": False,
            "max_connections": connections,
            "stale_timeout": 300,
            "timeout": PATIENCE,
            "connect_timeout": 5,
            # A machine that is gone says nothing, and its connections would wait for
            # a quarter of an hour. A server that works on something is not gone.
            "tcp_user_timeout": 5000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        }
        return cast(peewee.Database, Postgres(**(given | ours)))
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
    """One upgrade after the other, and each waits for tables longer than a page does."""
    if not isinstance(db, peewee.PostgresqlDatabase):
        yield
        return
    run: Any = db.execute_sql
    usual = run("SHOW lock_timeout").fetchone()[0]
    with _held(db):
        try:
            # All pages wait behind who waits for a table.
            run("SELECT set_config('lock_timeout', %s, false)", (f"{_MIGRATION}s",))
            yield
        finally:
            # Where the connection broke, its error is what counts.
            with suppress(peewee.PeeweeException):
                run("SELECT set_config('lock_timeout', %s, false)", (usual,))


@contextmanager
def _held(db: peewee.PostgresqlDatabase) -> Iterator[None]:
    """Hold the lock in a transaction, on a connection beside the pool's.

    Behind PgBouncer's own pool each statement outside of a transaction may go to another
    connection: what one locked the other could not unlock, and who came next waited for ever.
    """
    kind: Any = peewee.PostgresqlDatabase
    with _peewees_errors:
        keeper = kind._connect(db)
    try:
        with _peewees_errors:
            cursor = keeper.cursor()
            cursor.execute("BEGIN")
            # Another upgrade may take its time, and so may this one.
            cursor.execute("SET LOCAL lock_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        yield
    finally:
        with suppress(peewee.PeeweeException), _peewees_errors:
            keeper.cursor().execute("ROLLBACK")
        keeper.close()


@contextmanager
def _only_one(db: peewee.Database) -> Iterator[None]:
    """For SQLite a lock on a file beside the database: it takes no lock of its own here."""
    if not isinstance(db, peewee.SqliteDatabase) or _in_memory(db) or os.name != "posix":
        yield
        return
    import fcntl

    with open(f"{db.database}.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _in_memory(db: peewee.Database) -> bool:
    return str(db.database) == ":memory:" or str(db.database).startswith("file:")
