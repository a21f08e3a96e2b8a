"""Who must not connect anything: a key is stored for an owner only if that owner's browser began
the flow. Every refusal comes before anything is dialled."""

import re
import time
from collections.abc import Callable
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from apiary import database
from apiary.models import StoredFlow
from apiary.sandbox import ACCOUNTS
from tests.conftest import LiveSandbox
from tests.views.flows import ATTEMPT, approve, begin, sign_in, state, state_or_404, stored


def refused(app: Flask, sandbox: LiveSandbox, answer, reason: str) -> None:
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/settings/openrouter/trouble/{reason}"
    assert stored(app) == []
    assert sandbox.exchanges == 0


def test_another_browser_is_refused_and_the_flow_lives_on(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    refused(app, sandbox, sign_in(app).get(back), "other-browser")
    page = sign_in(app).get("/settings/openrouter/trouble/other-browser")
    assert page.status_code == 200 and "another browser" in page.text
    assert client.get(back).headers["Location"].endswith(ATTEMPT)
    assert state(client)["state"] == "connected"


def test_another_owner_is_refused(app: Flask, sandbox: LiveSandbox) -> None:
    back = approve(begin(sign_in(app)))
    refused(app, sandbox, sign_in(app, "bob").get(back), "other-account")


def test_an_account_switched_in_the_same_browser_is_refused(
    app: Flask, sandbox: LiveSandbox
) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    client.post("/in/bob")
    refused(app, sandbox, client.get(back), "other-account")


def test_signed_out_meanwhile_is_refused(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    client.post("/out")
    refused(app, sandbox, client.get(back), "signed-out")
    client.post("/in/ann")
    refused(app, sandbox, client.get(back), "other-browser")


def test_strict_cookies_are_waited_for_once(app: Flask, sandbox: LiveSandbox) -> None:
    """A browser keeps them back when another site leads here, and sends them when we do."""
    client = sign_in(app)
    back = approve(begin(client))
    stranger = app.test_client()
    again = stranger.get(back, headers={"Sec-Fetch-Site": "cross-site"})
    assert again.status_code == 200 and stored(app) == []
    [led] = re.findall(r'content="0;url=([^"]+)"', again.text)
    assert unescape(led) == back
    refused(
        app,
        sandbox,
        stranger.get(back, headers={"Sec-Fetch-Site": "same-origin"}),
        "signed-out",
    )
    client.get(back, headers={"Sec-Fetch-Site": "cross-site"})
    assert stored(app) == [("ann", "connected")]


@pytest.mark.parametrize("cookie", ["", "x" * 43])
def test_a_missing_or_foreign_cookie_ends_the_flow(
    app: Flask, sandbox: LiveSandbox, cookie: str
) -> None:
    """Nobody can finish it any more, and the page that waits for it is told."""
    client = sign_in(app)
    back = approve(begin(client))
    path = back.partition("?")[0]
    client.delete_cookie("apiary_flow", path=path)
    if cookie:
        client.set_cookie("apiary_flow", cookie, path=path)
    refused(app, sandbox, client.get(back), "cookie")
    assert state(client)["state"] == "failed"
    assert "did not send the cookie" in state(client)["message"]


def test_a_lenient_server_and_a_foreign_code_store_nothing_without_the_flow(
    app: Flask, sandbox: LiveSandbox
) -> None:
    sandbox.state.switches.lenient = True
    victim, attacker = sign_in(app, "victim"), sign_in(app, "attacker")
    begin(victim)
    theirs = approve(begin(attacker, "attacker-0123456789"))
    refused(app, sandbox, victim.get(theirs), "other-account")
    code = theirs.partition("?")[2]
    refused(app, sandbox, victim.get(f"/settings/openrouter/callback/{'x' * 43}?{code}"), "unknown")


@pytest.mark.parametrize("seconds", [301, 400, -30])
def test_too_late_by_the_server_s_clock(app: Flask, sandbox: LiveSandbox, seconds: int) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    with app.app_context(), database.connection_context():
        StoredFlow.update(started=time.time() - seconds).execute()
    assert client.get(back).headers["Location"].endswith(f"/done/{ATTEMPT}")
    assert state(client)["state"] == "expired"
    assert stored(app) == [] and sandbox.exchanges == 0


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch"}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
        ("GET", {"Sec-Fetch-Dest": "image"}),
        ("GET", {"Sec-Fetch-Dest": "empty"}),
    ],
)
def test_what_is_no_person_uses_nothing_up(app: Flask, method: str, headers: dict) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    assert client.open(back, method=method, headers=headers).status_code == 204
    assert state(client)["state"] == "waiting"
    assert client.post(back).status_code == 405
    client.get(back)
    assert state(client)["state"] == "connected"


