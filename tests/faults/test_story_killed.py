"""The main story with the server killed (kill -9) between and in its steps, and started again.

The server is gunicorn in processes of its own; the client is an ordinary one over the socket.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from apiary import db
from apiary.sandbox import Ask
from tests.browser.conftest import free_port
from tests.conftest import LiveSandbox

ROOT = Path(__file__).parents[2]
ATTEMPT = "attempt-0123456789"
JSON = {"Accept": "application/json"}


class Server:
    """The chat app in processes of its own, which can be killed and started again."""

    def __init__(self, folder: Path, sandbox: LiveSandbox, database_url: str) -> None:
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith("APIARY_")
        } | {
            "OPENROUTER_OAUTH": "1",
            "APIARY_PUBLIC_URL": self.url,
            "APIARY_OPENROUTER_URL": sandbox.url,
            "APIARY_INSTANCE_PATH": str(folder / "instance"),
            "APIARY_DATABASE_URL": database_url,
            "PYTHONPATH": str(ROOT),
        }
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.run("-m", "flask", "--app", "apiary.host", "apiary", "upgrade")

    def run(self, *words: str) -> None:
        subprocess.run(
            [sys.executable, *words], env=self.environ, cwd=self.folder, check=True, timeout=60
        )

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--no-control-socket", "--threads", "8"),
                *("--worker-class", "gthread", "--bind", f"127.0.0.1:{self.port}"),
                *("--log-level", "error", "apiary.host:create_app()"),
            ],
            env=self.environ,
            cwd=self.folder,
            # A group of its own, so that workers die with it.
            start_new_session=True,
        )
        for _ in range(200):
            try:
                httpx.get(f"{self.url}/healthz", timeout=1).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def again(self) -> None:
        self.kill()
        self.start()


@pytest.fixture
def server(tmp_path: Path, sandbox: LiveSandbox, database_url: str) -> Iterator[Server]:
    made = Server(tmp_path, sandbox, database_url)
    made.start()
    yield made
    made.kill()


class Visitor:
    """A browser without a window, with the token of the page it stands on."""

    def __init__(self, server: Server) -> None:
        self.http = httpx.Client(base_url=server.url, timeout=15)
        self.token = self.read("/settings/")

    def read(self, path: str) -> str:
        page = self.http.get(path, headers={"Accept": "text/html"})
        found = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
        assert found, page.text
        return found[1]

    def post(self, path: str, **more: object) -> httpx.Response:
        return self.http.post(path, headers={"X-CSRFToken": self.token, **JSON}, **more)

    def card(self) -> dict:
        found: dict = self.http.get("/settings/openrouter", headers=JSON).json()
        return found

    def flow(self) -> dict:
        found: dict = self.http.get(f"/settings/openrouter/flows/{ATTEMPT}", headers=JSON).json()
        return found

    def begin(self, sandbox: LiveSandbox, attempt: str = ATTEMPT) -> str:
        """Press Connect and approve; returns the way back."""
        hop = self.post("/settings/openrouter/connect", data={"attempt": attempt})
        url = httpx.URL(unescape(re.search(r'content="0;url=([^"]+)"', hop.text)[1]))
        callback, challenge = url.params["callback_url"], url.params["code_challenge"]
        code = sandbox.state.issue(Ask(callback, challenge, "S256"))
        return f"{httpx.URL(callback).path}?code={code}"


@pytest.fixture
def visitor(server: Server) -> Iterator[Visitor]:
    made = Visitor(server)
    yield made
    made.http.close()


def test_between_the_click_and_the_callback(
    server: Server, visitor: Visitor, sandbox: LiveSandbox
) -> None:
    back = visitor.begin(sandbox)
    server.again()
    assert visitor.flow()["state"] == "waiting"
    assert visitor.http.get(back).status_code == 303
    assert visitor.flow()["state"] == "connected" and visitor.card()["state"] == "connected"
    server.again()
    assert visitor.card()["state"] == "connected"
    assert visitor.http.get(back).status_code == 303
    assert sandbox.exchanges == 1


def test_in_the_middle_of_the_exchange(
    server: Server, visitor: Visitor, sandbox: LiveSandbox
) -> None:
    back = visitor.begin(sandbox)
    sandbox.state.switches.exchange_delay = 3
    with pytest.raises(httpx.HTTPError):
        visitor.http.get(back, timeout=0.7)
    assert visitor.flow()["state"] == "exchanging"
    server.again()
    assert visitor.flow()["state"] == "exchanging"
    assert visitor.card()["state"] == "none"
    # The code is never sent a second time, whoever calls.
    assert visitor.http.get(back).status_code == 303
    assert sandbox.exchanges == 1
    sandbox.state.switches.exchange_delay = 0
    assert visitor.http.get(visitor.begin(sandbox, "second-0123456789a")).status_code == 303
    assert visitor.card()["state"] == "connected"


def test_in_the_middle_of_an_answer(server: Server, visitor: Visitor, sandbox: LiveSandbox) -> None:
    visitor.http.get(visitor.begin(sandbox))
    sandbox.state.switches.pace = 0.5
    conversation = visitor.post("/c").json()["id"]
    question = {"text": "Tell me", "provider": "openrouter", "model": "sandbox/slow"}
    headers = {"X-CSRFToken": visitor.token, "Accept": "text/event-stream"}
    came = ""
    with visitor.http.stream(
        "POST", f"/c/{conversation}/messages", json=question, headers=headers
    ) as stream:
        began = time.monotonic()
        for line in stream.iter_lines():
            if line.startswith("data:"):
                came += json.loads(line[5:]).get("text", "")
            if came and time.monotonic() - began > 2.5:
                break
        server.kill()
    server.start()
    page = visitor.http.get(f"/c/{conversation}", headers={"Accept": "text/html"}).text
    assert "Tell me" in page
    saved = visitor.http.get(f"/c/{conversation}/export.json").json()["messages"]
    assert [message["role"] for message in saved] == ["user", "assistant"]
    # It is saved each second, so at most the last one is missing.
    kept = saved[1]["text"]
    assert kept and came.startswith(kept[: len(came)])
    # A writer without signs of life is taken for dead after 15 seconds; then one can go on.
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline:
        again = visitor.post(f"/c/{conversation}/retry", json={"model": "sandbox/echo"})
        if again.status_code == 200:
            break
        assert again.status_code == 409, again.text
        time.sleep(0.5)
    assert "event: done" in again.text and "Tell" in again.text


def test_after_disconnect(server: Server, visitor: Visitor, sandbox: LiveSandbox) -> None:
    visitor.http.get(visitor.begin(sandbox))
    visitor.post("/settings/openrouter/disconnect")
    server.again()
    card = visitor.card()
    assert (card["state"], card["version"]) == ("none", 2) and "still exists" in card["receipt"]
    answer = visitor.post("/c")
    asked = visitor.post(f"/c/{answer.json()['id']}/messages", json={"text": "Hello"})
    assert asked.status_code == 409 and "No brain connected yet" in asked.json()["message"]


#: Makes the last step of a deletion take seconds, so that a kill falls into it.
SLOW = {
    "sqlite": """
        CREATE TRIGGER slow BEFORE DELETE ON account BEGIN
          SELECT count(*) FROM (
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000)
            SELECT i FROM n);
        END""",
    "postgresql": """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM pg_sleep(5); RETURN OLD; END $$;
        CREATE TRIGGER slow BEFORE DELETE ON account FOR EACH ROW EXECUTE FUNCTION slow()""",
}


def test_in_the_middle_of_deleting_an_account(
    server: Server, visitor: Visitor, sandbox: LiveSandbox, database_url: str
) -> None:
    visitor.post("/sign-up", data={"name": "Maya", "password": "correct horse"})
    visitor.token = visitor.read("/settings/")
    visitor.http.get(visitor.begin(sandbox))
    conversation = visitor.post("/c").json()["id"]
    question = {"text": "Keep me", "provider": "openrouter", "model": "sandbox/echo"}
    assert "event: done" in visitor.post(f"/c/{conversation}/messages", json=question).text
    kind = database_url.partition(":")[0]
    database = db.open_url(database_url)

    def run(statement: str) -> None:
        with database.connection_context():
            database.execute_sql(statement)

    run(SLOW[kind])
    leave = {"password": "correct horse", "sure": "y"}
    with pytest.raises(httpx.HTTPError):
        visitor.http.post(
            "/account/delete", data=leave | {"csrf_token": visitor.token}, timeout=1.5
        )
    server.again()
    run("DROP TRIGGER slow" + (" ON account" if kind == "postgresql" else ""))
    # All of it is there, as if nobody had asked.
    assert visitor.card()["state"] == "connected"
    saved = visitor.http.get(f"/c/{conversation}/export.json").json()["messages"]
    assert [message["text"] for message in saved] == ["Keep me", "Keep me"]
    done = visitor.http.post("/account/delete", data=leave | {"csrf_token": visitor.token})
    assert done.status_code == 303
    with database.connection_context():
        for table in database.get_tables():
            if table in {"account", "conversation", "message", "apiary_connection", "apiary_flow"}:
                rows = database.execute_sql(f"SELECT count(*) FROM {table}").fetchone()
                assert rows == (0,), table
    if hasattr(database, "close_all"):
        database.close_all()
