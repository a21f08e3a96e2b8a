"""Readers of answers: so many and no more, and none whose session is over."""

import itertools
import re
import secrets
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from apiary.host.answers import MOST_READERS
from tests.scale.running import app, wait_for


def member(person, base, name):
    """Somebody who has signed up and may write; the token changes with the session."""
    made = person(base)
    fields = {"name": name, "password": "correct horse"}
    assert made.post(f"{base}/sign-up", data=fields).status_code == 303
    renew(made, base)
    return made


def renew(made, base):
    page = made.http.get(f"{base}/sign-in").text
    found = re.search(r'name="csrf-token" content="([^"]+)"', page)
    made.headers["X-CSRFToken"] = found[1]


class Reading(threading.Thread):
    """Reads to the end; says whether that came, and what was read."""

    def __init__(self, events):
        super().__init__(daemon=True)
        self.events = events
        self.read = []
        self.ended = False
        self.start()

    def run(self):
        try:
            for event in self.events:
                self.read.append(event)
        except httpx.HTTPError:
            pass
        self.ended = True


def test_a_server_full_of_readers(site, sandbox, person):
    """Who comes too late is told when to come again, and everything else is still answered."""
    sandbox.state.switches.pace = 2.0
    (_, one), (_, two) = site(), site(threads=8)
    with ExitStack() as stack:
        ann, bob = person(one), person(one)
        next(stack.enter_context(ann.ask(one)))
        next(stack.enter_context(bob.ask(one)))
        for _ in range(3):
            assert stack.enter_context(ann.follow(two))[0] == 200
        first = stack.enter_context(ExitStack())
        assert first.enter_context(bob.follow(two))[0] == 200
        # Four of eight threads read.
        late = bob.http.get(f"{two}{bob.talk}/stream", headers=bob.headers)
        assert late.status_code == 503
        assert late.json()["code"] == "server_busy" and late.json()["message"].endswith(".")
        assert int(late.headers["Retry-After"]) > 0
        # HTTP/1.0 knows no chunks: such a reader holds a thread also where the answer is written.
        eve = person(two)
        with eve.ask(two) as begun:
            next(begun)
            head = old(two, f"{eve.talk}/stream", eve.http.cookies)
            assert head.startswith("HTTP/1.") and " 503 " in head.split("\r\n")[0]
            # Who needs no thread is served.
            with eve.follow(two) as (status, _):
                assert status == 200
        assert httpx.get(f"{two}/healthz", timeout=15).status_code == 200
        assert bob.http.get(f"{two}/", timeout=15).status_code == 200
        # One goes; the server hears of it with the next word that it sends.
        first.close()
        wait_for(lambda: _status(bob, two) == 200)


def _status(who, base):
    with who.follow(base) as (status, _):
        return status


def test_a_question_that_is_sent_again_holds_no_thread(tmp_path, sandbox, person):
    """Its readers are as those who come by the address of the stream."""
    sandbox.state.switches.pace = 2.0
    with app(tmp_path, sandbox.url, threads=4) as (_, base), ExitStack() as stack:
        ann, reading = person(base), []
        for one in (ann, ann.another(base)):
            body = {"text": "count", "model": "sandbox/slow", "id": secrets.token_urlsafe(16)}
            for _ in range(MOST_READERS):
                ask = one.http.stream(
                    "POST", f"{base}{one.talk}/messages", json=body, headers=one.headers, timeout=8
                )
                response = stack.enter_context(ask)
                assert response.status_code == 200
                # Kept: an iterator that nobody holds closes its connection.
                reading.append(response.iter_raw())
                assert next(reading[-1])
        assert httpx.get(f"{base}/sign-in", timeout=5).status_code == 200


