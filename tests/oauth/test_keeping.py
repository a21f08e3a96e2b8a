"""A key that was exchanged while the database cannot be used: kept in time, or told as lost."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from flask import Flask

from apiary import database
from tests.conftest import LiveSandbox
from tests.faults.test_database_faults import end_backends, locked
from tests.views.flows import ATTEMPT, approve, begin, sign_in, state, stored

Break = Callable[[float], None]


@contextmanager
def later(seconds: float, what: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(seconds, what)
    timer.start()
    yield
    timer.join()


@pytest.fixture
def fail(request: pytest.FixtureRequest, app: Flask, database_url: str, tmp_path: Path) -> Break:
    """Makes the database unusable for so many seconds."""
    app.extensions["apiary"].database.timeout = 0.2

    def lock(seconds: float) -> None:
        with locked(tmp_path / "apiary.sqlite3", seconds):
            time.sleep(seconds)

    def cut(seconds: float) -> None:
        server = request.getfixturevalue("postgres_server")
        name = database_url.rpartition("/")[2]
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            assert end_backends(server, database_url) > 0
            time.sleep(seconds)
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    return cut if database_url.startswith("postgres") else lock


def test_a_key_waits_for_the_database(app: Flask, sandbox: LiveSandbox, fail: Break) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    sandbox.state.switches.exchange_delay = 1
    with later(0.5, lambda: fail(2.5)):
        answer = client.get(back)
    assert answer.headers["Location"].endswith(f"/done/{ATTEMPT}")
    assert state(client)["state"] == "connected" and sandbox.exchanges == 1
    assert stored(app) == [("ann", "connected")]


def test_so_does_one_of_another_account(app: Flask, sandbox: LiveSandbox, fail: Break) -> None:
    client = sign_in(app)
    client.get(approve(begin(client, "first-0123456789ab")))
    back = approve(begin(client), account=1)
    sandbox.state.switches.exchange_delay = 1
    with later(0.5, lambda: fail(2.5)):
        client.get(back)
    assert "another account" in state(client)["question"]
    client.post(f"/settings/openrouter/flows/{ATTEMPT}/replace")
    assert state(client)["state"] == "connected" and sandbox.exchanges == 2


def test_a_key_that_cannot_be_stored_is_told_as_lost(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    database_of = app.extensions["apiary"].database

    def rename(old: str, new: str) -> None:
        with app.app_context(), database.connection_context():
            database_of.execute_sql(f"ALTER TABLE {old} RENAME TO {new}")

    rename("apiary_connection", "hidden")
    # Not for ever: the window of the user waits for it.
    app.extensions["apiary"].connect.patience = 1
    began = time.monotonic()
    client.get(back)
    assert time.monotonic() - began < 5
    rename("hidden", "apiary_connection")
    found = state(client)
    assert found["state"] == "lost" and "A key may exist" in found["message"]
    assert stored(app) == [] and sandbox.exchanges == 1
    page = client.get("/settings/").text
    assert "A key may exist" in page and f"{sandbox.url}/settings/keys" in page
