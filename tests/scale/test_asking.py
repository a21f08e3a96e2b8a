"""Who asks a provider that takes its time: the thread of the request waits, but not all of them."""

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from apiary.host import relay
from tests.raw import STREAM, Raw, answer, chunk
from tests.scale.running import ROOT, Person, app, text_of, wait_for, workers

pytestmark = pytest.mark.skipif(not relay.available(), reason="the relay needs epoll")
_KEY = b'{"data": {"label": "sk-or-v1-abc...xyz", "usage": 0, "limit": null}}'
_BODY = b'{"text": "bees?", "model": "some/model"}'
_SAID = b'data: {"choices": [{"delta": {"content": "At last."}}]}\n\ndata: [DONE]\n\n'


@pytest.fixture
def mute():
    """A provider that says nothing to a question until it is told to: ``(its URL, told)``."""
    told = threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        if b"/chat/completions" not in request.partition(b"\r\n")[0]:
            connection.sendall(answer(_KEY, b"Content-Type: application/json"))
        elif told.wait(30):
            connection.sendall(STREAM + chunk(_SAID) + b"0\r\n\r\n")

    with closing(Raw(handler)) as server:
        server.told = told
        yield server
        told.set()


def _asked(mute: Raw) -> int:
    return sum(b"/chat/completions" in request for request in mute.requests)


def _head(ann: Person, base: str) -> bytes:
    """The head of a question, up to what tells of its length."""
    cookies = "; ".join(f"{name}={value}" for name, value in ann.http.cookies.items())
    lines = [f"POST {ann.talk}/messages HTTP/1.1", f"Host: {httpx.URL(base).netloc.decode()}"]
    lines += [f"Cookie: {cookies}", f"X-CSRFToken: {ann.headers['X-CSRFToken']}"]
    lines += ["Accept: text/event-stream", "Content-Type: application/json", ""]
    return "\r\n".join(lines).encode()


def test_more_askers_than_may_wait(tmp_path, mute, person):
    """Of sixteen threads two may wait; the others are asked for by threads of their own."""
    with app(tmp_path, mute.url, threads=16) as (_, base), ExitStack() as stack:
        running = [stack.enter_context(person(base).ask(base, "some/model")) for _ in range(20)]
        wait_for(lambda: _asked(mute) == 20)
        began = time.monotonic()
        assert httpx.get(f"{base}/healthz", timeout=10).status_code == 200
        assert time.monotonic() - began < 2
        mute.told.set()
        for events in running:
            found = list(events)
            assert text_of(found) == "At last." and found[-1][1] == "done"


def test_who_goes_at_once_is_answered_all_the_same(tmp_path, mute, person):
    with app(tmp_path, mute.url) as (_, base):
        ann, place = person(base), httpx.URL(base)
        head = _head(ann, base) + b"Content-Length: %d\r\n\r\n" % len(_BODY)
        with socket.create_connection((place.host, place.port), timeout=15) as wire:
            wire.sendall(head + _BODY)
            # A reset rather than an end, as of a browser that was killed.
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_for(lambda: _asked(mute) == 1)
        mute.told.set()
        wait_for(lambda: ann.messages(base)[-1]["state"] == "complete")
        assert ann.messages(base)[-1]["text"] == "At last."


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_end_of_a_server_does_not_wait_for_a_provider(tmp_path, mute, person, sign):
    with app(tmp_path, mute.url, grace=8) as (server, base), ExitStack() as stack:
        people = [person(base) for _ in range(3)]
        running = [stack.enter_context(ann.ask(base, "some/model")) for ann in people]
        wait_for(lambda: _asked(mute) == 3)
        began = time.monotonic()
        server.send_signal(sign)
        if sign == signal.SIGTERM:
            for events in running:
                kind, data = list(events)[-1][1:]
                assert (kind, data["code"]) == ("error", "broken_off")
        for ann in people:
            # A connection that lies idle is waited for as well.
            ann.close()
        server.wait(20)
        # Three seconds before it would be killed answers are broken off.
        assert time.monotonic() - began < 7, "it went on waiting"
        log = (tmp_path / f"log{base.rpartition(':')[2]}").read_text()
        assert "SIGKILL" not in log and "Traceback" not in log
    with app(tmp_path, mute.url) as (_, base):
        for ann in people:
            ann.http = httpx.Client(cookies=ann.http.cookies, timeout=30)
            row = ann.messages(base)[-1]
            assert row["state"] == "failed" and "server stopped" in row["error"]
            ann.close()


