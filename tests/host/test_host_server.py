"""The app in a server of its own: what a restart does to a running answer."""

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers import answers

ROOT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def gunicorn(folder: Path, port: int, upstream: str) -> Iterator[subprocess.Popen]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("APIARY_", "OPENROUTER"))}
    environ = {
        **clean,
        "PYTHONPATH": str(ROOT),
        "APIARY_INSTANCE_PATH": str(folder / "instance"),
        "APIARY_OPENROUTER_URL": upstream,
        "OPENROUTER_OAUTH": "0",
    }
    command = ["-m", "gunicorn", "--threads", "8", "-b", f"127.0.0.1:{port}", "wsgi:app"]
    server = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 30
        while not answers(f"http://127.0.0.1:{port}/healthz"):
            assert server.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        yield server
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def token(client: httpx.Client) -> dict[str, str]:
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/sign-in").text)
    assert found
    return {"X-CSRFToken": found[1]}


def test_a_restart_breaks_an_answer_off_and_keeps_it(tmp_path, sandbox, slowly, paste_key, port):
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base, timeout=30) as client:
        with gunicorn(tmp_path, port, sandbox.url) as server:
            headers = token(client)
            client.post("/settings/openrouter/key", data={"api_key": paste_key}, headers=headers)
            path = f"/c/{client.post('/c', json={}, headers=headers).json()['id']}"
            question = {"text": "count", "model": "sandbox/slow"}
            with client.stream(
                "POST", f"{path}/messages", json=question, headers=headers
            ) as answer:
                assert answer.headers["Content-Type"].startswith("text/event-stream")
                numbers = (line for line in answer.iter_lines() if line.startswith("id: "))
                assert len(list(itertools.islice(numbers, 3))) == 3
            server.send_signal(signal.SIGTERM)
            server.wait(40)
        with gunicorn(tmp_path, port, sandbox.url):
            assert client.get(f"{path}/stream").status_code == 204
            rows = client.get(f"{path}/export.json").json()["messages"]
            assert [row["state"] for row in rows] == ["sent", "incomplete"]
            assert rows[1]["text"].startswith("Counting")
            again = client.post(f"{path}/retry", json={"model": "sandbox/echo"}, headers=headers)
            assert '{"text":"count"}' in again.text
