"""Apps in processes of their own, and people who talk to them."""

import copy
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.servers import answers

#: What sandbox/slow says.
WHOLE = "Counting slowly:" + "".join(f" {n}" for n in range(1, 41))
ROOT = Path(__file__).resolve().parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environ_of(folder: Path, upstream: str, settings: dict[str, str]) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("APIARY_", "OPENROUTER"))}
    return clean | {
        "PYTHONPATH": str(ROOT),
        "APIARY_INSTANCE_PATH": str(folder / "instance"),
        "APIARY_OPENROUTER_URL": upstream,
        "OPENROUTER_OAUTH": "0",
        **settings,
    }


@contextmanager
def app(
    folder: Path,
    upstream: str,
    port: int | None = None,
    grace: int = 5,
    threads: int = 64,
    wsgi: str = "wsgi:app",
    **settings: str,
):
    """The production server; gives the process and its address."""
    port = port or free_port()
    environ = environ_of(folder, upstream, settings)
    command = [sys.executable, "-m", "gunicorn", wsgi, "-b", f"127.0.0.1:{port}"]
    command += ["--worker-class=apiary.host.gunicorn.Worker", f"--threads={threads}"]
    command += [f"--graceful-timeout={grace}", "--no-control-socket"]
    with (folder / f"log{port}").open("ab") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + 30
        while not answers(f"http://127.0.0.1:{port}/healthz"):
            assert server.poll() is None and time.monotonic() < end, (
                folder / f"log{port}"
            ).read_text()
            time.sleep(0.05)
        yield server, f"http://127.0.0.1:{port}"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 9)
        server.wait()


def workers(server: subprocess.Popen) -> list[int]:
    """The processes that a gunicorn started."""
    text = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return [int(word) for word in text.split()]


class Person:
    """A guest, whose cookies are good at every process.

    :param key: pasted for OpenRouter; "" for a guest who connects nothing.
    """

    def __init__(self, base: str, key: str, http: httpx.Client | None = None) -> None:
        self.http = http or httpx.Client(timeout=30, verify=False)
        page = self.http.get(f"{base}/sign-in").text
        found = re.search(r'name="csrf-token" content="([^"]+)"', page)
        assert found, page
        self.headers = {"X-CSRFToken": found[1], "Accept": "text/event-stream"}
        if key:
            saved = self.post(f"{base}/settings/openrouter/key", data={"api_key": key})
            assert saved.status_code in (200, 303), saved.text
        self.talk = self._talk(base)

    def another(self, base: str) -> "Person":
        """The same guest in another conversation."""
        twin = copy.copy(self)
        twin.talk = self._talk(base)
        return twin

    def _talk(self, base: str) -> str:
        created = self.post(f"{base}/c", json={})
        assert created.status_code == 201, created.text
        return f"/c/{created.json()['id']}"

    def close(self) -> None:
        self.http.close()

    def post(self, url: str, **more) -> httpx.Response:
        return self.http.post(url, headers=self.headers, **more)

    @contextmanager
    def ask(self, base: str, model: str = "sandbox/slow", text: str = "count"):
        """Ask; gives the running response."""
        body = {"text": text, "model": model}
        url = f"{base}{self.talk}/messages"
        with self.http.stream("POST", url, json=body, headers=self.headers) as response:
            assert response.status_code == 200, response.read()
            yield events(response)

    @contextmanager
    def follow(self, base: str, after: int = 0):
        headers = self.headers | ({"Last-Event-ID": str(after)} if after else {})
        with self.http.stream("GET", f"{base}{self.talk}/stream", headers=headers) as response:
            yield response.status_code, events(response)

    def messages(self, base: str) -> list[dict]:
        return self.http.get(f"{base}{self.talk}/export.json").json()["messages"]


def events(response: httpx.Response):
    """(number, kind, data) as they come."""
    found: dict[str, str] = {}
    for line in response.iter_lines():
        if not line and "data" in found:
            yield int(found["id"]), found["event"], json.loads(found["data"])
            found = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            found[name] = value


def text_of(found) -> str:
    return "".join(data["text"] for _, kind, data in found if kind == "delta")


def last(ann: Person, base: str) -> tuple[str, str]:
    """State and text of the last message of a conversation."""
    row = ann.messages(base)[-1]
    return row["state"], row["text"]


def wait_for(what, seconds: float = 20.0):
    """What it gives, once that is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


class Reader(threading.Thread):
    """Asks somewhere, and reads until the end while the test goes on."""

    def __init__(
        self,
        ann: Person,
        base: str,
        model: str = "sandbox/slow",
        text: str = "count",
        wait: bool = True,
    ) -> None:
        super().__init__(daemon=True)
        self.ann, self.base, self.model, self.question = ann, base, model, text
        self.found: list[tuple] = []
        #: How the connection broke.
        self.broken = ""
        self.start()
        if wait:
            wait_for(lambda: len(self.found) > 3 or not self.is_alive())

    def run(self) -> None:
        try:
            with self.ann.ask(self.base, self.model, self.question) as events:
                for event in events:
                    self.found.append(event)
        except httpx.HTTPError as error:
            self.broken = repr(error)

    @property
    def text(self) -> str:
        return text_of(self.found)


class People:
    """Guests who ask and look around without a pause."""

    def __init__(self, base: str, guests: list[Person]) -> None:
        self._base = base
        self.wrong: list[str] = []
        self.asked = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._use, args=(ann,)) for ann in guests]
        for thread in self._threads:
            thread.start()

    def _use(self, ann: Person) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                with ann.ask(self._base, "sandbox/echo", f"number {number}") as events:
                    said = text_of(events)
                if said != f"number {number}":
                    self.wrong.append(f"answered: {said!r}")
                page = ann.http.get(f"{self._base}{ann.talk}")
                if page.status_code != 200:
                    self.wrong.append(f"page: {page.status_code}")
            except (httpx.HTTPError, AssertionError) as error:
                self.wrong.append(repr(error)[:300])
            self.asked += 1
            # Below the limit of sixty questions a minute.
            self._over.wait(1.1)

    def leave(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
