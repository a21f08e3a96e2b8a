"""Readers of the relay: slow ones, those that go, and those that are sent away."""

import socket
import threading
import time

import pytest

from apiary.chunks import Chunks
from apiary.host import relay
from apiary.host.answers import Answer
from apiary.host.relay import Relay
from apiary.host.wire import parse

pytestmark = pytest.mark.skipif(not relay.available(), reason="the relay needs epoll")


class Reader:
    """A browser's end, and the thread in which a server runs the response."""

    def __init__(self, moving: Relay, answer: Answer, after: int = 0) -> None:
        self.near, far = socket.socketpair()
        self.near.settimeout(10)
        self._server = far
        environ = {"gunicorn.socket": far, "SERVER_PROTOCOL": "HTTP/1.1"}
        self._events = moving.follow(answer, after, environ)
        self.failure: OSError | None = None
        assert next(self._events) == b": open\n\n"
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        try:
            assert list(self._events) == []
        except OSError as failure:
            self.failure = failure
        self._server.close()

    def rest(self) -> bytes:
        chunks, found = Chunks(), b""
        while data := self.near.recv(65536):
            found += chunks.feed(data)
        self.thread.join(10)
        self.near.close()
        return found


@pytest.fixture
def moving() -> Relay:
    return Relay()


def end(answer: Answer) -> None:
    assert answer.claim()
    answer.end("done", {"message_id": "m", "finish_reason": "stop"})


def test_a_slow_reader_gets_all_and_holds_up_nobody(moving):
    answer = Answer("m", "c", "owner")
    slow, quick = Reader(moving, answer), Reader(moving, answer)
    for _ in range(300):
        answer.send("delta", {"text": "x" * 10_000})
    end(answer)
    # Only now does the slow one begin.
    first, second = quick.rest(), slow.rest()
    assert first == second == answer.since(0)[0]
    assert len(first) > 3_000_000 and not slow.failure


def test_one_goes_on_behind_a_number(moving):
    answer = Answer("m", "c", "owner")
    for text in "abc":
        answer.send("delta", {"text": text})
    numbers = [number for number, _, _ in parse(answer.since(0)[0])]
    late = Reader(moving, answer, after=numbers[1])
    end(answer)
    third = numbers[2]
    assert [number for number, _, _ in parse(late.rest())] == [third, third + 1]


def test_a_reader_that_is_gone_is_dropped(moving):
    answer = Answer("m", "c", "owner")
    reader = Reader(moving, answer)
    reader.near.close()
    for _ in range(20):
        answer.send("delta", {"text": "x" * 1000})
    reader.thread.join(10)
    assert not reader.thread.is_alive()
    end(answer)


def test_the_fifth_reader_sends_the_first_away(moving):
    answer = Answer("m", "c", "owner")
    readers = [Reader(moving, answer) for _ in range(5)]
    answer.send("delta", {"text": "a"})
    readers[0].thread.join(10)
    assert not readers[0].thread.is_alive()
    end(answer)
    assert all(b"event: done" in reader.rest() for reader in readers[1:])
    readers[0].near.close()


def test_silence_is_broken(moving, monkeypatch):
    monkeypatch.setattr(relay, "HEARTBEAT", 0.1)
    monkeypatch.setattr(relay, "_CALM", 0.1)
    answer = Answer("m", "c", "owner")
    reader = Reader(moving, answer)
    assert b": still here" in reader.near.recv(100)
    end(answer)
    reader.rest()


def test_a_reader_that_comes_in_quietly_hears_the_first_word(moving):
    """It wakes nobody; what comes first does, however close together they are."""
    began = time.monotonic()
    for _ in range(200):
        answer = Answer("m", "c", "owner")
        writer = threading.Thread(target=answer.send, args=("delta", {"text": "a"}))
        writer.start()
        reader = Reader(moving, answer)
        writer.join()
        assert reader.near.recv(100)
        end(answer)
        assert b"event: done" in reader.rest()
    assert time.monotonic() - began < 20, "it was looked for, and not told of"


def test_readers_have_the_last_words_before_an_end_is_begun(moving):
    answer, seen = Answer("m", "c", "owner"), []
    near, far = socket.socketpair()
    reader = Reader(moving, answer)
    over = threading.Event()

    class Flow:
        sock = far

        def step(self) -> bool:
            far.recv(10)
            return not answer.send("delta", {"text": "last words"})

        def leave(self, problem: BaseException | None) -> None:
            seen.append(reader.near.recv(1000, socket.MSG_DONTWAIT))
            end(answer)
            over.set()

    flow = Flow()
    flow.answer = answer
    moving.carry(flow)
    near.send(b"x")
    assert over.wait(10)
    assert b"last words" in seen[0]
    reader.rest()
    near.close()
    far.close()


def test_who_is_found_to_be_late_ends_at_once(moving, monkeypatch):
    """Nothing comes that would wake the relay, and nobody reads."""
    monkeypatch.setattr(relay, "_QUIET", 0.1)
    near, far = socket.socketpair()
    late: list[float] = []
    over = threading.Event()

    class Flow:
        sock = far
        answer = Answer("m", "c", "owner")

        def step(self) -> bool:
            if time.monotonic() < began + 0.5:
                return True
            late.append(time.monotonic())
            return False

        def leave(self, problem: BaseException | None) -> None:
            late.append(time.monotonic())
            over.set()

    began = time.monotonic()
    moving.carry(Flow())
    assert over.wait(20)
    assert late[1] - late[0] < 0.5
    near.close()
    far.close()