def test_pages_that_wait_for_an_answer_leave_threads_for_others(tmp_path, sandbox, person):
    """Without scripts; who finds no thread to wait on sees what there is so far."""
    sandbox.state.switches.pace = 2.0
    with app(tmp_path, sandbox.url, threads=4) as (_, base), ThreadPoolExecutor(5) as pool:

        def ask(one):
            fields = {"text": "count", "model": "sandbox/slow"}
            fields["csrf_token"] = one.headers["X-CSRFToken"]
            return one.http.post(f"{base}{one.talk}/messages", data=fields).status_code

        people = [person(base) for _ in range(5)]
        asked = [pool.submit(ask, one) for one in people]
        wait_for(lambda: sum(one.done() for one in asked) == 3)
        assert httpx.get(f"{base}/sign-in", timeout=12).status_code == 200
        sandbox.state.switches.pace = 0.001
        for one in people:
            one.post(f"{base}{one.talk}/stop")
        assert [one.result() for one in asked] == [303] * 5


def old(base, path, cookies):
    """The head of an answer to HTTP/1.0."""
    place = httpx.URL(base)
    jar = "; ".join(f"{name}={value}" for name, value in cookies.items())
    with socket.create_connection((place.host, place.port), timeout=10) as wire:
        asked = f"GET {path} HTTP/1.0\r\nHost: {place.netloc.decode()}\r\nCookie: {jar}\r\n\r\n"
        wire.sendall(asked.encode())
        return wire.recv(4096).decode()


@pytest.mark.parametrize("site", [False, True], ids=["alone", "redis"], indirect=True)
def test_of_many_readers_elsewhere_the_last_stay(site, sandbox, person):
    sandbox.state.switches.pace = 2.0
    (_, one), (_, two) = site(), site()
    ann = person(one)
    with ann.ask(one) as begun, ExitStack() as stack:
        next(begun)
        readers = []
        for _ in range(MOST_READERS + 2):
            status, events = stack.enter_context(ann.follow(two))
            assert status == 200
            readers.append(Reading(events))
        wait_for(lambda: all(reader.ended for reader in readers[:2]))
        assert not any(reader.ended for reader in readers[2:])
        assert ann.post(f"{one}{ann.talk}/stop").status_code in (204, 303)
        for reader in readers[2:]:
            reader.join(15)
            assert reader.read[-1][1] == "done"


# How it ends and how the others hear of it have nothing to do with each other.
@pytest.mark.parametrize(
    ("how", "site"),
    [("everywhere", False), ("password", True)],
    ids=["everywhere-alone", "password-redis"],
    indirect=["site"],
)
def test_who_is_signed_out_elsewhere_reads_no_further(site, sandbox, person, how):
    """Both the stream of who asked, in the process that writes, and one in another process."""
    sandbox.state.switches.pace = 2.0
    (_, one), (_, two), (_, three) = site(), site(), site()
    ada = member(person, one, "Ada")
    ada.talk = f"/c/{ada.post(f'{one}/c', json={}).json()['id']}"
    thief = person(one)
    thief.http.cookies = httpx.Cookies(ada.http.cookies)
    thief.headers, thief.talk = dict(ada.headers), ada.talk
    with thief.ask(one) as asked, thief.follow(two) as (_, followed):
        next(asked), next(followed)
        readers = [Reading(asked), Reading(followed)]
        if how == "everywhere":
            done = ada.post(f"{three}/account/sign-out-everywhere")
        else:
            fields = {"password": "correct horse", "new_password": "battery staple"}
            done = ada.post(f"{three}/account/password", data=fields)
        assert done.status_code == 303
        for reader in readers:
            reader.join(30)
            assert reader.ended
            assert not [kind for _, kind, _ in reader.read if kind in ("done", "error")]
        assert thief.http.get(f"{two}{ada.talk}/stream").status_code in (303, 401, 404)
    if how == "everywhere":
        renew(ada, two)
        fields = {"name": "Ada", "password": "correct horse"}
        assert ada.post(f"{two}/sign-in", data=fields).status_code == 303
    renew(ada, two)
    # The answer goes on, and its owner reads it to the end.
    sandbox.state.switches.pace = 0.01
    with ada.follow(two) as (status, events):
        assert status == 200
        assert list(itertools.islice(events, 1))
