"""Which connection a request gets, and what becomes of it afterwards."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from apiary.addresses import Policy
from apiary.http import Http
from apiary.replies import Events, Unusable
from tests.raw import STREAM, answer, chunk, talk

_SHORT = answer(b"{}", b"Content-Type: application/json")


def read(events: Events) -> list[str]:
    return [data for _, data in events]


def test_all_that_served_may_serve_again() -> None:
    last = threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM + chunk(b"data: 1\n\n"))
        last.wait(10)
        connection.sendall(b"0\r\n\r\n")

    with talk(handler) as (server, http):
        for _ in range(2):
            last.clear()
            many = [http.events("GET", server.url) for _ in range(120)]
            last.set()
            assert [read(events) for events in many] == [["1"]] * 120
        assert server.connections == 120


def test_the_one_used_last_is_used_next() -> None:
    """So that those too many get old, and are closed."""
    used: list[socket.socket] = []

    def handler(connection: socket.socket, request: bytes) -> None:
        used.append(connection)
        both.wait(10) if request.startswith(b"GET /both") else None
        connection.sendall(_SHORT)

    both = threading.Barrier(2)
    with talk(handler) as (server, http), ThreadPoolExecutor(2) as asking:
        list(asking.map(lambda _: http.json("GET", server.url + "/both"), range(2)))
        for _ in range(5):
            http.json("GET", server.url)
        assert len(set(used[:2])) == 2
        assert len(set(used[2:])) == 1


def test_each_has_one_request_at_a_time_while_servers_close_theirs() -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        number = request.split()[1][1:]
        connection.sendall(STREAM + chunk(b"data: " + number + b"\n\n") + b"0\r\n\r\n")
        if int(number) % 3 == 0:
            connection.shutdown(socket.SHUT_WR)

    def ask(number: int) -> tuple[int, str]:
        # Asked by its own thread alone, each would find its connection gone in time to see it.
        try:
            return number, "".join(read(http.events("GET", f"{server.url}/{number}")))
        except Unusable:
            return number, "closed on the way"

    with talk(handler) as (server, http), ThreadPoolExecutor(12) as asking:
        answers = list(asking.map(ask, range(1200)))
    wrong = [one for one in answers if one[1] not in {str(one[0]), "closed on the way"}]
    assert wrong == []
    assert sum(text == "closed on the way" for _, text in answers) < 600


@pytest.mark.parametrize("body", [_SHORT, answer(b"x", status=b"500 No")])
def test_whoever_is_gone_is_not_asked_again(body: bytes) -> None:
    """A server may end a connection that nobody uses, and says so by ending it."""
    gone = threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        gone.set()

    with talk(handler) as (server, http):
        for number in range(3):
            gone.clear()
            assert http.json("GET", server.url).status in {200, 500}
            assert gone.wait(10)
            assert server.connections == number + 1


def test_those_of_a_server_that_nobody_asks_any_more_are_closed_too() -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(_SHORT)
        connection.shutdown(socket.SHUT_WR)

    with talk(_SHORT) as (other, _), talk(handler) as (server, _):
        http = Http(Policy(frozenset({server.url, other.url})))
        http.json("GET", server.url)
        assert not server.closed.wait(0.1)
        http.json("GET", other.url)
        http.json("GET", other.url)
        assert server.closed.wait(10)
        assert other.connections == 1
        http.dispose()


def test_what_fails_leaves_room_for_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        refused = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with talk(_SHORT) as (server, _):
        http = Http(Policy(frozenset({server.url, refused})))
        for _ in range(2300):
            with pytest.raises(Unusable) as told:
                http.json("GET", refused)
            assert told.value.reason == "unreachable"
        assert http.json("GET", server.url).status == 200
        http.dispose()


def test_disposing_ends_the_answers_on_their_way() -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM + chunk(b"data: 1\n\n"))
        server.closed.wait(10)

    with talk(handler) as (server, http):
        events = http.events("GET", server.url)
        begun = iter(events)
        assert next(begun)[1] == "1"
        http.dispose()
        with pytest.raises(Unusable):
            next(begun)
        events.close()
        server.handler = _SHORT
        assert http.json("GET", server.url).status == 200
        assert server.connections == 2
