"""A SQLite file that is deleted or replaced under a running server: said, not written to."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask

from apiary import DatabaseDown, database
from apiary.providers.base import Facts
from apiary.secret import Secret
from tests.conftest import LiveSandbox
from tests.faults.story import Visitor
from tests.views.flows import sign_in

JSON = {"Accept": "application/json"}
SENTENCE = "was deleted or replaced while it was in use"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "x.sqlite3"


@pytest.fixture
def app(make_app, path: Path) -> Flask:
    made: Flask = make_app(APIARY_DATABASE_URL=f"sqlite:///{path}")
    connect(made, "ann")
    return made


def connect(app: Flask, owner: str) -> None:
    state = app.extensions["apiary"]
    with app.app_context(), database.connection_context():
        provider = state.providers["openrouter"]
        state.vault.put(owner, provider, Secret("sk-or-v1-abc"), source="key", facts=Facts())


def state(app: Flask, who: str = "ann") -> str:
    return sign_in(app, who).get("/settings/openrouter", headers=JSON).get_json()["state"]


def backup(path: Path, name: str = "backup.sqlite3") -> Path:
    saved = path.with_name(name)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(saved)) as target:
        source.backup(target)
    return saved


def companions(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}-{kind}") for kind in ("wal", "shm")]


def next_look() -> None:
    time.sleep(1.1)


def refused(app: Flask, why: str) -> None:
    """It is said to users, to scripts, to a balancer, to the operator and to the host's code."""
    page = sign_in(app).get("/settings/")
    assert page.status_code == 503 and SENTENCE in page.text.replace("&#39;", "'")
    answer = sign_in(app).post("/settings/openrouter/disconnect", headers=JSON)
    assert answer.status_code == 503 and answer.get_json()["code"] == "database"
    assert SENTENCE in answer.get_json()["message"]
    apiary = app.extensions["test_apiary"]
    with app.app_context():
        assert len(apiary.ready()) == 1 and SENTENCE in apiary.ready()[0]
        found = [check for check in apiary.doctor(offline=True) if check.name == "database"]
        with pytest.raises(DatabaseDown, match=SENTENCE):
            apiary.connections("ann")
    assert [check.level for check in found] == ["wrong"]
    assert why in found[0].message and "put the database back" in found[0].remedy


def test_deleted_and_put_back(app: Flask, path: Path, caplog) -> None:
    elsewhere = path.with_name("elsewhere.sqlite3")
    path.rename(elsewhere)
    next_look()
    refused(app, f"{path} was deleted.")
    assert not path.exists(), "no empty one is made in its place"
    told = [r for r in caplog.records if r.name == "apiary" and "was deleted" in r.getMessage()]
    assert any("Stop the app" in record.getMessage() for record in told)
    elsewhere.rename(path)
    assert state(app) == "connected"


def test_replaced_by_a_backup(app: Flask, path: Path) -> None:
    saved = backup(path)
    connect(app, "later")
    for file in (path, *companions(path)):
        file.unlink()
    saved.rename(path)
    next_look()
    assert state(app) == "connected" and state(app, "later") == "none"
    connect(app, "new")
    with closing(sqlite3.connect(path)) as seen:
        owners = {owner for (owner,) in seen.execute("SELECT owner FROM apiary_connection")}
        assert owners == {"ann", "new"}
        assert seen.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_belongs_to_the_old_one_is_not_mixed_in(app: Flask, path: Path) -> None:
    saved = backup(path)
    connect(app, "later")
    saved.replace(path)
    before = path.read_bytes()
    next_look()
    refused(app, "what belongs to the old one still lies beside it")
    assert path.read_bytes() == before
    for file in companions(path):
        file.unlink()
    assert state(app) == "connected" and state(app, "later") == "none"


@pytest.mark.parametrize("content", [b"", b"no database at all\n" * 300])
def test_replaced_by_something_else(app: Flask, path: Path, content: bytes) -> None:
    for file in (path, *companions(path)):
        file.rename(file.with_name(file.name + ".old"))
    path.write_bytes(content)
    next_look()
    refused(app, "was replaced by a file without the tables of Apiary")
    assert path.read_bytes() == content


def test_a_connection_that_was_lent_meanwhile(app: Flask, path: Path) -> None:
    """It may end what it does in the old file, and is not lent again."""
    lent, go = threading.Event(), threading.Event()

    def hold() -> None:
        with app.app_context(), database.connection_context():
            database.execute_sql("SELECT 1")
            lent.set()
            go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    lent.wait()
    saved = backup(path)
    for file in (path, *companions(path)):
        file.unlink()
    saved.rename(path)
    next_look()
    assert state(app) == "connected"
    go.set()
    thread.join()
    for n in range(10):
        connect(app, f"new{n}")
    with closing(sqlite3.connect(path)) as seen:
        assert seen.execute("SELECT count(*) FROM apiary_connection").fetchone() == (11,)


def test_no_look_between_two_that_follow_at_once(app: Flask, path: Path, tmp_path: Path) -> None:
    """What follows within a second costs no look: the path of an answer's words is short."""
    assert state(app) == "connected"
    path.rename(tmp_path / "elsewhere")
    assert state(app) == "connected"
    (tmp_path / "elsewhere").rename(path)


def test_doctor_says_that_it_made_one(make_app, path: Path) -> None:
    def told(app: Flask) -> str:
        with app.app_context():
            checks = app.extensions["test_apiary"].doctor(offline=True)
        return " ".join(check.message for check in checks if check.name == "database")

    first = make_app(APIARY_DATABASE_URL=f"sqlite:///{path}")
    assert f"There was none at {path} when this process started" in told(first)
    assert "an empty one was made" not in told(make_app(APIARY_DATABASE_URL=f"sqlite:///{path}"))


@pytest.fixture
def database_url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_the_chat_app(visitor: Visitor, path: Path, sandbox: LiveSandbox) -> None:
    visitor.connect(sandbox)
    saved = backup(path)
    for file in (path, *companions(path)):
        file.unlink()
    next_look()
    page = visitor.http.get("/", headers={"Accept": "text/html", "Accept-Language": "de"})
    assert page.status_code == 503 and "gelöscht oder ersetzt" in page.text
    assert visitor.http.get("/healthz").status_code == 503
    ready = visitor.http.get("/readyz")
    assert ready.status_code == 503 and SENTENCE in ready.json()["reasons"][0]
    assert not path.exists()
    saved.rename(path)
    assert visitor.card()["state"] == "connected"
    assert visitor.http.get("/readyz").status_code == 200
