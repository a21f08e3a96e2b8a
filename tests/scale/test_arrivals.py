"""Clients that say little and hold on: the site stays open for everybody else."""

import re
import socket
import time
from contextlib import ExitStack

import httpx
import pytest

from apiary.host import arrivals
from apiary.host.arrivals import Arrival
from tests.scale.running import ROOT, app

FORM = (
    b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)
SLOW = {
    "silent": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ",
    "half a body": FORM + b"Content-Length: 1000\r\n\r\nname=a",
    "chunks": FORM + b"Transfer-Encoding: chunked\r\n\r\n5\r\nname=\r\n",
    "a large body": FORM + b"Content-Length: 9000000\r\n\r\nname=a",
    "half of the next": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost:",
    "asks first": FORM + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with app(tmp_path_factory.mktemp("site"), "http://127.0.0.1:9", threads=8) as (_, url):
        yield url


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
            assert httpx.get(f"{base}/healthz", timeout=4).status_code == 200
            assert httpx.get(f"{base}/sign-in", timeout=4).status_code == 200
    # They are gone, and nothing of them is left.
    assert httpx.get(f"{base}/healthz", timeout=4).status_code == 200


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
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "impatient.py").write_text(
        "from apiary.host import arrivals\narrivals._PATIENCE = 1.0\nfrom wsgi import app\n"
    )
    with app(
        tmp_path, "http://127.0.0.1:9", wsgi="impatient:app", PYTHONPATH=f"{ROOT}:{folder}"
    ) as (_, url):
        for kind in ("silent", "half a head", "half a body", "chunks"):
            with connect(url) as wire:
                wire.sendall(SLOW[kind])
                began = time.monotonic()
                while wire.recv(4096):
                    pass
                assert time.monotonic() - began < 10, kind
    assert arrivals._PATIENCE == 20
