"""A connection that a request was given is closed by nobody else."""

import socket
import threading
import time
from typing import Any

import httpcore

from apiary import dial
from apiary.addresses import Policy
from apiary.http import Http
from apiary.replies import Events
from tests.raw import STREAM, Raw, chunk

_PATIENCE = 1.0


class Wire(httpcore.NetworkStream):
    """A real connection that can be slow at the moments that the tests are about."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self.gone = False
        self.closing, self.asked, self.go_on = (threading.Event() for _ in range(3))
        #: Whose being asked is waited for before this one is closed.
        self.after: Wire | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self.closing.set()
        if self.after is not None:
            self.after.asked.wait(_PATIENCE)
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self.gone:
            return True
        if info == "is_readable" and self.go_on.is_set():
            self.go_on.clear()
            self.asked.set()
            self.go_on.wait(_PATIENCE)
        return self._inner.get_extra_info(info)


def read(events: Events) -> list[str]:
    return [data for _, data in events]


def test_one_is_not_closed_between_being_given_and_being_used() -> None:
    last = threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM)
        # Not read with the head: the connection has something to read while it is idle.
        time.sleep(0.05)
        connection.sendall(chunk(b"data: 1\n\n"))
        last.wait(10)
        connection.sendall(chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    wires: list[Wire] = []

    def dialled(*place: Any, **how: Any) -> Wire:
        wires.append(Wire(dial.tcp(*place, **how)))
        return wires[-1]

    server = Raw(handler)
    http = Http(Policy(frozenset({server.url})), dial=dialled)
    last.set()
    both = [http.events("GET", server.url) for _ in range(2)]
    assert [read(events) for events in both] == [["1", "2"]] * 2
    last.clear()
    given, spare = wires
    # Who asks next is given the first, and has to close the second: its server is gone.
    spare.gone, spare.after = True, given
    found: list[Events] = []

    def ask() -> None:
        found.append(http.events("GET", server.url))
        time.sleep(0.2)
        given.go_on.set()

    asking = threading.Thread(target=ask)
    asking.start()
    assert spare.closing.wait(10)
    # Meanwhile somebody else looks which connections are of no use any more, and takes his time.
    given.go_on.set()
    other = http.events("GET", server.url)
    asking.join(10)
    last.set()
    assert read(found[0]) == read(other) == ["1", "2"]
    http.dispose()
    server.close()
    assert server.connections == 3


def test_all_that_served_may_serve_again() -> None:
    last = threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM + chunk(b"data: 1\n\n"))
        last.wait(10)
        connection.sendall(b"0\r\n\r\n")

    server = Raw(handler)
    http = Http(Policy(frozenset({server.url})))
    for _ in range(2):
        last.clear()
        many = [http.events("GET", server.url) for _ in range(120)]
        last.set()
        assert [read(events) for events in many] == [["1"]] * 120
    assert server.connections == 120
    http.dispose()
    server.close()
