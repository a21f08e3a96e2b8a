"""What Redis answers, and what becomes of it."""

import logging
import secrets
import threading
import time
from contextlib import suppress

import pytest
import redis

from apiary.host.answers import Answer, Answers
from apiary.host.broadcast import Broadcast
from apiary.host.shared import Away, Published, Shared
from apiary.host.wire import before, encode


@pytest.fixture
def shared(redis_url):
    made = Shared(redis_url, f"apiary-test-{secrets.token_hex(6)}:")
    yield made
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{made.prefix}*", count=1000):
            client.delete(key)
    made._redis.close()


def raising(error):
    def work(_):
        raise error

    return work


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("refused"),
        redis.TimeoutError("slow"),
        redis.BusyLoadingError("LOADING"),
        redis.AuthenticationError("wrong"),
        redis.ReadOnlyError("READONLY"),
        redis.exceptions.MasterDownError("MASTERDOWN"),
        OSError("no route"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_away_for_everybody(shared, error, caplog):
    with pytest.raises(Away):
        shared.ask(raising(error))
    with pytest.raises(Away):
        shared.ask(lambda client: client.ping())
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    shared._until = 0.0
    assert shared.ask(lambda client: client.ping())
    assert "back" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        redis.ResponseError("WRONGTYPE Operation against a key:secret"),
        redis.exceptions.OutOfMemoryError("OOM command not allowed"),
        redis.exceptions.NoPermissionError("NOPERM"),
        redis.DataError("not a string"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_one_command_that_is_refused_silences_no_other(shared, error, caplog):
    for _ in range(3):
        with pytest.raises(Away):
            shared.ask(raising(error))
        assert shared.ask(lambda client: client.ping())
    # Said once in a while, without what it quotes.
    assert len(caplog.records) == 1 and "secret" not in caplog.text


def test_a_refusal_says_that_it_is_back(shared):
    with pytest.raises(Away):
        shared.ask(raising(redis.ConnectionError()))
    shared._until = 0.0
    with pytest.raises(Away):
        shared.ask(raising(redis.ResponseError("WRONGTYPE")))
    assert shared.ask(lambda client: client.ping())


def test_one_finds_out_whether_it_is_back(shared):
    with pytest.raises(Away):
        shared.ask(raising(redis.ConnectionError()))
    shared._until = 0.0
    asks, go = threading.Event(), threading.Event()

    def slow(_):
        asks.set()
        go.wait(10)
        raise redis.TimeoutError

    def ask():
        with suppress(Away):
            shared.ask(slow)

    first = threading.Thread(target=ask)
    first.start()
    assert asks.wait(10)
    began = time.monotonic()
    with pytest.raises(Away):
        shared.ask(lambda client: client.ping())
    assert time.monotonic() - began < 8
    go.set()
    first.join(10)


def published(name, text):
    one = Published(name)
    tell(one, 1, text)
    return one


def tell(one, number, text):
    one.at = before(one.name) + number
    one.events = encode(one.at, "delta", {"text": text})


def test_an_answer_that_redis_does_not_take_holds_up_no_other(shared):
    good, bad = published("good", "a"), published("bad", "b")
    assert shared.publish([bad, good]) == (set(), set())
    # Not a stream any more.
    shared.ask(lambda client: client.set(shared.key("answer", "bad"), "x"))
    for one in (good, bad):
        tell(one, 2, "more")
    shared.ask(lambda client: client.set(shared.key("stop", "good"), 1))
    assert shared.publish([bad, good]) == ({"good"}, {"bad"})
    assert shared.texts("good")["delta"] == "amore"
    assert shared.has("good") and shared.texts("bad") == {}


def test_an_answer_without_a_word_is_found(shared):
    silent = Published("silent.0")
    silent.at = before(silent.name)
    assert not shared.has(silent.name, 50)
    shared.publish([silent])
    assert shared.has(silent.name) and shared.texts(silent.name)["delta"] == ""
    tell(silent, 1, "at last")
    shared.publish([silent])
    assert shared.texts(silent.name)["delta"] == "at last"


def test_one_waits_until_it_is_told_of(shared):
    late = Published("late.0")
    late.at = before(late.name)
    telling = threading.Timer(0.3, shared.publish, [[late]])
    began = time.monotonic()
    telling.start()
    # As long as Redis takes to say so, and by far not to the end.
    assert shared.has(late.name, 20_000)
    assert 0.2 < time.monotonic() - began < 15
    telling.join()


def test_it_is_told_anew(shared, host):
    answers = Answers()
    answer = Answer("m" * 22, "c" * 22, "ann")
    answers.open(answer)
    answer.stored = True
    key = shared.key("answer", answer.name)
    broadcast = Broadcast(shared, answers)
    answer.send("delta", {"text": "one"})
    broadcast._round(host)
    shared.ask(lambda client: client.set(key, "x"))
    answer.send("delta", {"text": " two"})
    broadcast._round(host)
    # Not at once.
    assert not broadcast._round(host)
    broadcast._later.clear()
    broadcast._round(host)
    assert shared.texts(answer.name)["delta"] == "one two"
    answer.claim()
    answer.end("done", {"message_id": answer.message_id, "finish_reason": "stop"})
