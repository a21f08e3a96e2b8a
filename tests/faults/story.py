"""The chat app in processes of its own, and a browser without a window: the main story.

The server is gunicorn as ``make run`` starts it; the client is an ordinary one over the socket.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import httpx

from apiary.sandbox import Ask
from tests.browser.conftest import free_port
from tests.conftest import LiveSandbox
from tests.postgres import Postgres
from tests.servers import answers
from tests.upgraded import upgrade

ROOT = Path(__file__).parents[2]
ATTEMPT = "attempt-0123456789"
JSON = {"Accept": "application/json"}


class Server:
    """The chat app in processes of its own, which can be killed and started again.

    :param postgres: where the database may be from, and its tables too.
    """

    def __init__(
        self,
        folder: Path,
        sandbox: LiveSandbox,
        database_url: str,
        postgres: Postgres | None = None,
        **environ: str,
    ) -> None:
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
            **environ,
        }
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        if postgres is None:
            upgrade(self.environ)
        else:
            postgres.migrate(database_url, "chat app", lambda: upgrade(self.environ))

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--no-control-socket", "--threads", "16"),
                *("--worker-class", "apiary.host.gunicorn.Worker"),
                *("--bind", f"127.0.0.1:{self.port}", "--log-level", "error"),
                "apiary.host:create_app()",
            ],
            env=self.environ,
            cwd=self.folder,
            # A group of its own, so that workers die with it.
            start_new_session=True,
        )
        end = time.monotonic() + 30
        while not answers(f"{self.url}/healthz"):
            assert self.process.poll() is None and time.monotonic() < end, "it did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def again(self) -> None:
        self.kill()
        self.start()


class Visitor:
    """A browser without a window, with the token of the page it stands on."""

    def __init__(self, url: str, **client: object) -> None:
        self.http = httpx.Client(base_url=url, timeout=15, verify=False, **client)
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

    def flow(self, attempt: str = ATTEMPT) -> dict:
        found: dict = self.http.get(f"/settings/openrouter/flows/{attempt}", headers=JSON).json()
        return found

    def begin(self, sandbox: LiveSandbox, attempt: str = ATTEMPT) -> str:
        """Press Connect and approve; returns the way back."""
        hop = self.post("/settings/openrouter/connect", data={"attempt": attempt})
        url = httpx.URL(unescape(re.search(r'content="0;url=([^"]+)"', hop.text)[1]))
        callback, challenge = url.params["callback_url"], url.params["code_challenge"]
        code = sandbox.state.issue(Ask(callback, challenge, "S256"))
        return f"{httpx.URL(callback).path}?code={code}"

    def connect(self, sandbox: LiveSandbox) -> None:
        self.http.get(self.begin(sandbox))
        assert self.card()["state"] == "connected"

    @contextmanager
    def ask(self, text: str, model: str = "sandbox/slow") -> Iterator["Reading"]:
        """Ask in a new conversation; gives the answer that comes."""
        talk = self.post("/c").json()["id"]
        question = {"text": text, "provider": "openrouter", "model": model}
        headers = {"X-CSRFToken": self.token, "Accept": "text/event-stream"}
        with self.http.stream(
            "POST", f"/c/{talk}/messages", json=question, headers=headers
        ) as response:
            assert response.status_code == 200, response.read()
            yield Reading(talk, response)

    def messages(self, talk: str) -> list[dict]:
        found: list[dict] = self.http.get(f"/c/{talk}/export.json").json()["messages"]
        return found


class Reading:
    """An answer as it comes: its text so far, the kind of its last event and that one's data."""

    def __init__(self, talk: str, response: httpx.Response) -> None:
        self.talk = talk
        self.text, self.kind, self.data = "", "", {}
        self._lines = response.iter_lines()

    def read(self, until: float | None = None) -> None:
        """Read to the end, or for so many seconds at least."""
        began = time.monotonic()
        for line in self._lines:
            if line.startswith("event:"):
                self.kind = line[6:].strip()
            elif line.startswith("data:"):
                self.data = json.loads(line[5:])
                if self.kind == "delta":
                    self.text += self.data["text"]
                if until is not None and self.text and time.monotonic() - began > until:
                    return