def test_a_foreign_attempt_is_not_seen(app: Flask) -> None:
    begin(sign_in(app))
    other = sign_in(app, "bob")
    assert state_or_404(other) == 404
    other.post(f"/settings/openrouter/flows/{ATTEMPT}/cancel")
    assert state(sign_in(app))["state"] == "waiting"
    assert (
        app.test_client()
        .get(f"/settings/openrouter/flows/{ATTEMPT}", headers={"Accept": "application/json"})
        .status_code
        == 401
    )


def test_without_a_public_url_connect_works_on_loopback_only(make_app: Callable) -> None:
    app = make_app(APIARY_PUBLIC_URL="")
    client = sign_in(app)
    query = parse_qs(urlsplit(begin(client)).query)
    assert query["callback_url"][0].startswith("http://localhost/settings/openrouter/callback/")
    there = "http://bees.example.org"
    client.post("/in/ann", base_url=there)
    answer = client.post("/settings/openrouter/connect", base_url=there)
    assert answer.status_code == 409 and "APIARY_PUBLIC_URL" in answer.text


def test_a_stranger_s_host_header_changes_nothing(app: Flask) -> None:
    client = sign_in(app)
    client.post("/in/ann", base_url="http://evil.example")
    answer = client.post("/settings/openrouter/connect", base_url="http://evil.example")
    assert answer.status_code == 409
    assert "http://localhost/" in answer.text and "evil" not in answer.text


def test_the_flag_off_has_no_route(make_app: Callable) -> None:
    app = make_app(OPENROUTER_OAUTH="0")
    client = sign_in(app)
    for method, path in [
        ("POST", "connect"),
        ("GET", "callback/abc"),
        ("GET", f"flows/{ATTEMPT}"),
        ("POST", f"flows/{ATTEMPT}/cancel"),
        ("GET", f"done/{ATTEMPT}"),
    ]:
        assert client.open(f"/settings/openrouter/{path}", method=method).status_code == 404
    page = client.get("/settings/").text
    assert 'data-action="connect"' not in page and "connect.js" not in page
    assert page.count('data-action="save-key"') == 3


def test_connect_is_never_sign_in(app: Flask) -> None:
    client = sign_in(app, ACCOUNTS[1].id)
    client.get(approve(begin(client)))
    with client.session_transaction() as session:
        assert session["who"] == ACCOUNTS[1].id
    assert stored(app) == [(ACCOUNTS[1].id, "connected")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_site_cannot_begin_a_flow(app: Flask, headers: dict) -> None:
    client = sign_in(app)
    answer = client.post("/settings/openrouter/connect", headers=headers)
    assert answer.status_code == 403 and "Set-Cookie" not in answer.headers


def test_a_token_is_needed(make_app: Callable) -> None:
    app = make_app(WTF_CSRF_ENABLED=True)
    client = sign_in(app)
    assert client.post("/settings/openrouter/connect").status_code == 400
    page = client.get("/settings/").text
    token = re.search(r'name="csrf-token" content="([^"]+)"', page)[1]
    data = {"csrf_token": token, "attempt": ATTEMPT}
    assert client.post("/settings/openrouter/connect", data=data).status_code == 200
    header = {"X-CSRFToken": token}
    assert client.post("/settings/openrouter/disconnect", headers=header).status_code == 303


def test_no_cookies_at_all_is_said(make_app: Callable) -> None:
    app = make_app(WTF_CSRF_ENABLED=True)
    client = app.test_client(use_cookies=False)
    answer = client.post("/settings/openrouter/connect", data={"csrf_token": "x"})
    assert answer.status_code == 400 and "Allow cookies for this site" in answer.text
