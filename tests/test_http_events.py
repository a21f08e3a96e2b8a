"""Answers that come event by event: in pieces, too long, too late, closed at any moment."""

import gc
import gzip
import socket
import threading
import time

import pytest

from apiary.http import Unusable, _Once
from tests.raw import STREAM, Handler, Tls, answer, chunk, talk


def script(*pieces: bytes, end: bool = True) -> Handler:
    def run(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM)
        for piece in pieces:
            connection.sendall(chunk(piece))
        if end:
            connection.sendall(b"0\r\n\r\n")
        else:
            connection.recv(1)

    return run


def test_events_come_one_by_one() -> None:
    go = threading.Event()

    def run(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM + chunk(b"data: one\n\n"))
        go.wait(5)
        connection.sendall(chunk(b"event: x\nda") + chunk(b"ta: two\n\n") + b"0\r\n\r\n")

    with talk(run) as (server, http):
        events = http.events("POST", server.url, body={})
        assert (events.status, events.reply) == (200, None)
        each = iter(events)
        assert next(each) == ("message", "one")
        go.set()
        assert list(each) == [("x", "two")]
        assert list(events) == []


def test_a_long_question_is_let_go_of_when_it_was_sent() -> None:
    heard = []

    def run(connection: socket.socket, request: bytes) -> None:
        heard.append(len(request))
        connection.sendall(STREAM + chunk(b"data: one\n\n"))
        connection.recv(1)

    with talk(run) as (server, http):
        events = http.events("POST", server.url, body={"text": "x" * 100_000})
        assert next(iter(events)) == ("message", "one")
        kept = [o._content for o in gc.get_objects() if isinstance(o, _Once)]
        # The connection holds the request until the answer has ended; earlier ones may be there.
        assert kept and not any(kept)
        events.close()
    assert heard and heard[0] > 100_000


@pytest.mark.parametrize("secure", [False, True])
def test_closing_from_another_thread_ends_a_blocked_read(secure: bool, tls: Tls) -> None:
    with talk(script(b"data: one\n\n", end=False), tls if secure else None) as (server, http):
        events = http.events("POST", server.url, body={})
        threading.Timer(0.2, events.close).start()
        begun = time.monotonic()
        assert list(events) == [("message", "one")]
        assert time.monotonic() - begun < 10
        assert server.closed.wait(10), "the server hears of it"


def test_closing_before_and_between_reads() -> None:
    with talk(script(b"data: one\n\n", end=False)) as (server, http):
        events = http.events("POST", server.url)
        events.close()
        events.close()
        assert list(events) == []
        assert server.closed.wait(10)
        events = http.events("POST", server.url)
        assert next(iter(events)) == ("message", "one")
        events.close()
        assert list(events) == []


def test_many_closes_race_with_reads() -> None:
    with talk(script(*[b"data: x\n\n"] * 50)) as (server, http):
        for attempt in range(40):
            events = http.events("POST", server.url)
            closer = threading.Timer(attempt / 20_000, events.close)
            closer.start()
            assert all(event == ("message", "x") for event in events)
            closer.join()
        assert len(list(http.events("POST", server.url))) == 50


def test_a_late_close_does_not_cut_the_next_answer() -> None:
    with talk(script(*[b"data: x\n\n"] * 3)) as (server, http):
        first = http.events("POST", server.url)
        assert len(list(first)) == 3
        second = http.events("POST", server.url)
        assert server.connections == 1, "the connection serves again"
        first.close()
        assert len(list(second)) == 3


def test_finish_keeps_the_connection_and_does_not_wait_for_a_slow_end() -> None:
    with talk(script(b"data: [DONE]\n\n", b": trailer\n\n")) as (server, http):
        for _ in range(2):
            events = http.events("POST", server.url)
            assert next(iter(events)) == ("message", "[DONE]")
            events.finish()
        assert server.connections == 1
    with talk(script(b"data: [DONE]\n\n", end=False)) as (server, http):
        events = http.events("POST", server.url)
        next(iter(events))
        begun = time.monotonic()
        events.finish()
        assert time.monotonic() - begun < 10
        assert server.closed.wait(10)


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        ([b"data: x\n\n" + b"y" * 300_000], True),
        ([b"data: " + b"y" * 60_000] * 6, False),
        ([b"data: x\n\n"] + [b": keep-alive\n\n"] * 400, True),
    ],
)
def test_what_grows_too_large_is_cut(pieces: list[bytes], end: bool) -> None:
    with talk(script(*pieces, end=end)) as (server, http):
        events = http.events("POST", server.url, cap=350_000 if len(pieces) < 10 else 3000)
        with pytest.raises(Unusable) as caught:
            list(events)
        assert caught.value.reason == "answer"
        assert server.closed.wait(10)


def test_a_stream_that_breaks_or_stalls() -> None:
    def reset(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM + chunk(b"data: one\n\n"))
        connection.shutdown(socket.SHUT_RDWR)

    with talk(reset) as (server, http):
        each = iter(http.events("POST", server.url))
        assert next(each) == ("message", "one")
        with pytest.raises(Unusable) as caught:
            next(each)
        assert caught.value.reason == "broken"
    with talk(script(b"data: one\n\n", end=False)) as (server, http):
        each = iter(http.events("POST", server.url, total=0.4))
        assert next(each) == ("message", "one")
        with pytest.raises(Unusable) as caught:
            next(each)
        assert caught.value.reason == "timeout"


@pytest.mark.parametrize(
    ("raw", "status", "data"),
    [
        (answer(b'{"error": 1}', status=b"402 Pay"), 402, {"error": 1}),
        (answer(b"<html>", status=b"502 Bad"), 502, None),
        (answer(b"<html>"), 200, None),
        (answer(b'{"choices": []}', b"Content-Type: application/json"), 200, {"choices": []}),
        (answer(b"x" * 100_000, status=b"500 Oh"), 500, None),
        (answer(b"", b"Location: http://127.0.0.1:1/", status=b"302 Found"), 302, None),
    ],
)
def test_what_comes_instead_of_a_stream(raw: bytes, status: int, data: object) -> None:
    raw = raw.replace(b"\r\n\r\n<html>", b"\r\nContent-Type: text/html\r\n\r\n<html>")
    with talk(raw) as (server, http):
        events = http.events("POST", server.url)
        assert events.reply is not None
        assert (events.status, events.reply.status, events.reply.data) == (status, status, data)
        assert list(events) == []
        events.close()


def test_a_compressed_stream_is_refused() -> None:
    raw = answer(gzip.compress(b"data: x\n\n"), b"Content-Type: text/event-stream")
    raw = raw.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)
    with talk(raw) as (server, http), pytest.raises(Unusable):
        http.events("POST", server.url)
