"""Two app processes, PostgreSQL and Redis: an answer belongs to the site, not to a process."""

import itertools
import json
import os
import signal
import time

from tests.scale.running import Person, events, text_of, workers


def wait_for(what, seconds=15.0):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def kill(server):
    """As the machine would, with all that it runs."""
    for pid in workers(server):
        os.kill(pid, signal.SIGKILL)
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_an_answer_is_followed_and_stopped_elsewhere(site, sandbox, person):
    sandbox.state.switches.pace = 0.8
    (_, one), (_, two) = site(), site()
    ann = person(one)
    with ann.ask(one) as begun:
        first = list(itertools.islice(begun, 3))
        with ann.follow(two, after=first[1][0]) as (status, there):
            assert status == 200
            assert next(there) == first[2]
            seen = list(itertools.islice(there, 2))
            assert [number - first[2][0] for number, _, _ in seen] == [1, 2]
            with ann.follow(two) as (_, anew):
                assert list(itertools.islice(anew, 3)) == first
            assert ann.post(f"{two}{ann.talk}/stop").status_code in (204, 303)
            seen += there
            assert seen[-1][1:] == ("done", seen[-1][2])
        first += begun
    assert first[-1] == seen[-1]
    row = ann.messages(two)[-1]
    assert (row["state"], row["text"]) == ("stopped", text_of(first))


def test_a_killed_process_leaves_an_answer_that_can_go_on(site, sandbox, person):
    sandbox.state.switches.pace = 0.3
    (server, one), (_, two) = site(), site()
    ann = person(one)
    with ann.ask(one) as begun:
        list(itertools.islice(begun, 4))
        with ann.follow(two) as (_, there):
            seen = list(itertools.islice(there, 4))
            kill(server)
            began = time.monotonic()
            seen += there
    assert seen[-1][1] == "error" and seen[-1][2]["code"] == "broken_off"
    assert time.monotonic() - began < 25
    row = ann.messages(two)[-1]
    # Nothing that anybody has seen is lost.
    assert (row["state"], row["text"]) == ("incomplete", text_of(seen))
    sandbox.state.switches.pace = 0.01
    about = {"message_id": row["id"], "model": "sandbox/echo"}
    answer = ann.post(f"{two}{ann.talk}/continue", json=about)
    assert answer.status_code == 200 and "event: done" in answer.text
    assert ann.messages(two)[-1]["state"] == "complete"


def test_who_was_away_while_it_went_on_is_told_to_read_anew(site, sandbox, person):
    sandbox.state.switches.pace = 0.3
    (_, one), (_, two) = site(), site()
    ann = person(one)
    with ann.ask(one) as begun:
        old = list(itertools.islice(begun, 3))[-1][0]
        next(begun)
        ann.post(f"{two}{ann.talk}/stop")
    about = {"message_id": ann.messages(two)[-1]["id"], "model": "sandbox/slow"}
    url = f"{two}{ann.talk}/continue"
    with ann.http.stream("POST", url, json=about, headers=ann.headers) as response:
        going = events(response)
        new = list(itertools.islice(going, 4))
        for base in (one, two):
            # The numbers of before are no places in what is written now.
            with ann.follow(base, after=old) as (status, _):
                assert status == 204, base
            with ann.follow(base, after=new[1][0]) as (status, there):
                assert status == 200 and next(there) == new[2]
        ann.post(f"{one}{ann.talk}/stop")
        new += going
    for base in (one, two):
        with ann.follow(base, after=old) as (status, _):
            assert status == 204, base
        with ann.follow(base, after=new[1][0]) as (status, there):
            assert status == 200 and list(there) == new[2:]


def test_without_redis_an_answer_goes_on_and_is_saved(site, sandbox, person, cable):
    sandbox.state.switches.pace = 0.2
    (_, one), (_, two) = site(APIARY_REDIS_URL=f"redis://127.0.0.1:{cable.port}/0"), site()
    ann = person(one)
    with ann.ask(one) as begun:
        first = list(itertools.islice(begun, 3))
        cable.pull()
        # Limits count in memory now: asking still works.
        assert ann.post(f"{one}/c", json={}).status_code == 201
        first += itertools.islice(begun, 3)
        cable.pulled = False
        # Back again: others hear all of it, under the same numbers.
        with ann.follow(two) as (status, there):
            assert status == 200
            assert list(itertools.islice(there, 4)) == first[:4]
        first += begun
    assert first[-1][1] == "done"
    row = ann.messages(two)[-1]
    assert (row["state"], row["text"]) == ("complete", text_of(first))


def test_places_are_counted_together_and_those_of_the_dead_are_free_again(site, sandbox, person):
    sandbox.state.switches.pace = 3
    most = {"APIARY_MOST_ANSWERS": "5"}
    (server, one), (_, two) = site(**most), site(**most)
    ann, ben, cem = person(one), person(one), person(two)

    def asks(who, base, talk=None):
        """What somebody is told who asks in a conversation and leaves."""
        talk = talk or who.another(base)
        body, url = {"text": "count", "model": "sandbox/slow"}, f"{base}{talk.talk}/messages"
        with who.http.stream("POST", url, json=body, headers=who.headers) as response:
            if response.status_code == 200:
                return talk
            return response.status_code, json.loads(response.read())["code"]

    talks = [asks(ann, base) for base in (one, two, one)]
    assert all(isinstance(talk, Person) for talk in talks), talks
    # Three for each person, wherever; five for all.
    assert asks(ann, two) == (429, "too_many_answers")
    mine = asks(ben, one)
    assert isinstance(asks(cem, two), Person)
    assert asks(cem, two) == (503, "server_busy")
    # A place that is left is free at once, those of a killed process after a while.
    assert ben.post(f"{two}{mine.talk}/stop").status_code in (204, 303)
    spare, more = cem.another(two), ann.another(two)
    wait_for(lambda: isinstance(asks(cem, two, spare), Person), 5)
    kill(server)
    wait_for(lambda: time.sleep(1) or isinstance(asks(ann, two, more), Person))
