"""Threads that take further work: nothing is lost, and none stays for ever."""

import os
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from apiary.host.threads import Threads

NAME = "test-of-threads"


def count() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


def until(there: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not there():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_one_after_the_other_is_done_by_one_thread() -> None:
    threads, seen = Threads(NAME, patience=0.2), []
    for _ in range(20):
        done = threading.Event()
        threads.run(lambda done=done: (seen.append(threading.get_ident()), done.set()))
        assert done.wait(20)
        until(lambda: threads._idle)
    assert len(set(seen)) == 1
    until(lambda: count() == 0)


def test_as_many_at_a_time_as_there_is_work() -> None:
    threads, together = Threads(NAME, patience=0.2), threading.Barrier(9)
    for _ in range(8):
        threads.run(together.wait)
    together.wait(20)
    until(lambda: count() == 0)


def test_what_comes_when_a_thread_is_about_to_end_is_done() -> None:
    threads, done, lock = Threads(NAME, patience=0.001), [], threading.Lock()

    def work(number: int) -> None:
        with lock:
            done.append(number)

    for number in range(2000):
        threads.run(lambda number=number: work(number))
        if number % 3 == 0:
            time.sleep(0.001)
    until(lambda: len(done) == 2000)
    assert sorted(done) == list(range(2000))
    until(lambda: count() == 0)


def test_each_has_a_context_of_its_own() -> None:
    threads, mark, seen = Threads(NAME, patience=0.2), ContextVar("mark", default=0), []

    def work() -> None:
        seen.append(mark.get())
        mark.set(1)

    for n in range(3):
        threads.run(work)
        until(lambda n=n: len(seen) == n + 1 and threads._idle)
    assert seen == [0, 0, 0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_stumbles_holds_up_nobody() -> None:
    threads, done = Threads(NAME, patience=0.2), threading.Event()
    threads.run(lambda: 1 / 0)
    until(lambda: count() == 0)
    threads.run(done.set)
    assert done.wait(20)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_in_a_process_that_was_forked() -> None:
    threads, done = Threads(NAME, patience=20), threading.Event()
    threads.run(done.set)
    assert done.wait(20)
    until(lambda: threads._idle)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        threads.run(lambda: os.write(write, b"done"))
        time.sleep(20)
        os._exit(1)
    try:
        assert os.read(read, 4) == b"done"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)
