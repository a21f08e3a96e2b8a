"""Nothing can be tried without end, whatever a request says about where it comes from."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from apiary.host import accounts, limits, tries
from apiary.host.tables import Account, Conversation
from apiary.models import StoredFlow
from tests.host.browsing import Browser, rows
from tests.host.conftest import MakeHost
from tests.security.world import PASSWORD

#: What is limited, with one try of it by somebody, and how often each person may.
TRIES: dict[str, tuple[str, dict[str, str], int]] = {
    "connect": ("/settings/openrouter/connect", {}, 60),
    "paste": ("/settings/openai/key", {"api_key": "no"}, 20),
    "check": ("/settings/openai/check", {}, 20),
    "ask": ("/ask", {"text": "Bees?"}, 60),
    "create": ("/c", {}, 60),
}

#: What has limits of its own, and what only changes a few values of one's own rows.
OTHERWISE = {
    "accounts.sign_out", "accounts.sign_out_everywhere", "accounts.choose_language",
    "apiary.disconnect", "apiary.replace", "apiary.paste_code",
    "chat.delete", "chat.path", "chat.rename", "chat.stop",
    "shelf.pin", "shelf.unpin", "shelf.restore",
    "shelf.move", "shelf.rename_folder", "shelf.delete_folder",
    "attachments.drop", "instructions.keep", "instructions.keep_default",
}  # fmt: skip


@pytest.fixture
def app(make_host: MakeHost) -> Flask:
    return make_host(APIARY_LIMITS=True, OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are slow on purpose; here they would only be slow."""
    monkeypatch.setattr(accounts, "check_password_hash", lambda stored, given: given == stored)
    monkeypatch.setattr(accounts, "generate_password_hash", lambda given, **_: given)
    monkeypatch.setattr(accounts, "_dummy_hash", lambda: "nobody has this one")


def spend(app: Flask, rule: limits.Rule, key: str, count: int) -> None:
    """Let so many tries have been counted."""
    with app.app_context():
        counted: tries.Tries = app.extensions["apiary.host"].tries
        counted.take(rule.window, limits.hidden(key), rule.name, cost=count)


def one(browser: Browser, path: str, fields: dict[str, str], **more: Any) -> TestResponse:
    headers = {"X-CSRFToken": browser.token(), "Accept": "text/html"} | more.pop("headers", {})
    with browser.client.post(path, data=fields, headers=headers, **more) as answer:
        return answer


def refused(answer: TestResponse) -> bool:
    """Whether it was too often; then it says so in a sentence, and when to come again."""
    if answer.status_code != 429:
        return False
    assert 1 <= int(answer.headers["Retry-After"]) <= 24 * 3600
    assert "too often" in answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    return True


def until_refused(try_it: Callable[[int], TestResponse], most: int) -> int:
    """How many tries there were before the first refusal."""
    return next((n for n in range(most + 1) if refused(try_it(n))), most + 1)


def test_no_twin_is_forgotten(app: Flask) -> None:
    """Whatever changes something was thought of, also where two routes do the same."""
    changing = {
        rule.endpoint for rule in app.url_map.iter_rules() if "POST" in (rule.methods or set())
    }
    reading = {end for end, rules in limits.COSTLY.items() if any(r.reads for r in rules)}
    assert changing - OTHERWISE == set(limits.COSTLY) - (reading - changing)
    assert reading == {
        "operator.show", "chat.stream", "accounts.export", "search.index",
        "usage.index", "usage.table",
    }  # fmt: skip
    assert reading <= {rule.endpoint for rule in app.url_map.iter_rules()}


def test_cancelling_what_never_began(app: Flask) -> None:
    browser = Browser(app)

    def cancel(n: int) -> TestResponse:
        return one(browser, f"/settings/openrouter/flows/attempt-of-nobody-{n}/cancel", {})

    assert until_refused(cancel, 100) == 60
    assert rows(app, StoredFlow) == 60


