"""The invariant of Connect, against any order of events.

Two browsers of two users, and an attacker's. A key is stored for an owner only if that owner's
browser began that flow in that login, in time, and only once; and no flow is exchanged twice.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from apiary import database
from apiary.crypto import new_key
from apiary.models import StoredConnection, StoredFlow
from apiary.oauth import flows, pkce
from apiary.sandbox import ACCOUNTS, Ask
from tests.conftest import LiveSandbox, MakeApp
from tests.security.world import led_to

COOKIE = "apiary_flow"
OWNERS = st.sampled_from(["ann", "bob", "mallory"])
BROWSERS = st.integers(0, 2)


@dataclass(eq=False)
class Window:
    """A browser, who is signed in, and since which login."""

    client: FlaskClient
    who: str | None = None
    login: object = field(default_factory=object)


@dataclass(eq=False)
class Attempt:
    """What should be so of one flow."""

    name: str
    owner: str
    login: object
    path: str
    verifier: str
    state: str = "waiting"
    #: The account whose key waits for an answer.
    held: str = ""
    age: int = 0


@dataclass(eq=False)
class Code:
    text: str
    challenge: str
    account: str
    used: bool = False


class Machine(RuleBasedStateMachine):
    app: Flask
    off: Flask
    sandbox: LiveSandbox

    attempts = Bundle("attempts")

    @initialize(lenient=st.booleans())
    def begin(self, lenient: bool) -> None:
        with self.app.app_context(), database.connection_context():
            StoredFlow.delete().execute()
            StoredConnection.delete().execute()
        self.sandbox.state.reset()
        self.sandbox.state.switches.lenient = self.lenient = lenient
        self.windows = [Window(self.app.test_client()) for _ in range(3)]
        for window, who in zip(self.windows, ("ann", "bob", "mallory"), strict=True):
            self.enter(window, who)
        self.all: list[Attempt] = []
        self.codes: list[Code] = []
        #: What should be stored: the version and the account, by owner.
        self.stored: dict[str, tuple[int, str]] = {}
        self.versions: Counter[str] = Counter()
        self.cancelled: set[tuple[str, str]] = set()
        self.exchanges = self.passed = 0

    # People

    def enter(self, window: Window, who: str) -> None:
        window.client.post(f"/in/{who}")
        window.who = who

    @rule(at=BROWSERS, who=OWNERS)
    def switch_account(self, at: int, who: str) -> None:
        self.enter(self.windows[at], who)

    @rule(at=BROWSERS, back=st.booleans())
    def sign_out(self, at: int, back: bool) -> None:
        window = self.windows[at]
        who = window.who
        window.client.post("/out")
        window.who, window.login = None, object()
        if back and who:
            self.enter(window, who)

    @rule(seconds=st.sampled_from([120, 250]))
    def time_passes(self, seconds: int) -> None:
        # After an hour flows are swept away, and links to them are only unknown.
        self.passed += seconds
        if self.passed > flows.KEPT - 300:
            return
        with self.app.app_context(), database.connection_context():
            StoredFlow.update(
                started=StoredFlow.started - seconds, taken=StoredFlow.taken - seconds
            ).execute()
            for one in self.all:
                flows.by_attempt(one.owner, one.name)
        for one in self.all:
            one.age += seconds
            if one.age > flows.LIFETIME:
                if one.state == "waiting":
                    one.state = "expired"
                elif one.held:
                    one.state, one.held = "cancelled", ""

    # Flows

    def start(self, window: Window, name: str) -> Attempt | None:
        answer = window.client.post(
            "/settings/openrouter/connect", data={"display": "popup", "attempt": name}
        )
        if window.who is None:
            assert answer.status_code == 401
            return None
        mine = [one for one in self.all if (one.owner, one.name) == (window.who, name)]
        if (window.who, name) in self.cancelled or (mine and mine[-1].state != "waiting"):
            assert answer.status_code == 409
            return None
        assert answer.status_code == 200
        for one in mine:
            one.state = "replaced"
        query = parse_qs(urlsplit(led_to(answer.text)).query)
        path = urlsplit(query["callback_url"][0]).path
        made = Attempt(
            name,
            window.who,
            window.login,
            path,
            window.client._cookies[("localhost", path, COOKIE)].value,
        )
        assert pkce.challenge(made.verifier) == query["code_challenge"][0]
        # A renewed attempt is the newest again.
        self.all = [one for one in self.all if one not in mine] + mine + [made]
        waiting = [
            one
            for one in self.all
            if (one.owner, one.login, one.state) == (made.owner, made.login, "waiting")
        ]
        for one in waiting[: -flows.WAITING_AT_ONCE]:
            one.state = "superseded"
        return made

    @rule(target=attempts, at=BROWSERS)
    def press_connect(self, at: int) -> Any:
        return self.start(self.windows[at], f"attempt-{len(self.all):016}") or multiple()

    @rule(target=attempts, at=BROWSERS, old=attempts)
    def press_connect_again(self, at: int, old: Attempt) -> Any:
        return self.start(self.windows[at], old.name) or multiple()

    def code_for(self, kind: str, attempt: Attempt, account: str) -> Code:
        """A code that the user was brought to make, in whatever browser."""
        if kind == "used" and self.codes:
            return self.codes[-1]
        # Whoever knows a challenge can ask for a code with it, under a name of their own.
        other = self.all[0] if kind == "another's" else attempt
        to = f"http://localhost{attempt.path}" if kind == "right" else "https://evil.example/"
        challenge = pkce.challenge(other.verifier)
        ask = Ask(callback_url=to, challenge=challenge, method="S256", label="x")
        made = Code(self.sandbox.state.issue(ask, account), challenge, account)
        self.codes.append(made)
        return made

    @rule(
        target=attempts,
        at=BROWSERS,
        to=BROWSERS,
        switch=st.sampled_from(["", "as owner", "as owner", "as another", "out and in"]),
        cookie=st.sampled_from(["stolen", "own", "tossed"]),
        wait=st.sampled_from([0, 0, 0, 120, 370]),
    )
    def begun_here_ended_there(self, at: int, to: int, switch: str, cookie: str, wait: int) -> Any:
        """The link is opened in some browser, with every piece an attacker could bring along."""
        attempt = self.press_connect(at)
        if not isinstance(attempt, Attempt):
            return attempt
        window = self.windows[to]
        if switch == "as owner":
            self.enter(window, attempt.owner)
        elif switch == "as another":
            self.enter(window, "bob" if attempt.owner == "ann" else "ann")
        elif switch:
            self.sign_out(to, True)
        if cookie != "own":
            verifier = attempt.verifier if cookie == "stolen" else self.all[0].verifier
            window.client.set_cookie(COOKIE, verifier, path=attempt.path)
        if wait:
            self.time_passes(wait)
        self.arrive(window, attempt, self.code_for("right", attempt, ACCOUNTS[0].id))
        return attempt

    @rule(attempt=attempts)
    def cookie_lost(self, attempt: Attempt) -> None:
        for window in self.windows:
            window.client._cookies.pop(("localhost", attempt.path, COOKIE), None)

    def comes_back(self, window: Window, attempt: Attempt, query: dict[str, Any]) -> bool:
        """Follow a link to the callback; whether that should count."""
        cookie = window.client._cookies.get(("localhost", attempt.path, COOKIE))
        mine = (
            attempt.state == "waiting"
            and window.who == attempt.owner
            and window.login is attempt.login
        )
        counts = mine and cookie is not None and cookie.value == attempt.verifier
        if mine and not counts:
            # Nobody can finish it any more.
            attempt.state = "failed"
        answer = window.client.get(attempt.path, query_string=query)
        assert answer.status_code == 303 and answer.data == b""
        assert urlsplit(answer.headers["Location"]).query == ""
        return counts

    @rule(
        attempt=attempts,
        at=st.sampled_from([-1, -1, -1, -1, 0, 1, 2]),
        kind=st.sampled_from(["right", "right", "evil", "another's", "used"]),
        account=st.sampled_from([0, 0, 1]),
    )
    def callback(self, attempt: Attempt, at: int, kind: str, account: int) -> None:
        """In its own browser (-1) or any other, with any code."""
        code = self.code_for(kind, attempt, ACCOUNTS[account].id)
        self.arrive(self.of(attempt) if at < 0 else self.windows[at], attempt, code)

    def of(self, attempt: Attempt) -> Window:
        """The browser that began it."""
        return next((w for w in self.windows if w.login is attempt.login), self.windows[0])

    def arrive(self, window: Window, attempt: Attempt, code: Code) -> None:
        if not self.comes_back(window, attempt, {"code": code.text}):
            return
        self.exchanges += 1
        fits = self.lenient or code.challenge == pkce.challenge(attempt.verifier)
        if code.used or not fits:
            attempt.state, code.used = "failed", True
            return
        code.used = True
        before = self.stored.get(attempt.owner)
        if before and before[1] != code.account:
            attempt.state, attempt.held, attempt.age = "exchanging", code.account, 0
        else:
            self.keep(attempt, code.account)

    @rule(attempt=attempts, at=BROWSERS, answer=st.sampled_from(["", "access_denied"]))
    def deny(self, at: int, attempt: Attempt, answer: str) -> None:
        if self.comes_back(self.windows[at], attempt, {"error": answer} if answer else {}):
            attempt.state = "denied"

    @rule(attempt=attempts)
    def flag_goes_off(self, attempt: Attempt) -> None:
        client = self.off.test_client()
        client._cookies = dict(self.of(attempt).client._cookies)
        code = self.code_for("right", attempt, ACCOUNTS[0].id)
        assert client.get(attempt.path, query_string={"code": code.text}).status_code == 404

    @rule(at=BROWSERS, attempt=attempts)
    def cancel(self, at: int, attempt: Attempt) -> None:
        window = self.windows[at]
        if window.who is None:
            return
        window.client.post(f"/settings/openrouter/flows/{attempt.name}/cancel")
        mine = [one for one in self.all if (one.owner, one.name) == (window.who, attempt.name)]
        if not mine:
            self.cancelled.add((window.who, attempt.name))
        elif mine[-1].state == "waiting" or mine[-1].held:
            mine[-1].state, mine[-1].held = "cancelled", ""

    @rule(at=BROWSERS, attempt=attempts)
    def replace(self, at: int, attempt: Attempt) -> None:
        window = self.windows[at]
        if window.who is None:
            return
        window.client.post(f"/settings/openrouter/flows/{attempt.name}/replace")
        mine = [one for one in self.all if (one.owner, one.name) == (window.who, attempt.name)]
        if mine and mine[-1].held:
            account, mine[-1].held = mine[-1].held, ""
            self.keep(mine[-1], account)

    @rule(at=BROWSERS)
    def disconnect(self, at: int) -> None:
        window = self.windows[at]
        window.client.post("/settings/openrouter/disconnect")
        if window.who and self.stored.pop(window.who, None):
            self.versions[window.who] += 1

    def keep(self, attempt: Attempt, account: str) -> None:
        attempt.state = "connected"
        self.versions[attempt.owner] += 1
        self.stored[attempt.owner] = (self.versions[attempt.owner], account)
        for one in self.all:
            if one.owner == attempt.owner and one.state == "waiting":
                one.state = "superseded"

    # What must hold after each step

    @invariant()
    def only_what_was_earned_is_stored(self) -> None:
        with self.app.app_context(), database.connection_context():
            rows = list(StoredConnection.select().where(StoredConnection.state != "none"))
            states = {(row.owner, row.attempt): row.state for row in StoredFlow.select()}
        assert {row.owner: (row.version, row.account) for row in rows} == self.stored
        for one in self.all:
            if one.state != "replaced":
                assert states[one.owner, one.name] == one.state

    @invariant()
    def no_flow_is_exchanged_twice(self) -> None:
        sent = [
            entry.body["code_verifier"]
            for entry in self.sandbox.state.journal.entries("/api/v1/auth/keys", "POST")
        ]
        assert len(sent) == len(set(sent)) == self.exchanges
        assert set(sent) <= {one.verifier for one in self.all}


@pytest.mark.timeout(110)
def test_any_order_of_events(make_app: MakeApp, sandbox: LiveSandbox, tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'machine.sqlite3'}"
    ring = new_key("k1")

    class Here(Machine):
        app = make_app(APIARY_DATABASE_URL=url, APIARY_ENCRYPTION_KEYS=ring)
        off = make_app(APIARY_DATABASE_URL=url, APIARY_ENCRYPTION_KEYS=ring, OPENROUTER_OAUTH="0")

    Here.sandbox = sandbox
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=40,
            stateful_step_count=20,
            deadline=None,
            database=None,
            # Making a failure small would take minutes.
            phases=[Phase.generate],
            derandomize=bool(os.environ.get("CI")),
            suppress_health_check=list(HealthCheck),
        ),
    )
