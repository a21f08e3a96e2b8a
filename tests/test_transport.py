"""Which connection a request gets, and what becomes of it afterwards."""

import gc
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any

import httpcore
import pytest

from apiary.addresses import Policy, system_resolver
from apiary.dial import Backend, certificates, tcp
from apiary.http import Http
from apiary.replies import Events, Unusable
from apiary.transport import Transport
from tests.raw import OK, STREAM, Handler, Raw, Tls, answer, chunk, talk

_SHORT = answer(b"{}", b"Content-Type: application/json")


@contextmanager
def few(handler: Handler, most: int) -> Iterator[tuple[Raw, Http]]:
    """A server, and a client that has so many connections at once at most."""
    with closing(Raw(handler)) as server:
        policy = Policy(frozenset({server.url}))
        pool = Transport(certificates(), Backend(policy, system_resolver, tcp), most=most)
        http = Http(policy, transport=pool)
        yield server, http
        http.dispose()


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


_OTHERS = answer(b'{"whose": "not its own"}')
_CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    "first",
    [
        answer(b"{}"),
        answer(b"{}", status=b"500 No"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"{}"),
        OK.replace(b"\r", b"") + b"Content-Length: 2\n\n{}",
        _CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
        _CHUNKED + b"Content-Length: 999\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        STREAM + b"0\r\n\r\n",
        STREAM.replace(b"\r", b"") + b"0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("more", [_OTHERS, b"\r\n", b"0\r\n\r\n", b"H"])
def test_what_stands_behind_an_answer_is_never_the_next_one(
    first: bytes, more: bytes, secure: bool, tls: Tls
) -> None:
    """It could be told to somebody else, and each answer after it too."""
    later = answer(b'{"whose": "its own"}')

    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(first + more if request.startswith(b"GET /first") else later)

    with talk(handler, tls if secure else None) as (server, http):
        try:
            events = http.events("GET", server.url + "/first")
            assert read(events) == []
        except Unusable:
            pass
        for _ in range(2):
            assert http.json("GET", server.url).data == {"whose": "its own"}
        assert server.connections == 2


def test_what_comes_without_being_asked_for_is_no_answer() -> None:
    read_it, said = threading.Event(), threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(_SHORT)
        if request.startswith(b"GET /first") and read_it.wait(10):
            connection.sendall(_OTHERS)
            said.set()

    with talk(handler) as (server, http):
        assert http.json("GET", server.url + "/first").data == {}
        read_it.set()
        assert said.wait(10)
        assert http.json("GET", server.url).data == {}
        assert server.connections == 2


def test_a_question_whose_connection_ends_is_not_asked_again() -> None:
    """It may have been heard, and cost something."""

    def handler(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"POST"):
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.sendall(_SHORT)

    with talk(handler) as (server, http):
        http.json("GET", server.url)
        with pytest.raises(Unusable) as told:
            http.json("POST", server.url, body={"n": 1})
        assert told.value.reason == "broken" and told.value.sent
        assert http.json("GET", server.url).status == 200
        assert [request.split()[0] for request in server.requests] == [b"GET", b"POST", b"GET"]
        assert server.connections == 2


_ODD = [
    b"",
    b"\r\n\r\n",
    b"{}",
    b"HTTP/1.1 000 No\r\n\r\n",
    b"HTTP/1.1 099 No\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + _SHORT,
    b"HTTP/1.1 199 No\r\n\r\n",
    b"HTTP/1.1 999 \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 1000 No\r\n\r\n",
    b"HTTP/1.1 200\r\n: nameless\r\n\r\n",
    b"HTTP/1.1 200\r\nA B: blank\r\n\r\n",
    b"HTTP/1.1 200\r\nA: \x00\r\n\r\n",
    b"HTTP/1.1 200\r\nA: \xff\xf0\x80\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200\r\nA: folded\r\n over\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200\r\nContent-Type: \xe9\xa0\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200\r\nContent-Length: -1\r\n\r\n{}",
    b"HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"HTTP/1.1 200\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    b"HTTP/1.1 200\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
]


def test_odd_answers_leave_room_for_others() -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET /odd"):
            connection.sendall(_ODD[int(request.split()[1][4:])])
            connection.shutdown(socket.SHUT_WR)
        else:
            connection.sendall(_SHORT)

    def served() -> bool:
        # The first may go over the connection that the server is about to end.
        with suppress(Unusable):
            return http.json("GET", server.url).status == 200
        return http.json("GET", server.url).status == 200

    with few(handler, 1) as (server, http):
        for number in range(len(_ODD)):
            for ask in (http.json, http.events):
                with suppress(Unusable):
                    found = ask("GET", f"{server.url}/odd{number}")
                    if isinstance(found, Events):
                        read(found)
                assert served(), _ODD[number]


def test_all_in_use() -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM if request.startswith(b"GET /stream") else _SHORT)

    with few(handler, 1) as (server, http):
        events = http.events("GET", server.url + "/stream")
        with pytest.raises(Unusable) as told:
            http.json("GET", server.url)
        assert told.value.reason == "unreachable" and len(server.requests) == 1
        events.close()
        assert http.json("GET", server.url).status == 200


def test_an_answer_that_nobody_wants_any_more() -> None:
    """A view may fail, or be asked for its headers only, before it reads what it asked for."""

    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM if request.startswith(b"GET /stream") else _SHORT)

    with few(handler, 1) as (server, http):
        for _ in range(3):
            server.closed.clear()
            http.events("GET", server.url + "/stream")
            gc.collect()
            assert server.closed.wait(10)
        assert http.json("GET", server.url).status == 200


def test_disposing_ends_a_dial_too() -> None:
    dialling, disposed = threading.Event(), threading.Event()

    def dial(*args: Any, **named: Any) -> httpcore.NetworkStream:
        dialling.set()
        disposed.wait(10)
        return tcp(*args, **named)

    with talk(_SHORT) as (server, _), ThreadPoolExecutor(1) as asking:
        http = Http(Policy(frozenset({server.url})), dial=dial)
        asked = asking.submit(http.json, "GET", server.url)
        assert dialling.wait(10)
        http.dispose()
        disposed.set()
        with pytest.raises(Unusable) as told:
            asked.result()
        assert told.value.reason == "unreachable" and server.requests == []
        assert server.closed.wait(10)
        assert http.json("GET", server.url).status == 200
        http.dispose()


def test_who_reads_is_told_when_all_is_closed() -> None:
    """Its socket is closed by the reader: by then the number may be another connection's."""
    asked, silent = threading.Event(), threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        asked.set()
        silent.wait(20)

    def ask(http: Http) -> str:
        with pytest.raises(Unusable) as caught:
            http.events("GET", server.url)
        return caught.value.reason

    with talk(handler) as (server, http), ThreadPoolExecutor(1) as threads:
        told = threads.submit(ask, http)
        assert asked.wait(10)
        http.dispose()
        assert told.result(5) == "broken"
        silent.set()