@pytest.mark.parametrize("what", TRIES)
def test_each_person(app: Flask, what: str) -> None:
    path, fields, allowed = TRIES[what]
    browser = Browser(app)
    assert until_refused(lambda _: one(browser, path, fields), 100) == allowed
    # Somebody else from elsewhere is not held up.
    other = {"REMOTE_ADDR": "198.51.100.7"}
    assert one(Browser(app), path, fields, environ_overrides=other).status_code != 429


@pytest.mark.parametrize("what", ["connect", "paste", "ask"])
def test_each_address_whoever_they_say_they_are(app: Flask, what: str) -> None:
    """200 guests with 200 forwarded addresses: no proxy is trusted, so they are one address."""
    path, fields, _ = TRIES[what]
    if what == "ask":
        # The first 500 quickly.
        spend(app, limits.COSTLY["chat.first"][1], "127.0.0.0/24", 500)

    def as_new(n: int) -> TestResponse:
        forged = f"203.0.{n // 250}.{n % 250}"
        headers = {
            "X-Forwarded-For": forged,
            "X-Real-IP": forged,
            "Forwarded": f"for={forged}",
            "CF-Connecting-IP": forged,
            "True-Client-IP": forged,
        }
        return one(Browser(app), path, fields, headers=headers)

    assert until_refused(as_new, 200) <= 200


def test_only_the_trusted_proxy_s_word_counts(make_host: MakeHost) -> None:
    """With one hop the last address counts, which the proxy itself has written."""
    app = make_host(APIARY_LIMITS=True, OPENROUTER_OAUTH="1", APIARY_PROXY_HOPS="1")
    path, fields, _ = TRIES["connect"]

    def by(address: str) -> Callable[[int], TestResponse]:
        def try_it(n: int) -> TestResponse:
            headers = {"X-Forwarded-For": f"203.0.113.{n}, 10.{n}.0.1, {address}"}
            return one(Browser(app), path, fields, headers=headers)

        return try_it

    rule = limits.COSTLY["apiary.connect"][1]
    spend(app, rule, "198.51.100.0/24", rule.count - 20)
    assert until_refused(by("198.51.100.1"), 200) == 20
    assert not refused(by("192.0.2.1")(0))


def test_signing_in_and_up(app: Flask) -> None:
    def in_as(n: int) -> TestResponse:
        browser = Browser(app)
        return one(
            browser,
            "/sign-in",
            {"name": f"{n}", "password": "x"},
            headers={"X-Forwarded-For": f"203.0.113.{n % 250}"},
        )

    spend(app, limits.SIGN_IN[0], "127.0.0.0/24", 198)
    assert until_refused(in_as, 5) == 2
    spend(app, limits.COSTLY["accounts.sign_up"][0], "127.0.0.0/24", 298)
    fields = {"name": "", "password": "x"}
    assert until_refused(lambda _: one(Browser(app), "/sign-up", fields), 5) == 2


def guess(
    app: Flask, network: int, name: str = " ADA ", who: Browser | None = None
) -> TestResponse:
    where = {"REMOTE_ADDR": f"198.51.{network}.1"}
    fields = {"name": name, "password": "wrong"}
    return one(who or Browser(app), "/sign-in", fields, environ_overrides=where)


def test_one_name_from_one_network(app: Flask) -> None:
    Browser(app).sign_up("Ada", PASSWORD)
    for name in (" ADA ", "Nobody"):
        assert until_refused(lambda _, name=name: guess(app, 1, name), 30) == 10
        # From elsewhere it can still be entered.
        assert not refused(guess(app, 2, name))


def test_one_guesser_with_many_networks(app: Flask) -> None:
    """Who rents IPv6 has 65,536 of the smallest, and locks nobody out with all of them."""
    Browser(app).sign_up("Ada", PASSWORD)

    def one_of_many(n: int) -> TestResponse:
        where = {"REMOTE_ADDR": f"2001:db8:1:{n:x}::1"}
        fields = {"name": "Ada", "password": "wrong"}
        return one(Browser(app), "/sign-in", fields, environ_overrides=where)

    assert until_refused(one_of_many, 30) == 10


