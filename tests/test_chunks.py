"""Bodies in chunks, cut in every place; and the connection that serves again afterwards."""

import socket
import threading
from contextlib import suppress

import pytest

from apiary.addresses import Policy
from apiary.chunks import Chunks, Malformed
from apiary.http import PAUSE, Http, Unusable

BODY = b"5\r\nhello\r\n1;name=value\r\n \r\nA\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_any_pieces(size):
    chunks = Chunks()
    found = b"".join(chunks.feed(BODY[at : at + size]) for at in range(0, len(BODY), size))
    assert found == b"hello 0123456789" and chunks.over and not chunks.extra


def test_what_stands_behind_the_end_is_noticed():
    chunks = Chunks()
    assert chunks.feed(BODY + b"HTTP/1.1 200 OK\r\n") == b"hello 0123456789"
    assert chunks.over and chunks.extra


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"5\r\nhelloXX",
        b"\r\n",
        b"1" * 16 + b"\r\n",
        b"a" * 5000,
        b"0\r\n" + b"a: b\r\n" * 99,
    ],
)
def test_what_is_no_chunk(body):
    with pytest.raises(Malformed):
        Chunks().feed(body)


class Upstream:
    """Answers every request on one connection with the pieces it was given."""

    def __init__(self, *answers):
        self.answers = answers
        self.connections = 0
        self.go_on = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        answers = iter(self.answers)
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with peer, suppress(OSError, StopIteration):
                # Head and body may come apart; the body is {} and the last of it.
                while _request(peer):
                    for piece in next(answers):
                        if piece is None:
                            self.go_on.wait(5)
                        elif piece == "cut":
                            peer.close()
                            return
                        else:
                            peer.sendall(piece)

    def close(self):
        self._listener.close()


def _request(peer):
    got = b""
    while not got.endswith(b"{}"):
        if not (piece := peer.recv(65536)):
            return False
        got += piece
    return True


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"9\r\ndata: a\n\n\r\n"
END = b"0\r\n\r\n"


@pytest.fixture
def upstream():
    made = []

    def make(*answers):
        made.append(Upstream(*answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def reach():
    """A client for exactly one server."""
    made = []

    def make(server):
        made.append(Http(Policy(frozenset({server.url.rstrip("/")}))))
        return made[-1]

    yield make
    for one in made:
        one.dispose()


def test_the_connection_serves_again(upstream, reach):
    server = upstream([HEAD + EVENT + END], [HEAD, EVENT, END], [HEAD + EVENT + END])
    http = reach(server)
    for _ in range(3):
        events = http.events("POST", server.url, body={})
        assert next(iter(events)) == ("message", "a")
        events.finish()
    assert server.connections == 1


def test_it_pauses_instead_of_waiting(upstream, reach):
    server = upstream([HEAD + EVENT, None, EVENT + END])
    events = reach(server).events("POST", server.url, body={})
    assert isinstance(events.pausing(True), socket.socket)
    reading = iter(events)
    assert next(reading) == ("message", "a")
    assert next(reading) is PAUSE
    server.go_on.set()
    assert events.pausing(False)
    assert list(reading) == [("message", "a")]
    events.close()
    assert server.connections == 1


@pytest.mark.parametrize("pausing", [True, False])
@pytest.mark.parametrize("end", [[b"zz\r\n"], ["cut"]])
def test_a_broken_body_is_no_end(upstream, reach, pausing, end):
    server = upstream([HEAD + EVENT, *end])
    events = reach(server).events("POST", server.url, body={})
    events.pausing(pausing)
    with pytest.raises(Unusable) as broken:
        for _ in events:
            pass
    assert broken.value.reason == "broken"
    # Turned off at the end, whatever the end: till then nobody closes the socket.
    events.pausing(False)
    events.close()
