"""A few at a time, in their order; who takes long holds up nobody."""

import threading
import time

from apiary.host.few import Few


def start(few: Few, work, count: int, between: float = 0.0) -> list[threading.Thread]:
    def run(number: int) -> None:
        with few.one():
            work(number)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(between)
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_no_more_than_a_few_and_each_in_turn() -> None:
    few, lock, inside, most, order = Few(3, long=20), threading.Lock(), 0, 0, []
    go = threading.Event()

    def work(number: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
            order.append(number)
        go.wait(20)
        with lock:
            inside -= 1

    threads = start(few, work, 12, between=0.02)
    assert sorted(order) == [0, 1, 2]
    go.set()
    join(threads)
    assert most == 3 and len(order) == 12
    assert not few._going and not few._waiting


def test_who_takes_long_is_counted_no_more() -> None:
    few, go, done = Few(2, long=0.05), threading.Event(), []
    slow = start(few, lambda _: go.wait(20), 6)
    began = time.monotonic()
    join(start(few, done.append, 8))
    assert len(done) == 8 and time.monotonic() - began < 15
    go.set()
    join(slow)
    assert not few._going and not few._waiting


def test_an_error_leaves_the_place_to_others() -> None:
    few, done = Few(1, long=20), []
    for _ in range(3):
        try:
            with few.one():
                raise KeyError
        except KeyError:
            done.append(1)
    join(start(few, done.append, 4))
    assert len(done) == 7 and not few._going
