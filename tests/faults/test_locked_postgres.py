"""PostgreSQL with tables and rows that somebody else has locked: the wait has an end.

SQLite's is in test_database_faults.py.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from apiary import db
from tests.conftest import LiveSandbox
from tests.faults.story import Visitor

SENTENCE = "The database cannot be used right now. Try again in a moment."
HTML = {"Accept": "text/html"}
Lock = Callable[[str], None]


@contextmanager
def setting(server: str, url: str, seconds: int) -> Iterator[str]:
    """An operator's own wait for locks. The database is put right for later tests."""
    name = url.rpartition("/")[2]
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE \"{name}\" SET lock_timeout = '{seconds}s'")
        yield url
        admin.execute(f'ALTER DATABASE "{name}" RESET lock_timeout')


@pytest.fixture
def url(postgres_server: str, new_postgres: Callable[[], str]) -> Iterator[str]:
    """Waits for a second; how long it would by itself is the last test's."""
    with setting(postgres_server, new_postgres(), 1) as url:
        yield url


@contextmanager
def locked(url: str, statement: str) -> Iterator[None]:
    """Another connection has run this and does not come to an end."""
    with psycopg.connect(url) as other:
        other.execute(statement)
        yield
        other.rollback()


@pytest.fixture
def database_url(url: str) -> str:
    return url


def said(ask: Callable[[], httpx.Response]) -> None:
    """It was refused after a wait, in the same words as SQLite's."""
    began = time.monotonic()
    answer = ask()
    took = time.monotonic() - began
    assert answer.status_code == 503, (answer.status_code, answer.text[:500])
    if "json" in answer.headers["Content-Type"]:
        assert answer.json()["code"] == "database" and answer.json()["message"] == SENTENCE
    else:
        assert SENTENCE in answer.text and "Traceback" not in answer.text
    assert 0.9 < took < 30, took


def test_a_message(url: str, visitor: Visitor, sandbox: LiveSandbox) -> None:
    visitor.connect(sandbox)
    talk = visitor.post("/c").json()["id"]
    question = {"text": "Hello", "provider": "openrouter", "model": "sandbox/echo"}

    def ask() -> httpx.Response:
        return visitor.post(f"/c/{talk}/messages", json=question)

    with locked(url, "LOCK TABLE message"):
        said(ask)
    # Its first statements went through; it is the last one that waits.
    with locked(url, "SELECT * FROM conversation FOR UPDATE"):
        said(ask)
    assert visitor.messages(talk) == [] and sandbox.state.journal.chats() == []
    assert "event: done" in ask().text
    assert [message["text"] for message in visitor.messages(talk)] == ["Hello", "Hello"]


def test_the_way_back_from_the_provider(url: str, visitor: Visitor, sandbox: LiveSandbox) -> None:
    back = visitor.begin(sandbox)
    with locked(url, "SELECT * FROM apiary_flow FOR UPDATE"):
        said(lambda: visitor.http.get(back, headers=HTML))
    assert visitor.flow()["state"] == "waiting" and sandbox.exchanges == 0
    assert visitor.http.get(back).status_code == 303
    assert visitor.card()["state"] == "connected" and sandbox.exchanges == 1


def test_the_settings(url: str, visitor: Visitor, paste_key: str) -> None:
    def save() -> httpx.Response:
        return visitor.post("/settings/openrouter/key", data={"api_key": paste_key})

    with locked(url, "LOCK TABLE apiary_connection IN EXCLUSIVE MODE"):
        # Who only reads does not wait.
        assert visitor.card()["state"] == "none"
        said(save)
    assert visitor.card()["state"] == "none"
    assert save().status_code == 200 and visitor.card()["state"] == "connected"


@pytest.mark.parametrize("table", ["account", "conversation", "apiary_connection"])
def test_a_page(url: str, visitor: Visitor, table: str) -> None:
    visitor.post("/c")
    path = "/settings/" if table == "apiary_connection" else "/"
    with locked(url, f"LOCK TABLE {table}"):
        said(lambda: visitor.http.get(path, headers=HTML))
    assert visitor.http.get(path, headers=HTML).status_code == 200


def test_who_reads_an_answer_reads_on(url: str, visitor: Visitor, sandbox: LiveSandbox) -> None:
    visitor.connect(sandbox)
    sandbox.state.switches.pace = 0.6
    with visitor.ask("Tell me") as answer:
        answer.read(until=0.5)
        before = len(answer.text)
        with locked(url, "LOCK TABLE message, account, conversation"):
            answer.read(until=3)
        assert len(answer.text) > before and answer.kind == "delta"
        sandbox.state.switches.pace = 0.02
        answer.read()
    assert answer.kind == "done" and visitor.messages(answer.talk)[1]["text"] == answer.text

    sandbox.state.switches.pace = 0.2
    sandbox.state.journal.clear()
    with visitor.ask("Tell me") as answer:
        answer.read(until=0.2)
        with locked(url, "LOCK TABLE message, account, conversation"):
            # All of it comes meanwhile, and the end cannot be kept.
            sandbox.state.journal.wait(lambda entry: entry.outcome == "finished", timeout=30)
            time.sleep(2)
        answer.read()
    # Nobody was told of an end before it was saved.
    assert answer.kind == "done" and visitor.messages(answer.talk)[1]["text"] == answer.text


def test_what_the_operator_has_set_stands(
    new_postgres: Callable[[], str], postgres_server: str
) -> None:
    def seen(url: str) -> str:
        database = db.open_url(url)
        with database.connection_context():
            found: str = database.execute_sql("SHOW lock_timeout").fetchone()[0]
        database.close_all()
        return found

    url = new_postgres()
    assert seen(url) == "5s"
    with setting(postgres_server, url, 2):
        assert seen(url) == "2s"
