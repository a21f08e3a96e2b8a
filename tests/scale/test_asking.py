"""Who asks a provider that takes its time: the thread of the request waits, but not all of them."""

import signal
import socket
import threading
import time
from contextlib import ExitStack, closing

import httpx
import pytest

from apiary.host import relay
from tests.raw import STREAM, Raw, answer, chunk
from tests.scale.running import app, text_of, wait_for

pytestmark = pytest.mark.skipif(not relay.available(), reason="the relay needs epoll")
_KEY = b'{"data": {"label": "sk-or-v1-abc...xyz", "usage": 0, "limit": null}}'
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
        cookies = "; ".join(f"{name}={value}" for name, value in ann.http.cookies.items())
        body = '{"text": "bees?", "model": "some/model"}'
        head = [f"POST {ann.talk}/messages HTTP/1.1", f"Host: {place.netloc.decode()}"]
        head += [f"Cookie: {cookies}", f"X-CSRFToken: {ann.headers['X-CSRFToken']}"]
        head += ["Accept: text/event-stream", "Content-Type: application/json"]
        head += [f"Content-Length: {len(body)}", "", body]
        with socket.create_connection((place.host, place.port), timeout=15) as wire:
            wire.sendall("\r\n".join(head).encode())
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
