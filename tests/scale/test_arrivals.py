"""Clients that say little and hold on: the site stays open for everybody else."""

import os
import re
import resource
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from apiary.host import arrivals
from apiary.host.arrivals import Arrival
from tests.scale.running import ROOT, app, workers

FORM = (
    b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)
SLOW = {
    "silent": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ",
    "half a body": FORM + b"Content-Length: 1000\r\n\r\nname=a",
    "a length of many digits": FORM + b"Content-Length: 0000000001000\r\n\r\nname=a",
    "a head without end": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"x" * 66_000,
    "many fields without end": b"GET / HTTP/1.1\r\n"
    + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 8000) for n in range(9)),
    "nothing more": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "an old client's": b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n",
    "chunks": FORM + b"Transfer-Encoding: chunked\r\n\r\n5\r\nname=\r\n",
    "a large body": FORM + b"Content-Length: 9000000\r\n\r\nname=a",
    "half of the next": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost:",
    "asks first": FORM + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with app(tmp_path_factory.mktemp("site"), "http://127.0.0.1:9", threads=8) as (_, url):
        yield url


def impatient(folder, setting, **more):
    """A server with one of the limits set lower."""
    code = folder / "code"
    code.mkdir()
    (code / "impatient.py").write_text(
        f"from apiary.host import arrivals\narrivals.{setting}\nfrom wsgi import app\n"
    )
    path = f"{ROOT}:{code}"
    return app(folder, "http://127.0.0.1:9", wsgi="impatient:app", PYTHONPATH=path, **more)


def connect(base):
    place = httpx.URL(base)
    return socket.create_connection((place.host, place.port), timeout=15)


@pytest.mark.parametrize("kind", SLOW)
def test_slow_clients(base, kind):
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(base)) for _ in range(30)]
        for one in slow:
            one.sendall(SLOW[kind])
        time.sleep(0.5)
        for _ in range(3):
            assert httpx.get(f"{base}/healthz", timeout=15).status_code == 200
            assert httpx.get(f"{base}/sign-in", timeout=15).status_code == 200
    # They are gone, and nothing of them is left.
    assert httpx.get(f"{base}/healthz", timeout=15).status_code == 200


def test_clients_that_read_nothing(tmp_path):
    """Each asks for more than the network between holds, and leaves it there."""
    ask = b"GET /vendor/temml/temml.mjs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60
    with impatient(tmp_path, "_PATIENCE = 2.0", threads=8) as (_, url), ExitStack() as stack:
        for _ in range(16):
            wire = stack.enter_context(socket.socket())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            place = httpx.URL(url)
            wire.connect((place.host, place.port))
            wire.sendall(ask)
        time.sleep(1)
        # Eight threads hold the first eight, then the second.
        assert httpx.get(f"{url}/sign-in", timeout=15).status_code == 200
        assert httpx.get(f"{url}/sign-in", timeout=15).status_code == 200


def test_who_says_little_is_heard_when_others_fill_the_room(tmp_path):
    with impatient(tmp_path, "_MOST = 3_000_000") as (_, url), ExitStack() as stack:
        large = FORM + b"Content-Length: 1900000\r\n\r\n"
        for _ in range(3):
            # To the last byte.
            wire = stack.enter_context(connect(url))
            wire.sendall(large + b"x" * (1_000_000 - len(large)))
        time.sleep(0.5)
        small = FORM + b"Content-Length: 6\r\n\r\nname="
        with connect(url) as wire:
            wire.sendall(small)
            time.sleep(0.5)
            wire.sendall(b"a")
            assert b" 400 " in heard(wire, 1)


def test_many_at_once_of_those_that_fill_the_room(tmp_path):
    """One makes room by giving up another, of whom the system tells in the same breath."""
    begun = FORM + b"Content-Length: 1900000\r\n\r\n"
    with impatient(tmp_path, "_MOST = 500_000") as (server, url), ExitStack() as stack:
        [worker] = workers(server)
        *wires, largest = [stack.enter_context(connect(url)) for _ in range(10)]
        for wire in wires:
            wire.sendall(begun)
        largest.sendall(begun + b"x" * 250_000)
        assert httpx.get(f"{url}/healthz", timeout=10).status_code == 200
        os.kill(worker, signal.SIGSTOP)
        for wire in wires:
            wire.sendall(b"x" * 60_000)
        largest.sendall(b"x")
        os.kill(worker, signal.SIGCONT)
        assert httpx.get(f"{url}/healthz", timeout=10).status_code == 200
        assert workers(server) == [worker]