def test_one_name_from_everywhere(app: Flask) -> None:
    """What can be guessed in a day is bounded, and who has the account is not locked out."""
    ada, away = Browser(app), Browser(app)
    ada.sign_up("Ada", PASSWORD)
    away.sign_in("Ada", PASSWORD)
    # Once it was a stranger's browser itself.
    spend(app, limits.SIGN_IN[-1], "ada", 996)
    spend(app, limits.SIGN_IN[-1], "nobody", 997)
    for name in ("ada", "nobody"):
        assert until_refused(lambda n, name=name: guess(app, n, name), 30) == 3
    with Browser(app).sign_in("Ada", PASSWORD) as shut:
        assert shut.status_code == 429
    for known in (ada, away):
        known.form("/sign-out")
        assert known.sign_in("Ada", PASSWORD).status_code == 303
        assert until_refused(lambda n, known=known: guess(app, 9, "Ada", known), 30) == 10
    # Tries that succeed are not held against anybody.
    assert until_refused(lambda n: guess(app, 7, "Bruno", ada), 30) == 10


@pytest.mark.parametrize("how", ["password", "everywhere", "delete", "forged", "other"])
def test_a_browser_that_is_not_known_any_more(app: Flask, how: str) -> None:
    ada, thief = Browser(app), Browser(app)
    ada.sign_up("Ada", PASSWORD)
    kept = ada.client.get_cookie("apiary_device").value
    match how:
        case "password":
            ada.form("/account/password", password=PASSWORD, new_password=PASSWORD + "!")
            assert ada.client.get_cookie("apiary_device").value != kept
        case "everywhere":
            ada.form("/account/sign-out-everywhere")
        case "delete":
            ada.form("/account/delete", password=PASSWORD, sure="y")
            assert ada.client.get_cookie("apiary_device") is None
        case "forged":
            kept = kept.partition(".")[0] + "." + "A" * 27
        case "other":
            thief.sign_up("Eve", PASSWORD)
            kept = thief.client.get_cookie("apiary_device").value
    thief.client.set_cookie("apiary_device", kept)
    spend(app, limits.SIGN_IN[-1], "ada", 1000)
    assert refused(guess(app, 1, "Ada", thief))


def test_the_operator_s_token_at_both_doors(make_host: MakeHost) -> None:
    app = make_host(APIARY_LIMITS=True, APIARY_OPERATOR_TOKEN="right" * 4)
    client = app.test_client()

    def ask(n: int, token: str = "wrong", scheme: str = "Bearer") -> TestResponse:
        headers = {"Authorization": f"{scheme} {token}", "Accept": "text/html"}
        return client.get(("/metrics", "/operator")[n % 2], headers=headers)

    for n in range(30):
        assert ask(n, "right" * 4).status_code == 200
        # What a proxy in front asks for is no try.
        assert not refused(ask(n, "QTpC", "Basic"))
    assert until_refused(ask, 20) == 10
    assert ask(0).status_code == ask(1).status_code == ask(0, "right" * 4).status_code == 429


@pytest.mark.parametrize(
    ("path", "allowed"), [("/account/export", 10), ("/usage", 60), ("/c/{}/stream", 120)]
)
def test_what_only_reads(app: Flask, path: str, allowed: int) -> None:
    browser = Browser(app)
    path = path.format(browser.conversation())

    def read(_: int) -> TestResponse:
        return browser.get(path, headers={"Accept": "text/html"})

    assert until_refused(read, 150) == allowed
    assert Browser(app).get(path).status_code != 429


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("203.0.113.9:4711", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("2001:db8::1", "2001:db8::/48"),
        ("[2001:db8:0:7::1]:4711", "2001:db8::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", "unknown"),
        (None, "unknown"),
        ("nonsense", "unknown"),
        ("203.0.113.9" + " " * 100, "unknown"),
    ],
)
def test_the_network_of_an_address(address: str | None, network: str) -> None:
    assert limits.network(address) == network


