"""A database that is locked, read-only, cut off or gone: a sentence with 503, and then on."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

from apiary import database
from apiary.errors import ConfigError
from apiary.providers.base import Facts
from apiary.secret import Secret
from tests.views.flows import sign_in

JSON = {"Accept": "application/json"}
SENTENCE = "The database cannot be used right now. Try again in a moment."


@pytest.fixture
def embedded(make_app, tmp_path: Path) -> Flask:
    app = make_app(APIARY_DATABASE_URL=f"sqlite:///{tmp_path / 'x.sqlite3'}")
    connect(app)
    return app


def connect(app: Flask) -> None:
    """Ann is connected, and the first request of the process is over."""
    state = app.extensions["apiary"]
    with app.app_context(), database.connection_context():
        provider = state.providers["openrouter"]
        state.vault.put("ann", provider, Secret("sk-or-v1-abc"), source="key", facts=Facts())
    assert sign_in(app).get("/settings/").status_code == 200


def disconnect(app: Flask):
    return sign_in(app).post("/settings/openrouter/disconnect", headers=JSON)


def state(app: Flask) -> str:
    return sign_in(app).get("/settings/openrouter", headers=JSON).get_json()["state"]


@contextmanager
def locked(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Another writer holds the file: for a while, or until the block ends."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        held.set()
        release.wait(seconds)
        connection.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        release.set()
        thread.join()


def test_a_short_lock_is_waited_for(embedded: Flask, tmp_path: Path) -> None:
    began = time.monotonic()
    with locked(tmp_path / "x.sqlite3", seconds=1):
        answer = disconnect(embedded)
        assert answer.status_code == 200 and answer.get_json()["state"] == "none"
        assert time.monotonic() - began >= 1


def test_a_long_lock_is_a_sentence(embedded: Flask, tmp_path: Path) -> None:
    embedded.extensions["apiary"].database.timeout = 0.3
    with locked(tmp_path / "x.sqlite3"):
        # Reading goes on.
        assert state(embedded) == "connected"
        answer = disconnect(embedded)
        assert answer.status_code == 503
        assert answer.get_json() == {"code": "database", "message": SENTENCE}
        page = sign_in(embedded).post("/settings/openrouter/disconnect")
        assert page.status_code == 503 and SENTENCE in page.text
    assert state(embedded) == "connected"
    assert disconnect(embedded).get_json()["state"] == "none"


def test_the_wait_has_an_end(embedded: Flask) -> None:
    with embedded.app_context(), database.connection_context():
        assert database.execute_sql("PRAGMA busy_timeout").fetchone() == (5000,)


def test_a_first_request_while_another_writes(make_app, tmp_path: Path, caplog) -> None:
    """The canary cannot be left yet: the page comes all the same, and the next one leaves it."""
    app = make_app(APIARY_DATABASE_URL=f"sqlite:///{tmp_path / 'x.sqlite3'}")
    app.extensions["apiary"].database.timeout = 0.2
    with locked(tmp_path / "x.sqlite3"):
        assert sign_in(app).get("/settings/").status_code == 200
    assert sign_in(app).get("/settings/").status_code == 200
    assert "k1." in app.test_cli_runner().invoke(args=["apiary", "keys", "status"]).output


def test_a_read_only_file(embedded: Flask) -> None:
    opened = embedded.extensions["apiary"].database
    opened._pragmas.append(("query_only", 1))
    opened.close_idle()
    assert state(embedded) == "connected"
    assert sign_in(embedded).get("/settings/").status_code == 200
    assert disconnect(embedded).status_code == 503
    opened._pragmas.remove(("query_only", 1))
    opened.close_idle()
    assert disconnect(embedded).get_json()["state"] == "none"


def test_a_file_that_is_no_database(make_app, tmp_path: Path) -> None:
    (tmp_path / "x.sqlite3").write_bytes(b"no database at all\n" * 300)
    with pytest.raises(ConfigError, match=r"x\.sqlite3 cannot be used: file is not a database"):
        make_app(APIARY_DATABASE_URL=f"sqlite:///{tmp_path / 'x.sqlite3'}")


def test_a_disk_that_is_full(embedded: Flask, tmp_path: Path) -> None:
    opened = embedded.extensions["apiary"].database
    with embedded.app_context(), database.connection_context():
        pages = database.execute_sql("PRAGMA page_count").fetchone()[0]
    opened._pragmas.append(("max_page_count", pages))
    opened.close_idle()
    with embedded.app_context(), database.connection_context():
        raised = None
        try:
            for n in range(2000):
                embedded.extensions["apiary"].vault.put(
                    f"o{n}",
                    embedded.extensions["apiary"].providers["openrouter"],
                    Secret("sk-or-v1-abc"),
                    source="key",
                    facts=Facts(),
                )
        except Exception as error:
            raised = error
    assert "full" in str(raised)
    assert state(embedded) == "connected"
    refused = sign_in(embedded, "zoe").post(
        "/settings/anthropic/key",
        data={"api_key": "sk-ant-" + "x" * 200, "unchecked": "1"},
        headers=JSON,
    )
    assert refused.status_code in {422, 503}
    opened._pragmas.remove(("max_page_count", pages))
    opened.close_idle()
    assert disconnect(embedded).get_json()["state"] == "none"


@pytest.fixture
def served(make_app, new_postgres) -> tuple[Flask, str]:
    url = new_postgres()
    app = make_app(APIARY_DATABASE_URL=url)
    connect(app)
    return app, url


def end_backends(server: str, url: str) -> int:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
            " AND pid <> pg_backend_pid()"
        )
        row = connection.execute(query, (url.rpartition("/")[2],)).fetchone()
    assert row
    return row[0]


def test_backends_ended_between_two_requests(served, postgres_server: str) -> None:
    app, url = served
    assert end_backends(postgres_server, url) > 0
    assert state(app) == "connected"
    end_backends(postgres_server, url)
    assert disconnect(app).get_json()["state"] == "none"


def test_a_backend_ended_in_the_middle_of_a_request(served, postgres_server: str) -> None:
    app, url = served
    vault = app.extensions["apiary"].vault
    forget = vault.forget

    def cut(*args):
        end_backends(postgres_server, url)
        return forget(*args)

    object.__setattr__(vault, "forget", cut)
    assert disconnect(app).status_code == 503
    object.__setattr__(vault, "forget", forget)
    assert state(app) == "connected"
    assert disconnect(app).get_json()["state"] == "none"


def test_a_database_that_is_gone_and_comes_back(
    served, postgres_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    import psycopg

    app, url = served
    name = url.rpartition("/")[2]
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    end_backends(postgres_server, url)
    page = sign_in(app).get("/settings/")
    assert page.status_code == 503 and SENTENCE in page.text
    answer = sign_in(app).get("/settings/openrouter", headers=JSON)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "database")
    told = [r for r in caplog.records if r.name == "apiary" and r.levelno == logging.ERROR]
    assert told and "could not use the database" in told[0].getMessage()
    status = app.test_cli_runner().invoke(args=["apiary", "keys", "status"])
    assert status.exit_code == 1 and "The database cannot be used" in status.output
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert state(app) == "connected"


def test_a_pool_that_has_lent_everything(served) -> None:
    app, _ = served
    pool = app.extensions["apiary"].database
    pool._max_connections, pool._wait_timeout = 1, 0.3
    with app.app_context():
        held = threading.Event(), threading.Event()

        def hold() -> None:
            with app.app_context(), database.connection_context():
                held[0].set()
                held[1].wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held[0].wait()
    try:
        assert sign_in(app).get("/settings/openrouter", headers=JSON).status_code == 503
    finally:
        held[1].set()
        thread.join()
    assert state(app) == "connected"
