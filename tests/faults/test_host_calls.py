"""What a host calls while the database is away: one kind of error, with a sentence."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask

from apiary import Apiary, DatabaseDown, KeyRejected, database
from apiary.providers.base import Facts
from apiary.secret import Secret

SENTENCE = "The database cannot be used right now. Try again in a moment."
QUESTION = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "Hello"}]}
#: Every public method; those that do without the database, or tell of it, are in OTHERS.
CALLS: dict[str, Callable[[Apiary], object]] = {
    "connection": lambda apiary: apiary.connection("ann", "openrouter"),
    "connections": lambda apiary: apiary.connections("ann"),
    "catalogue": lambda apiary: apiary.catalogue("ann", "openrouter"),
    "models": lambda apiary: apiary.models("ann", "openrouter"),
    "stream": lambda apiary: apiary.stream("ann", "openrouter", **QUESTION),
    "complete": lambda apiary: apiary.complete("ann", "openrouter", **QUESTION),
    "forget_owner": lambda apiary: apiary.forget_owner("ann"),
}
OTHERS = {"init_app", "providers", "hang_up", "doctor", "ready"}


@pytest.fixture
def app(make_app, new_postgres: Callable[[], str], paste_key: str) -> Flask:
    made: Flask = make_app(APIARY_DATABASE_URL=new_postgres())
    state = made.extensions["apiary"]
    with made.app_context(), database.connection_context():
        provider = state.providers["openrouter"]
        state.vault.put("ann", provider, Secret(paste_key), source="key", facts=Facts())
    return made


@contextmanager
def away(app: Flask, server: str) -> Iterator[None]:
    name = app.extensions["apiary"].database.database
    ended = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = %s AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute(ended, (name,))
        yield
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_all_calls_are_here() -> None:
    assert CALLS.keys() | OTHERS == {name for name in vars(Apiary) if not name.startswith("_")}


def test_each_call(app: Flask, postgres_server: str) -> None:
    apiary = app.extensions["test_apiary"]
    with app.app_context():
        with away(app, postgres_server):
            for name, call in CALLS.items():
                with pytest.raises(DatabaseDown) as caught:
                    call(apiary)
                error = caught.value
                assert (str(error), error.message) == (SENTENCE, SENTENCE), name
                assert (error.code, error.action) == ("database", "retry"), name
                # The log has what the driver said.
                assert "not currently accepting connections" in str(error.__cause__), name
            assert apiary.ready() == ["The database cannot be reached."]
            assert any(check.level == "wrong" for check in apiary.doctor(offline=True))
            assert apiary.providers()
        assert apiary.connection("ann", "openrouter").state == "connected"
        assert apiary.complete("ann", "openrouter", **QUESTION).text == "Hello"


def test_a_key_of_the_hosts_own(app: Flask, postgres_server: str, paste_key: str) -> None:
    apiary = app.extensions["test_apiary"]
    with app.app_context(), away(app, postgres_server):
        answer = apiary.complete(None, "openrouter", api_key=paste_key, **QUESTION)
    assert answer.text == "Hello"


def test_a_refused_key_is_said_all_the_same(app: Flask) -> None:
    """It can be read and cannot be marked."""
    apiary, opened = app.extensions["test_apiary"], app.extensions["apiary"].database
    refused = QUESTION | {"model": "sandbox/error-401"}
    with app.app_context():
        with psycopg.connect(dbname=opened.database, **server_of(opened)) as other:
            other.execute("SELECT * FROM apiary_connection FOR UPDATE")
            with pytest.raises(KeyRejected, match="no longer accepts this key"):
                apiary.complete("ann", "openrouter", **refused)
        assert apiary.connection("ann", "openrouter").state == "connected"
        with pytest.raises(KeyRejected):
            apiary.complete("ann", "openrouter", **refused)
        assert apiary.connection("ann", "openrouter").state == "rejected"


def server_of(opened: Any) -> dict[str, Any]:
    return {name: opened.connect_params[name] for name in ("host", "port", "user")}