def test_a_sign_in_empties_what_was_counted(app: Flask) -> None:
    Browser(app).sign_up("Ada", PASSWORD)
    for _ in range(3):
        for _ in range(9):
            assert not refused(guess(app, 0))
        with Browser(app).client as client:
            browser = Browser(app)
            browser.client = client
            fields = {"name": "Ada", "password": PASSWORD}
            where = {"REMOTE_ADDR": "198.51.0.1"}
            assert one(browser, "/sign-in", fields, environ_overrides=where).status_code == 303


def test_a_flood_leaves_little_behind(app: Flask) -> None:
    """What is refused writes no row: no guest, no flow, no conversation."""
    for what, endpoint in (("connect", "apiary.connect"), ("create", "chat.create")):
        path, fields, _ = TRIES[what]
        rule = limits.COSTLY[endpoint][1]
        spend(app, rule, "127.0.0.0/24", rule.count - 5)
        for _ in range(40):
            one(Browser(app), path, fields)
    assert rows(app, StoredFlow) <= 5
    assert rows(app, Conversation) <= 5
    assert rows(app, Account) <= 5 + 5


def test_a_flow_row_does_not_stay(app: Flask) -> None:
    browser = Browser(app)
    for _ in range(10):
        one(browser, *TRIES["connect"][:2])
    with app.app_context(), app.extensions["apiary"].database.connection_context():
        StoredFlow.update(started=StoredFlow.started - 4000).execute()
    other = {"REMOTE_ADDR": "198.51.100.7"}
    one(Browser(app), *TRIES["connect"][:2], environ_overrides=other)
    assert rows(app, StoredFlow) == 1


def test_the_counters_are_bounded() -> None:
    counters = tries.Windows()
    threads = threading.active_count()
    for n in range(tries._MOST_KEYS + 500):
        assert counters.acquire_entry(f"{n}", 2, 60)
        # Those that are tried all the time are not the ones that go.
        assert counters.acquire_entry("0", 10**6, 60)
    assert len(counters._tries) == tries._MOST_KEYS
    assert counters.get_moving_window("0", 10**6, 60)[1] == tries._MOST_KEYS + 501
    assert threading.active_count() <= threads


def test_a_window_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, now = 1_800_000_000.0, 1000.0
    monkeypatch.setattr(time, "time", lambda: wall + now)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    counters = tries.Windows()
    assert [counters.acquire_entry("a", 2, 60) for _ in range(4)] == [True, True, False, False]
    assert counters.get_moving_window("a", 2, 60) == (wall + now, 2)
    now += 61
    assert counters.acquire_entry("a", 2, 60)
    assert counters.get_moving_window("a", 2, 60) == (wall + now, 1)
    # The clock is set back: who was kept out is so for as long as before, and no longer.
    now += 40
    wall -= 3600
    assert counters.acquire_entry("a", 2, 60) and not counters.acquire_entry("a", 2, 60)
    assert counters.get_moving_window("a", 2, 60) == (wall + now - 40, 2)
    now += 21
    assert counters.acquire_entry("a", 2, 60)
    assert not counters.acquire_entry("a", 2, 60, amount=2)
    assert not counters.acquire_entry("b", 2, 60, amount=3)


def test_new_guests_do_not_renew_the_built_in_model(make_host: MakeHost, paste_key: str) -> None:
    app = make_host(
        APIARY_LIMITS=True,
        APIARY_BUILTIN_PROVIDER="openrouter",
        APIARY_BUILTIN_MODEL="sandbox/echo",
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_DAILY_MESSAGES="1",
    )

    def as_new(_: int) -> TestResponse:
        return one(Browser(app), "/ask", {"text": "Bees?"})

    assert until_refused(as_new, 15) == 10
