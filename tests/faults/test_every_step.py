"""A database that takes no writes, at each step of the story: nothing is half done.

SQLite stands on a disk that is full or has become read-only (machine.c); PostgreSQL says that its
disk is full, is a standby that only reads, or is away.
"""

import errno
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.conftest import LiveSandbox
from tests.faults.machine import Machine
from tests.faults.story import ROOT, Server, Visitor
from tests.host.browsing import until

SENTENCE = "The database cannot be used right now. Try again in a moment."
#: While it is on, all that is written fails. The last one: nothing can be read either.
FAULTS = ("disk full", "disk read-only", "postgres full", "postgres standby", "postgres away")
FULL = """
DO $$ DECLARE t text; BEGIN
  CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
  END $f$;
  FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE OR DELETE ON %I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION full_disk()', t);
  END LOOP;
END $$"""
ENDED = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = %s AND pid <> pg_backend_pid()"
)
Fault = Callable[[], None]


class Site:
    """A server, a visitor, and the fault that can come over the database."""

    def __init__(self, fault: str, url: str, admin: str, machine: Machine) -> None:
        self.fault, self.url, self.machine = fault, url, machine
        self._admin = admin
        self.name = url.rpartition("/")[2]

    @contextmanager
    def broken(self) -> Iterator[None]:
        self._set(True)
        try:
            yield
        finally:
            self._set(False)

    def _set(self, on: bool) -> None:
        if self.fault.startswith("disk"):
            full = errno.ENOSPC if self.fault == "disk full" else errno.EROFS
            self.machine.disk(full if on else 0)
            return
        if self.fault == "postgres full":
            with psycopg.connect(self.url, autocommit=True) as own:
                own.execute(FULL if on else "DROP FUNCTION full_disk CASCADE")
            return
        words = {
            "postgres standby": f"SET default_transaction_read_only = {'on' if on else 'off'}",
            "postgres away": f"ALLOW_CONNECTIONS {'false' if on else 'true'}",
        }
        with psycopg.connect(self._admin, autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{self.name}" {words[self.fault]}')
            admin.execute(ENDED, (self.name,))

    @property
    def reads(self) -> bool:
        return self.fault != "postgres away"


@pytest.fixture(params=FAULTS)
def site(request: pytest.FixtureRequest, tmp_path: Path, machine: Machine) -> Site:
    fault: str = request.param
    if fault.startswith("disk"):
        return Site(fault, f"sqlite:///{tmp_path / 'apiary.sqlite3'}", "", machine)
    admin = request.getfixturevalue("postgres_server")
    return Site(fault, request.getfixturevalue("new_postgres")(), admin, machine)


@pytest.fixture
def database_url(site: Site) -> str:
    return site.url


@pytest.fixture
def environ(site: Site) -> dict[str, str]:
    return site.machine.environ


def said(answer: httpx.Response) -> None:
    """It was refused, by the sentence for it, and in words that betray nothing."""
    assert answer.status_code == 503, (answer.status_code, answer.text[:500])
    if "json" in answer.headers["Content-Type"]:
        assert answer.json()["code"] == "database" and answer.json()["message"] == SENTENCE
    else:
        assert SENTENCE in answer.text and "Traceback" not in answer.text


def test_each_click(
    site: Site, server: Server, visitor: Visitor, sandbox: LiveSandbox, paste_key: str
) -> None:
    page = {"csrf_token": visitor.token}
    paste = {"data": {"api_key": paste_key}}
    with site.broken():
        said(visitor.post("/settings/openrouter/key", **paste))
        said(visitor.http.post("/settings/openrouter/key", data=page | paste["data"]))
        attempt = {"attempt": "attempt-that-never-began"}
        said(visitor.post("/settings/openrouter/connect", data=attempt))
        said(visitor.post("/c"))
        if site.reads:
            assert visitor.http.get("/settings/").status_code == 200
        # Where nothing can be read either, whoever watches it is told so.
        health = visitor.http.get("/healthz").status_code
        assert health == (200 if site.reads else 503)
    assert visitor.card()["state"] == "none"
    # The same attempt may be sent again: it has not begun.
    back = visitor.begin(sandbox, attempt["attempt"])

    with site.broken():
        said(visitor.http.get(back))
    assert visitor.flow(attempt["attempt"])["state"] == "waiting" and sandbox.exchanges == 0
    visitor.http.get(back)
    assert visitor.card()["state"] == "connected" and sandbox.exchanges == 1

    talk = visitor.post("/c").json()["id"]
    question = {"text": "Hello", "provider": "openrouter", "model": "sandbox/echo"}
    name = {"name": "Maya", "password": "correct horse"}
    with site.broken():
        said(visitor.post("/settings/openrouter/disconnect"))
        said(visitor.post(f"/c/{talk}/messages", json=question))
        said(visitor.http.post("/sign-up", data=page | name))
    assert visitor.card()["state"] == "connected" and visitor.messages(talk) == []
    assert sandbox.state.journal.chats() == [], "nothing was asked that could not be kept"
    assert "event: done" in visitor.post(f"/c/{talk}/messages", json=question).text
    assert visitor.http.post("/sign-up", data=page | name).status_code == 303

    page = {"csrf_token": visitor.read("/settings/")}
    leave = page | {"password": name["password"], "sure": "y"}
    with site.broken():
        said(visitor.http.post("/account/delete", data=leave))
    assert [m["text"] for m in visitor.messages(talk)] == ["Hello", "Hello"]
    assert visitor.card()["state"] == "connected"
    assert visitor.http.post("/account/delete", data=leave).status_code == 303
    assert visitor.card()["state"] == "none"


@pytest.mark.parametrize("site", ["disk full", "postgres full", "postgres away"], indirect=True)
def test_in_the_middle_of_things(
    site: Site, server: Server, visitor: Visitor, sandbox: LiveSandbox
) -> None:
    back = visitor.begin(sandbox)
    sandbox.state.switches.exchange_delay = 1.5
    with pytest.raises(httpx.HTTPError):
        visitor.http.get(back, timeout=0.5)
    with site.broken():
        time.sleep(5)
        # The key is made and cannot be kept yet. It is never asked for a second time.
        if site.reads:
            assert visitor.flow()["state"] == "exchanging" and visitor.card()["state"] == "none"
            visitor.http.get(back)
    until(lambda: visitor.card()["state"] == "connected", 5)
    assert visitor.flow()["state"] == "connected" and sandbox.exchanges == 1
    sandbox.state.switches.exchange_delay = 0

    sandbox.state.switches.pace = 0.25
    with visitor.ask("Tell me") as answer:
        answer.read(until=0.5)
        with site.broken():
            answer.read(until=1.0)
        answer.read()
    # It was back before the end: nothing is missing.
    assert answer.kind == "done" and visitor.messages(answer.talk)[1]["text"] == answer.text

    with visitor.ask("Tell me") as answer:
        answer.read(until=0.5)
        with site.broken():
            # All of it comes meanwhile, and the end cannot be kept.
            time.sleep(4)
        answer.read()
    # Nobody was told of an end before it was saved.
    assert answer.kind == "done" and visitor.messages(answer.talk)[1]["text"] == answer.text


@pytest.mark.parametrize("site", ["disk full", "postgres standby"], indirect=True)
def test_commands(site: Site, tmp_path: Path, sandbox: LiveSandbox) -> None:
    server = Server(tmp_path, sandbox, site.url, **site.machine.environ)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flask", "--app", "apiary.host", "apiary", *words],
            env=server.environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert run("keys", "status").returncode == 0
    with site.broken():
        for words in (["keys", "rotate"], ["upgrade"], ["doctor", "--offline"]):
            done = run(*words)
            assert "Traceback" not in done.stderr, done.stderr
    assert run("keys", "rotate").returncode == 0
    assert run("doctor", "--offline").returncode == 0
