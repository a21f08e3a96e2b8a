"""Work that the thread of a request does itself: all of it is done, and by few at a time."""

import os
import select
import threading
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from apiary.host.afterwards import Afterwards
from apiary.host.gunicorn import Callbacks


class Elsewhere:
    """Threads for what is given away."""

    def __init__(self) -> None:
        self.given: list[Callable[[], object]] = []

    def run(self, work: Callable[[], object]) -> None:
        self.given.append(work)


def test_it_is_done_here_and_in_order() -> None:
    afterwards, elsewhere, done = Afterwards(1), Elsewhere(), []
    afterwards.begin()
    for number in range(3):
        afterwards.add(lambda number=number: done.append((number, threading.get_ident())))
    assert not done
    afterwards.do(elsewhere.run)
    assert done == [(number, threading.get_ident()) for number in range(3)]
    assert not elsewhere.given
    afterwards.do(elsewhere.run)
    assert len(done) == 3, "nothing is done twice"


def test_one_too_many_gives_it_away() -> None:
    afterwards, elsewhere = Afterwards(1), Elsewhere()
    inside, go = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        assert go.wait(20)

    def request(work: Callable[[], object]) -> None:
        afterwards.begin()
        afterwards.add(work)
        afterwards.do(elsewhere.run)

    first = threading.Thread(target=request, args=(slow,))
    first.start()
    assert inside.wait(20)
    other: list[int] = []
    request(lambda: other.append(1))
    assert not other and len(elsewhere.given) == 1
    go.set()
    first.join(20)
    # Its place is free again.
    request(lambda: other.append(2))
    assert other == [2] and len(elsewhere.given) == 1


def test_none_may_where_there_is_no_place() -> None:
    afterwards, elsewhere = Afterwards(0), Elsewhere()
    afterwards.begin()
    afterwards.add(lambda: pytest.fail("not here"))
    afterwards.do(elsewhere.run)
    assert len(elsewhere.given) == 1


def test_what_nobody_takes_is_done_here() -> None:
    afterwards, done = Afterwards(0), []

    def none_left(work: Callable[[], object]) -> None:
        raise RuntimeError("can't start new thread")

    afterwards.begin()
    afterwards.add(lambda: done.append(1))
    afterwards.give_away(none_left)
    assert done == [1]


def test_who_stumbles_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    afterwards, done = Afterwards(1), []
    for _ in range(2):
        afterwards.begin()
        afterwards.add(lambda: 1 / 0)
        afterwards.add(lambda: done.append(1))
        afterwards.do(pytest.fail)
    assert done == [1, 1]
    assert [record.message for record in caplog.records] == [
        "What a request left to be done failed"
    ] * 2


def test_each_has_a_context_of_its_own() -> None:
    afterwards, mark, seen = Afterwards(1), ContextVar("mark", default=0), []

    def work() -> None:
        seen.append(mark.get())
        mark.set(1)

    afterwards.begin()
    afterwards.add(work)
    afterwards.add(work)
    mark.set(2)
    afterwards.do(pytest.fail)
    assert seen == [0, 0] and mark.get() == 2


def test_a_thread_that_ends_after_the_server_writes_to_nobody() -> None:
    """The numbers of a closed pipe go to what is opened next, as to a database."""
    callbacks = Callbacks()
    callbacks.init()
    callbacks.close()
    pipes = [os.pipe() for _ in range(3)]
    try:
        callbacks.defer(lambda: None)
        for reads, _ in pipes:
            assert not select.select([reads], [], [], 0)[0]
    finally:
        for number in (number for pipe in pipes for number in pipe):
            os.close(number)
