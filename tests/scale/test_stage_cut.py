"""Machines of the stage that are cut off in the middle of answers, and come back."""

import itertools
import time
from contextlib import ExitStack

import pytest

from tests.scale.running import WHOLE, Reader, events, last, text_of, wait_for
from tests.scale.stage import AT, URL

#: The first test builds the stage.
pytestmark = pytest.mark.timeout(240)

ONE, TWO, THREE = AT.values()


def test_an_app_machine_is_cut_off_and_comes_back(stage, guest):
    stage.sandbox(pace=1)
    # Of the first nobody asks meanwhile; the second is looked at; the third goes on elsewhere.
    ann, ben, cem = guest(), guest(), guest()
    readers = [Reader(who, TWO) for who in (ann, ben, cem)]
    with ben.follow(ONE) as (_, by_ben), cem.follow(ONE) as (_, by_cem):
        seen = [list(itertools.islice(events, 3)) for events in (by_ben, by_cem)]
        stage["app2"].cut()
        began = time.monotonic()
        seen[0] += by_ben
        seen[1] += by_cem
    assert time.monotonic() - began < 25
    for found in seen:
        assert found[-1][1] == "error" and found[-1][2]["code"] == "broken_off"
    for who, found in zip((ben, cem), seen, strict=True):
        state, text = last(who, ONE)
        # Nothing that anybody has seen is lost.
        assert state == "incomplete" and text == text_of(found) and text
    # nginx asks the others.
    assert {ann.http.get(f"{URL}/c").status_code for _ in range(6)} <= {200, 404, 405}
    about = {"message_id": cem.messages(ONE)[-1]["id"], "model": "sandbox/slow"}
    with cem.http.stream(
        "POST", f"{ONE}{cem.talk}/continue", json=about, headers=cem.headers
    ) as response:
        more = events(response)
        going_on = list(itertools.islice(more, 3))
        stage["app2"].mend()
        going_on += more
    for reader in readers:
        reader.join(30)
        assert not reader.is_alive()
    # Whose answer nobody took over goes on where it was.
    for who, reader in zip((ann, ben), readers, strict=False):
        assert reader.found[-1][1] == "done" and reader.text == WHOLE
        assert last(who, URL) == ("complete", WHOLE)
    # The one that went on elsewhere is that machine's alone.
    assert going_on[-1][1] == "done"
    state, text = last(cem, URL)
    assert state == "complete" and text == text_of(going_on)
    assert text.startswith(text_of(seen[1])) and text.endswith(WHOLE)
    assert readers[2].found[-1][1] in ("error", "done")


def told_again(stage) -> bool:
    with stage.redis() as redis:
        return len(redis.keys("*:answer:*")) > 0


@pytest.mark.long
def test_redis_is_cut_off_and_comes_back(stage, guest):
    stage.sandbox(pace=2)
    ann, ben = guest(), guest()
    reader = Reader(ann, ONE)
    with ExitStack() as stack:
        _, there = stack.enter_context(ann.follow(TWO))
        seen = list(itertools.islice(there, 3))
        stage["cache"].cut()
        began = time.monotonic()
        # Asking works, though each machine counts for itself now.
        with ben.ask(THREE, "sandbox/echo", "still there") as answer:
            assert text_of(answer) == "still there"
        assert time.monotonic() - began < 25
        seen += there
    # Who read elsewhere comes again, and is told what the database knows.
    assert seen[-1][1] == "delta"
    with ann.follow(TWO) as (status, again):
        assert status == 200
        anew = list(itertools.islice(again, 1))
        assert text_of(seen).startswith(text_of(anew)) or text_of(anew).startswith(text_of(seen))
    stage["cache"].mend()
    stage.sandbox(pace=0.2)
    reader.join(30)
    assert reader.text == WHOLE and reader.found[-1][1] == "done"
    assert last(ann, TWO) == ("complete", WHOLE)
    wait_for(lambda: told_again(stage))
    # Back again: all is told to the others, once each of them has asked anew.
    time.sleep(2.5)
    cleo = guest()
    with cleo.ask(ONE) as begun:
        first = list(itertools.islice(begun, 3))
        with cleo.follow(TWO) as (_, there):
            assert list(itertools.islice(there, 3)) == first
        cleo.post(f"{THREE}{cleo.talk}/stop")


def test_postgresql_is_cut_off_and_comes_back(stage, guest):
    stage.sandbox(pace=2)
    ann, ben = guest(), guest()
    # One answer ends while the database is away, the other goes on beyond that.
    words = " ".join(f"word{n}" for n in range(60))
    short, long = Reader(ann, ONE, "sandbox/echo", words), Reader(ben, TWO)
    stage["db"].cut()
    # Who asks now is told so in time, and nothing was taken.
    began = time.monotonic()
    refused = ann.post(f"{THREE}{ann.talk}/messages", json={"text": "now?"})
    assert refused.status_code == 503 and time.monotonic() - began < 25
    wait_for(lambda: short.text == words)
    seen = long.text
    wait_for(lambda: long.text != seen)
    stage["db"].mend()
    stage.sandbox(pace=0.1)
    for reader, text in ((short, words), (long, WHOLE)):
        reader.join(40)
        assert reader.found[-1][1] == "done" and reader.text == text
    assert last(ann, THREE) == ("complete", words)
    assert last(ben, THREE) == ("complete", WHOLE)
    assert [row["role"] for row in ann.messages(URL)] == ["user", "assistant"]
