"""A lock in the order of who asked, and what it is for: many who write into one SQLite file."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import peewee
import pytest

from apiary import pools
from apiary.db import open_url
from apiary.fair import FairLock


def started(
    count: int, work: Callable[[int], object], between: float = 0
) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(between)
    return threads


def test_in_the_order_of_who_asked() -> None:
    lock, order = FairLock(), []

    def work(number: int) -> None:
        assert lock.acquire(20)
        order.append(number)
        lock.release()

    assert lock.acquire(1) and lock.mine
    threads = []
    for number in range(8):
        threads += started(1, lambda _, number=number: work(number))
        end = time.monotonic() + 20
        while len(lock._waiting) <= number:
            assert time.monotonic() < end
            time.sleep(0.001)
    lock.release()
    for thread in threads:
        thread.join(20)
    assert order == list(range(8))
    assert not lock.mine and lock.acquire(0)


def test_who_waits_in_vain_leaves_the_queue() -> None:
    lock, seen = FairLock(), []
    assert lock.acquire(1)
    for thread in started(3, lambda _: seen.append(lock.acquire(0.05))):
        thread.join(20)
    assert seen == [False] * 3 and not lock._waiting
    # Of somebody who has it not.
    for thread in started(1, lambda _: lock.release()):
        thread.join(20)
    assert lock.mine
    lock.release()
    assert lock.acquire(0)


def test_one_at_a_time_however_short_the_patience() -> None:
    lock, inside, most, got = FairLock(), 0, 0, 0

    def work(_: int) -> None:
        nonlocal inside, most, got
        for _ in range(300):
            if lock.acquire(0.0005):
                inside += 1
                most = max(most, inside)
                got += 1
                inside -= 1
                lock.release()

    for thread in started(8, work):
        thread.join(30)
    assert most == 1 and got > 300
    assert lock.acquire(0) and not lock._waiting


@pytest.mark.parametrize("whole", [True, False], ids=["transactions", "statements"])
def test_everybody_writes_who_waits(tmp_path: Path, whole: bool) -> None:
    database = open_url(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    waits: list[float] = []

    def work(number: int) -> None:
        for _ in range(8):
            asked = time.monotonic()
            with database.connection_context():
                if whole or number % 2:
                    with database.atomic():
                        waits.append(time.monotonic() - asked)
                        database.execute_sql("UPDATE t SET n = n + 1")
                        time.sleep(0.02)
                else:
                    database.execute_sql("UPDATE t SET n = n + 1")
                    waits.append(time.monotonic() - asked)

    with database.connection_context():
        database.execute_sql("CREATE TABLE t (n INTEGER)")
        database.execute_sql("INSERT INTO t VALUES (0)")
    began = time.monotonic()
    for thread in started(16, work):
        thread.join(60)
    whole_time = time.monotonic() - began
    with database.connection_context():
        assert database.execute_sql("SELECT n FROM t").fetchone() == (128,)
    # Where SQLite alone decides, one waits for nearly all others to be done.
    assert max(waits) < whole_time / 2


def test_an_end_of_any_kind_lets_the_next_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "PATIENCE", 0.2)
    database = open_url(f"sqlite:///{tmp_path / 'x.sqlite3'}")

    def elsewhere() -> bool:
        """Whether another thread can write now."""
        seen = []

        def work(_: int) -> None:
            with database.connection_context():
                try:
                    database.execute_sql("UPDATE t SET n = n")
                    seen.append(True)
                except peewee.OperationalError as error:
                    assert "locked" in str(error)
                    seen.append(False)

        for thread in started(1, work):
            thread.join(20)
        return seen[0]

    with database.connection_context():
        database.execute_sql("CREATE TABLE t (n INTEGER UNIQUE)")
        with database.atomic():
            database.execute_sql("DELETE FROM t")
            assert not elsewhere()
            with database.atomic():
                database.execute_sql("INSERT INTO t VALUES (0)")
            assert not elsewhere()
        with pytest.raises(peewee.IntegrityError):
            database.execute_sql("INSERT INTO t VALUES (0)")
        with pytest.raises(peewee.IntegrityError), database.atomic():
            database.execute_sql("INSERT INTO t VALUES (0)")
        assert elsewhere()
        database.execute_sql("PRAGMA busy_timeout = 50")
        other = peewee.SqliteDatabase(database.database, timeout=0)
        with other.atomic("EXCLUSIVE"), pytest.raises(peewee.OperationalError):
            database.execute_sql("DELETE FROM t")
        other.close()
        assert elsewhere()