@pytest.mark.parametrize("scarce", ["connections", "files"])
def test_more_silent_clients_than_there_is_room_for(tmp_path, scarce):
    """Those that came first make room, long before their time is over."""
    few = "--worker-connections=30" if scarce == "connections" else ""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        if scarce == "files":
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        server = app(tmp_path, "http://127.0.0.1:9", GUNICORN_CMD_ARGS=few)
        _, url = stack.enter_context(server)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(110):
            stack.enter_context(connect(url))
        for _ in range(3):
            assert httpx.get(f"{url}/sign-in", timeout=15).status_code == 200
        port = httpx.URL(url).port
        assert (tmp_path / f"log{port}").read_text().count("no further connection") == 1


def test_byte_by_byte_is_a_request_too(base):
    with connect(base) as wire:
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":
            wire.sendall(bytes([byte]))
            time.sleep(0.01)
        assert wire.recv(4096).startswith(b"HTTP/1.1 200")


def test_requests_on_one_connection(base):
    """One behind the other, all at once, and a body that comes in pieces."""
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = FORM + b"Content-Length: 10\r\n\r\nname="
    with connect(base) as wire:
        wire.sendall(ask + ask)
        heard(wire, 2)
        wire.sendall(body)
        time.sleep(0.2)
        # The rest of this one, and the beginning of the next.
        wire.sendall(b"abcde" + ask[:20])
        assert b" 400 " in heard(wire, 1)
        wire.sendall(ask[20:])
        assert b" 200 " in heard(wire, 1)


def test_who_asks_faster_than_he_is_answered_fills_no_memory(tmp_path):
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with app(tmp_path, "http://127.0.0.1:9") as (server, url), connect(url) as wire:
        [worker] = workers(server)
        wire.sendall(ask * 10)
        heard(wire, 10)
        before = memory(worker)
        sender = threading.Thread(target=flood, args=(wire, ask * 1000), daemon=True)
        sender.start()
        heard(wire, 120)
        # 64 kB were taken in with each of them.
        assert memory(worker) - before < 5 * 1024
        wire.shutdown(socket.SHUT_RDWR)
        sender.join()


def flood(wire, data):
    with suppress(OSError):
        while True:
            wire.sendall(data)


def memory(pid):
    """In kB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def heard(wire, answers):
    """So many answers, whole."""
    found = b""
    while True:
        heads = list(re.finditer(rb"HTTP/1\.1 \d+.*?\r\n\r\n", found, re.S))
        if len(heads) >= answers:
            length = re.search(rb"(?i)content-length: (\d+)", heads[-1][0])
            if len(found) >= heads[-1].end() + int(length[1]):
                return found
        piece = wire.recv(65536)
        assert piece, found
        found += piece


def test_a_large_body_is_read_by_a_thread(base):
    fields = {"text": "x" * 3_000_000}
    answer = httpx.post(f"{base}/ask", data=fields, timeout=30)
    assert answer.status_code in (400, 413)


def test_who_sends_too_much_hears_so(base):
    """As a browser does, which reads nothing before it has sent all."""
    size = 25_000_000
    with connect(base) as wire:
        wire.sendall(FORM + b"Content-Length: %d\r\n\r\n" % size)
        wire.sendall(bytes(size))
        assert heard(wire, 1).startswith(b"HTTP/1.1 413 ")


def test_when_a_request_is_whole(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert not Arrival().ready()
    assert not Arrival(b"GET / HTTP/1.1\r\nA: b\r\n").ready()
    assert Arrival(b"GET / HTTP/1.1\r\nA: b\r\n\r\n").ready()
    assert Arrival(b"x" * 70_000).ready(), "the server refuses it"
    posted = Arrival(b"POST / HTTP/1.1\r\nCONTENT-LENGTH: 65536\r\n\r\n")
    assert not posted.ready() and posted.until == now + 22 and not posted.slow
    posted.early += b"x" * 65_535
    assert not posted.ready()
    posted.early += b"x"
    assert posted.ready()
    # Only in the head.
    assert Arrival(b"GET / HTTP/1.1\r\n\r\n\r\nContent-Length: 5\r\n").ready()
    for head in (
        b"Content-Length: 9999999",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
    ):
        slow = Arrival(b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n")
        assert slow.ready() and slow.slow


def test_who_is_too_slow_is_sent_away(tmp_path, monkeypatch):
    """A head for which the patience is over, and a body that a thread waits for."""
    with impatient(tmp_path, "_PATIENCE = 1.0") as (_, url):
        for kind in ("silent", "half a head", "half a body", "chunks"):
            with connect(url) as wire:
                wire.sendall(SLOW[kind])
                began = time.monotonic()
                while wire.recv(4096):
                    pass
                assert time.monotonic() - began < 10, kind
    assert arrivals._PATIENCE == 20
