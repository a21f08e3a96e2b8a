"""Opening databases, and what is refused."""

import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from apiary import db
from apiary.errors import ConfigError


def test_the_database_file_is_private(make_app: Callable, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.sqlite3"
    make_app(APIARY_DATABASE_URL=f"sqlite:///{path}")
    for file in path.parent.glob("x.sqlite3*"):
        if not file.name.endswith(".lock"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:hunter2@localhost/test",
        "postgresql://user:hunter2@localhost",
        "postgresql://user:hunter2@localhost:port/x",
        "sqlite://",
        "sqlite:///:memory:"[:10],
        "hunter2",
        "://hunter2",
        "[hunter2",
    ],
)
def test_an_unreadable_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="APIARY_DATABASE_URL cannot be read") as caught:
        db.open_url(url)
    assert "hunter2" not in str(caught.value)


def test_a_password_with_odd_characters_is_unquoted(postgres_server: str) -> None:
    database = db.open_url("postgresql://us%40er:p%40ss%2Fword@127.0.0.1:5432/test")
    assert database.connect_params["password"] == "p@ss/word"
    assert database.connect_params["user"] == "us@er"


def test_who_needs_one_connection_more_waits_for_it(new_postgres) -> None:
    few = db.open_url(new_postgres(), connections=2)
    held, go, done = threading.Barrier(3), threading.Event(), []

    def hold() -> None:
        with few.connection_context():
            held.wait(10)
            go.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(2)]
    for thread in threads:
        thread.start()
    held.wait(10)

    def ask() -> None:
        with few.connection_context():
            done.append(few.execute_sql("SELECT 1").fetchone())

    third = threading.Thread(target=ask)
    third.start()
    third.join(0.3)
    assert third.is_alive() and not done
    go.set()
    for thread in (*threads, third):
        thread.join(10)
    assert done == [(1,)]
    few.close_all()


def test_what_a_thread_uses_is_not_closed_with_the_rest(database_url: str) -> None:
    """A connection that is opened next would hang: its answers went to that thread."""
    made, found = db.open_url(database_url), []
    lent, go = threading.Event(), threading.Event()

    def use() -> None:
        with made.connection_context():
            lent.set()
            go.wait(10)
            found.append(made.execute_sql("SELECT 1").fetchone())

    thread = threading.Thread(target=use)
    thread.start()
    lent.wait(10)
    made.close_all()
    go.set()
    thread.join(10)
    assert found == [(1,)]
    made.close_all()


def test_migrations_run_once_and_leave_nothing_pending(database_url: str) -> None:
    made = db.open_url(database_url)
    assert db.pending(made, {})
    assert db.upgrade(made, {})
    assert db.upgrade(made, {}) == []
    assert db.pending(made, {}) == []
    made.close()
    if hasattr(made, "close_all"):
        made.close_all()
