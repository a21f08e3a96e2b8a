"""Nothing can be tried without end, whatever a request says about where it comes from."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from apiary.host import limits
from apiary.host.tables import Account, Conversation
from apiary.models import StoredFlow
from tests.host.browsing import Browser, rows
from tests.host.conftest import MakeHost

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
    "accounts.sign_in", "accounts.sign_up", "accounts.password", "accounts.delete",
    "accounts.sign_out", "accounts.sign_out_everywhere",
    "apiary.disconnect", "apiary.replace", "apiary.paste_code",
    "chat.delete", "chat.path", "chat.rename", "chat.stop",
    "shelf.pin", "shelf.unpin", "shelf.restore",
    "attachments.drop", "operator.show", "instructions.keep", "instructions.keep_default",
}  # fmt: skip


@pytest.fixture
def app(make_host: MakeHost) -> Flask:
    return make_host(APIARY_LIMITS=True, OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost")


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
    assert changing - OTHERWISE == set(limits.COSTLY)


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
        for _ in range(500):
            rule = limits.COSTLY["chat.first"][1]
            app.extensions["apiary.host"].limits.take(rule, "127.0.0.0/24")

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
    for _ in range(rule.count - 20):
        app.extensions["apiary.host"].limits.take(rule, "198.51.100.0/24")
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

    limits_of = app.extensions["apiary.host"].limits
    for _ in range(limits.SIGN_IN_ADDRESS.count - 2):
        limits_of.take(limits.SIGN_IN_ADDRESS, "127.0.0.0/24")
    assert until_refused(in_as, 5) == 2
    for _ in range(limits.SIGN_UP_ADDRESS.count - 2):
        limits_of.take(limits.SIGN_UP_ADDRESS, "127.0.0.0/24")
    fields = {"name": "", "password": "x"}
    assert until_refused(lambda _: one(Browser(app), "/sign-up", fields), 5) == 2


def test_one_name_from_many_addresses(app: Flask) -> None:
    def guess(n: int) -> TestResponse:
        where = {"REMOTE_ADDR": f"198.51.{n}.1"}
        fields = {"name": " ADA ", "password": f"guess {n}"}
        return one(Browser(app), "/sign-in", fields, environ_overrides=where)

    assert until_refused(guess, 30) == limits.SIGN_IN_NAME.count


def test_a_flood_leaves_little_behind(app: Flask) -> None:
    """What is refused writes no row: no guest, no flow, no conversation."""
    for what, endpoint in (("connect", "apiary.connect"), ("create", "chat.create")):
        path, fields, _ = TRIES[what]
        rule = limits.COSTLY[endpoint][1]
        for _ in range(rule.count - 5):
            app.extensions["apiary.host"].limits.take(rule, "127.0.0.0/24")
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
    counters = limits.Limits()
    for n in range(limits._MOST_KEYS + 500):
        counters.take(limits.GUEST_ADDRESS, str(n))
    assert len(counters._tries) == limits._MOST_KEYS


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
