"""The real server with a clock that is set forward or back by an hour in the middle of things.

machine.c stands between the server's processes and the system's clock.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from apiary.crypto import new_key
from tests.conftest import LiveSandbox
from tests.faults.machine import Machine
from tests.faults.story import Reading, Server, Visitor
from tests.host.browsing import until
from tests.postgres import Postgres

HOUR = 3600
SetClock = Callable[[int], None]
both_ways = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])


@pytest.fixture
def clock(machine: Machine) -> Callable[[int], None]:
    return machine.clock


@pytest.fixture
def environ(machine: Machine) -> dict[str, str]:
    return machine.environ


def date(server: Server) -> float:
    return parsedate_to_datetime(httpx.get(server.url + "/healthz").headers["Date"]).timestamp()


def read_while_seen(answer: Reading, other: Visitor) -> None:
    """Read on to the end; for who looks meanwhile it runs, and cannot be asked again."""
    for _ in range(3):
        page = other.http.get(f"/c/{answer.talk}", headers={"Accept": "text/html"}).text
        assert "broke off" not in page
        busy = other.post(f"/c/{answer.talk}/retry", json={})
        assert busy.status_code == 409 and busy.json()["code"] == "busy"
        answer.read(until=0.3)
    answer.read()


sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@both_ways
def test_between_the_click_and_the_callback(
    server: Server, visitor: Visitor, sandbox: LiveSandbox, clock: SetClock, jump: int
) -> None:
    back = visitor.begin(sandbox)
    clock(jump)
    assert abs(date(server) - time.time() - jump) < 60, "the server's clock was not set"
    assert visitor.http.get(back).status_code == 303
    assert visitor.flow()["state"] == "expired" and "Nothing was saved" in visitor.flow()["message"]
    assert visitor.card()["state"] == "none"
    # It stays used up when the clock is put right again.
    clock(0)
    visitor.http.get(back)
    assert visitor.flow()["state"] == "expired" and sandbox.exchanges == 0
    visitor.http.get(visitor.begin(sandbox, "second-0123456789a"))
    assert visitor.card()["state"] == "connected" and sandbox.exchanges == 1


@sqlite_only
@both_ways
def test_in_the_middle_of_the_exchange(
    server: Server, visitor: Visitor, sandbox: LiveSandbox, clock: SetClock, jump: int
) -> None:
    back = visitor.begin(sandbox)
    sandbox.state.switches.exchange_delay = 3
    with pytest.raises(httpx.HTTPError):
        visitor.http.get(back, timeout=0.7)
    clock(jump)
    # Who looks sees an exchange that takes far too long; the one who makes it knows better.
    assert visitor.flow()["state"] in {"exchanging", "lost"}
    until(lambda: visitor.card()["state"] == "connected")
    assert visitor.flow()["state"] == "connected"
    visitor.http.get(back)
    assert sandbox.exchanges == 1


@sqlite_only
@both_ways
def test_an_exchange_that_died_ends(
    server: Server, visitor: Visitor, sandbox: LiveSandbox, clock: SetClock, jump: int
) -> None:
    back = visitor.begin(sandbox)
    sandbox.state.switches.exchange_delay = 3
    with pytest.raises(httpx.HTTPError):
        visitor.http.get(back, timeout=0.7)
    server.kill()
    clock(jump)
    server.start()
    assert visitor.flow()["state"] == "lost" and "delete it there" in visitor.flow()["message"]
    visitor.http.get(back)
    assert sandbox.exchanges == 1 and visitor.card()["state"] == "none"


@both_ways
def test_in_the_middle_of_an_answer(
    server: Server, visitor: Visitor, sandbox: LiveSandbox, clock: SetClock, jump: int
) -> None:
    visitor.connect(sandbox)
    sandbox.state.switches.pace = 0.4
    with visitor.ask("Tell me") as answer:
        answer.read(until=1.5)
        clock(jump)
        other = Visitor(server.url)
        other.http.cookies = visitor.http.cookies
        other.token = visitor.token
        read_while_seen(answer, other)
        other.http.close()
    assert answer.kind == "done" and answer.data["finish_reason"] == "stop"
    saved = visitor.messages(answer.talk)
    assert [m["role"] for m in saved] == ["user", "assistant"] and saved[1]["text"] == answer.text


@sqlite_only
@both_ways
def test_an_answer_that_died_can_be_asked_again(
    server: Server, visitor: Visitor, sandbox: LiveSandbox, clock: SetClock, jump: int
) -> None:
    visitor.connect(sandbox)
    sandbox.state.switches.pace = 0.4
    with visitor.ask("Tell me") as answer:
        answer.read(until=1.5)
        server.kill()
    clock(jump)
    server.start()
    page = visitor.http.get(f"/c/{answer.talk}", headers={"Accept": "text/html"}).text
    assert "broke off" in page
    again = visitor.post(f"/c/{answer.talk}/retry", json={"model": "sandbox/echo"})
    assert again.status_code == 200 and "event: done" in again.text


@sqlite_only
@both_ways
def test_nobody_is_signed_out(
    server: Server, visitor: Visitor, sandbox: LiveSandbox, clock: SetClock, jump: int
) -> None:
    visitor.connect(sandbox)
    clock(jump)
    # A guest has nothing but the cookie: without it all would be lost.
    assert visitor.card()["state"] == "connected"
    name = {"name": "Maya", "password": "correct horse"}
    assert visitor.post("/sign-up", data=name).status_code == 303
    clock(0)
    assert visitor.card()["state"] == "connected"
    assert "Maya" in visitor.http.get("/account").text


@sqlite_only
def test_who_guesses_gets_no_new_tries_when_the_clock_is_set_back(
    server: Server, visitor: Visitor, clock: SetClock
) -> None:
    def guess(word: str) -> httpx.Response:
        return visitor.post("/sign-in", data={"name": "Maya", "password": word})

    assert {guess(f"wrong horse {n}").status_code for n in range(10)} == {400}
    refused = guess("one more")
    clock(-HOUR)
    later = guess("one more")
    assert (refused.status_code, later.status_code) == (429, 429)
    waits = [int(answer.headers["Retry-After"]) for answer in (refused, later)]
    assert all(1 <= wait <= 300 for wait in waits)


@pytest.fixture
def ahead_and_right(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    sandbox: LiveSandbox,
    library: Path,
    postgres: Postgres,
    new_postgres: Callable[[], str],
    redis_url: str,
) -> Iterator[tuple[Visitor, Visitor]]:
    """One person at two machines of a site, of which the first is ahead by an hour."""
    shared = {
        "APIARY_REDIS_URL": redis_url,
        "APIARY_SECRET_KEY": secrets.token_urlsafe(48),
        "APIARY_ENCRYPTION_KEYS": new_key("k1"),
        "APIARY_MOST_ANSWERS": getattr(request, "param", ""),
    }
    url, servers, visitors = new_postgres(), [], []
    try:
        for name, seconds in (("a", HOUR), ("b", 0)):
            (tmp_path / name).mkdir()
            one = Machine(tmp_path / name, library)
            one.clock(seconds)
            servers.append(Server(tmp_path / name, sandbox, url, postgres, **one.environ, **shared))
            servers[-1].start()
            visitors.append(Visitor(servers[-1].url))
        ahead, right = visitors
        right.http.cookies, right.token = ahead.http.cookies, ahead.token
        ahead.connect(sandbox)
        assert right.card()["state"] == "connected"
        yield ahead, right
    finally:
        for visitor in visitors:
            visitor.http.close()
        for server in servers:
            server.kill()


def test_two_machines_whose_clocks_differ(
    ahead_and_right: tuple[Visitor, Visitor], sandbox: LiveSandbox
) -> None:
    """What one machine writes is not dead to the other, and who is known to one is to both."""
    ahead, right = ahead_and_right
    sandbox.state.switches.pace = 0.4
    with ahead.ask("Tell me") as answer:
        answer.read(until=1.5)
        read_while_seen(answer, right)
    assert answer.kind == "done" and right.messages(answer.talk)[1]["text"] == answer.text


@pytest.mark.parametrize("ahead_and_right", ["1"], indirect=True)
def test_a_place_is_taken_by_everybodys_clock(
    ahead_and_right: tuple[Visitor, Visitor], sandbox: LiveSandbox
) -> None:
    """One answer may run on this site: neither clock makes the other's look over."""
    sandbox.state.switches.pace = 0.4
    question = {"text": "Me too", "provider": "openrouter", "model": "sandbox/echo"}
    for one, other in (ahead_and_right, ahead_and_right[::-1]):
        talk = other.post("/c").json()["id"]
        with one.ask("Tell me") as answer:
            answer.read(until=1)
            refused = other.post(f"/c/{talk}/messages", json=question)
            assert refused.status_code == 503 and refused.json()["code"] == "server_busy"
            answer.read()
        assert answer.kind == "done"
        # It was given back with the end, and not only run out.
        assert "event: done" in other.post(f"/c/{talk}/messages", json=question).text