@contextmanager
def _asks_in_pieces(ann: Person, base: str):
    """Ask with a body whose length nobody tells beforehand: a thread reads it."""
    place = httpx.URL(base)
    head = _head(ann, base) + b"Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((place.host, place.port), timeout=15) as wire:
        wire.sendall(head + chunk(_BODY) + b"0\r\n\r\n")
        yield wire


def test_a_body_that_was_read_holds_nobody_up(tmp_path, mute, person):
    """Of eight threads two may read slow bodies, and one waits for the provider."""
    with app(tmp_path, mute.url, threads=8) as (_, base), ExitStack() as stack:
        place = httpx.URL(base)
        stack.enter_context(_asks_in_pieces(person(base), base))
        wait_for(lambda: _asked(mute) == 1)
        slow = b"POST /x HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _ in range(2):
            wire = socket.create_connection((place.host, place.port), timeout=15)
            stack.enter_context(wire).sendall(slow % place.netloc)
            wire.settimeout(1)
            with suppress(TimeoutError):
                assert b" 503 " not in wire.recv(100).partition(b"\r\n")[0]


def test_an_app_in_a_middleware(tmp_path, mute, person):
    """There the worker does not find the app, and all is asked by threads of its own."""
    (tmp_path / "wrapped.py").write_text("import wsgi\napp = lambda *both: wsgi.app(*both)\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    with (
        app(tmp_path, mute.url, threads=4, wsgi="wrapped:app", PYTHONPATH=path) as (_, base),
        ExitStack() as stack,
    ):
        running = [stack.enter_context(person(base).ask(base, "some/model")) for _ in range(3)]
        wait_for(lambda: _asked(mute) == 3)
        mute.told.set()
        for events in running:
            assert text_of(events) == "At last."


def _log(folder: Path, base: str) -> str:
    return (folder / f"log{base.rpartition(':')[2]}").read_text()


def test_a_worker_that_is_relieved_keeps_what_it_has(tmp_path, mute, person):
    """It ends by itself after so many requests: no signal says that its time is over."""
    limit = "--max-requests=12"
    with app(tmp_path, mute.url, grace=3, GUNICORN_CMD_ARGS=limit) as (server, base):
        ann = person(base)
        (old,) = workers(server)
        with suppress(httpx.HTTPError), ann.ask(base, "some/model") as events:
            wait_for(lambda: _asked(mute) == 1)
            for _ in range(12):
                httpx.get(f"{base}/healthz", timeout=10)
            found = list(events)
            assert found[-1][2]["code"] == "broken_off"
        began = time.monotonic()
        wait_for(lambda: workers(server) and old not in workers(server))
        assert time.monotonic() - began < 5
        row = ann.messages(base)[-1]
        assert row["state"] == "failed" and "server stopped" in row["error"]


def test_the_end_of_a_server_does_not_wait_for_what_was_stopped(tmp_path, mute, person):
    with app(tmp_path, mute.url, grace=6) as (server, base):
        ann = person(base)
        with ann.ask(base, "some/model"):
            wait_for(lambda: _asked(mute) == 1)
            ann.post(f"{base}{ann.talk}/stop")
        # The answer is over, and nobody looks after any.
        time.sleep(2.5)
        ann.close()
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        assert time.monotonic() - began < 5
        assert "SIGKILL" not in _log(tmp_path, base)
