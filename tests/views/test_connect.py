"""The flow matrix: a key is stored in time and once, and every ending has its name."""

import re
import threading
import time
from collections.abc import Callable
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from apiary import database
from apiary.models import StoredFlow
from apiary.oauth import flows
from tests.conftest import LiveSandbox
from tests.views.flows import ATTEMPT, approve, begin, sign_in, state, state_or_404, stored


def test_connect(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    before = state_or_404(client)
    assert before == 404
    url = begin(client)
    query = parse_qs(urlsplit(url).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["code_challenge"][0]) == 43
    callback = query["callback_url"][0]
    assert re.fullmatch(
        r"http://localhost/settings/openrouter/callback/[A-Za-z0-9_-]{43}", callback
    )
    assert state(client) | {"expires_in": 0} == {
        "state": "waiting",
        "message": "Waiting for approval.",
        "version": 0,
        "expires_in": 0,
        "question": "",
    }
    assert 295 <= state(client)["expires_in"] <= 300
    back = approve(url)
    answer = client.get(back)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/settings/openrouter/done/{ATTEMPT}"
    assert answer.data == b"" and "code=" not in answer.headers["Location"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert state(client)["state"] == "connected" and state(client)["version"] == 1
    card = client.get("/settings/openrouter", headers={"Accept": "application/json"}).get_json()
    assert (card["state"], card["source"], card["provider"]) == ("connected", "oauth", "openrouter")
    assert card["identity"].startswith("user_2yOP") and "sk-or-v1-" in card["identity"]
    assert "sk-or-v1-" + "0" * 8 not in str(card)
    assert stored(app) == [("ann", "connected")]
    assert sandbox.exchanges == 1


def test_the_flow_cookie(app: Flask) -> None:
    client = sign_in(app)
    response = client.post(
        "/settings/openrouter/connect", data={"display": "popup", "attempt": ATTEMPT}
    )
    [cookie] = [c for c in response.headers.getlist("Set-Cookie") if c.startswith("apiary_flow=")]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Max-Age=300" in cookie
    assert re.search(r"Path=/settings/openrouter/callback/[\w-]{43}(;|$)", cookie)
    assert "Secure" not in cookie and "Domain" not in cookie
    assert "Location" not in response.headers
    assert response.headers["Referrer-Policy"] == "no-referrer"


def test_https_makes_the_cookie_secure_and_the_callback_right(make_app: Callable) -> None:
    app = make_app(APIARY_PUBLIC_URL="https://bees.example.org:8443/team")
    client = sign_in(app)
    response = client.post(
        "/settings/openrouter/connect",
        data={"attempt": ATTEMPT},
        base_url="https://bees.example.org:8443/team",
        headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"},
    )
    # The session is another one under another address; sign in there.
    assert response.status_code in {200, 401}
    client.post("/in/ann", base_url="https://bees.example.org:8443/")
    response = client.post(
        "/settings/openrouter/connect",
        data={"attempt": ATTEMPT},
        base_url="https://bees.example.org:8443/team",
        headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"},
    )
    url = unescape(re.search(r'content="0;url=([^"]+)"', response.text)[1])
    callback = parse_qs(urlsplit(url).query)["callback_url"][0]
    assert callback.startswith("https://bees.example.org:8443/team/settings/openrouter/callback/")
    [cookie] = [c for c in response.headers.getlist("Set-Cookie") if c.startswith("apiary_flow=")]
    assert "Secure" in cookie and "Path=/team/settings/openrouter/callback/" in cookie


def test_a_replay_shows_the_outcome_and_exchanges_nothing(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    first, second = client.get(back), client.get(back)
    assert first.headers["Location"] == second.headers["Location"]
    assert sandbox.exchanges == 1 and state(client)["state"] == "connected"


def test_many_callbacks_at_once_make_one_exchange(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    cookies = {
        cookie.key: cookie.value
        for cookie in [
            client.get_cookie("session"),
            client.get_cookie("apiary_flow", path=back.partition("?")[0]),
        ]
    }
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    places: list[str] = []

    def call() -> None:
        one = app.test_client(use_cookies=False)
        places.append(one.get(back, headers={"Cookie": header}).headers["Location"])

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(places) == {f"/settings/openrouter/done/{ATTEMPT}"} and len(places) == 20
    assert sandbox.exchanges == 1 and stored(app) == [("ann", "connected")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "denied"),
        ("error=access_denied", "denied"),
        ("error=access_denied&error_description=<script>", "denied"),
        ("error=server_error", "failed"),
        ("code=a&code=b", "failed"),
        ("code=a&error=access_denied", "failed"),
        ("code=" + "a" * 600, "failed"),
        ("code=a%0d%0ab", "failed"),
        ("code=abc&iss=https://evil.example", "failed"),
    ],
)
def test_what_comes_back_without_a_code(
    app: Flask, sandbox: LiveSandbox, query: str, expected: str
) -> None:
    client = sign_in(app)
    callback = parse_qs(urlsplit(begin(client)).query)["callback_url"][0]
    answer = client.get(f"{urlsplit(callback).path}?{query}")
    assert answer.headers["Location"].endswith(f"/done/{ATTEMPT}")
    assert state(client)["state"] == expected
    assert sandbox.exchanges == 0 and stored(app) == []
    page = client.get(answer.headers["Location"])
    assert "<script>" not in page.text


@pytest.mark.parametrize("deny", ["bare", "error", "markup"])
def test_deny_at_the_sandbox(app: Flask, sandbox: LiveSandbox, deny: str) -> None:
    sandbox.state.switches.deny = deny
    client = sign_in(app)
    client.get(approve(begin(client), decision="deny"))
    found = state(client)
    assert found["state"] == "denied" and "declined" in found["message"]


@pytest.mark.parametrize("echo", ["echo", "drop", "change", "duplicate"])
def test_nothing_depends_on_state(app: Flask, sandbox: LiveSandbox, echo: str) -> None:
    sandbox.state.switches.state = echo
    client = sign_in(app)
    client.get(approve(begin(client)))
    assert state(client)["state"] == "connected"


@pytest.mark.parametrize(
    ("deviation", "expected"),
    [
        ("400", "failed"),
        ("403", "failed"),
        ("expired", "failed"),
        ("405", "failed"),
        ("429", "failed"),
        ("500", "lost"),
        ("html", "lost"),
        ("empty", "lost"),
        ("truncated", "lost"),
        ("array", "lost"),
        ("deep", "lost"),
        ("huge", "lost"),
        ("bomb", "lost"),
        ("endless", "lost"),
        ("slow-loris", "lost"),
        ("reset", "lost"),
        ("reset-late", "lost"),
        ("redirect", "lost"),
        ("key-newline", "lost"),
        ("key-missing", "lost"),
        ("key-number", "lost"),
        ("set-cookie", "connected"),
    ],
)
def test_every_deviation_of_the_exchange(
    make_app: Callable, sandbox: LiveSandbox, deviation: str, expected: str, monkeypatch
) -> None:
    from apiary.oauth import openrouter

    monkeypatch.setattr(openrouter, "_SECONDS", 1.5)
    sandbox.state.switches.exchange = deviation
    app = make_app()
    client = sign_in(app)
    began = time.monotonic()
    client.get(approve(begin(client)))
    assert time.monotonic() - began < 30
    found = state(client)
    assert found["state"] == expected, found
    assert stored(app) == ([("ann", "connected")] if expected == "connected" else [])
    assert sandbox.exchanges == 1
    if expected == "lost":
        assert "A key may exist" in found["message"]
    # The same owner can connect right after.
    sandbox.state.switches.exchange = "ok"
    client.get(approve(begin(client, "another-0123456789")))
    assert state(client, "another-0123456789")["state"] == "connected"


def test_a_crash_in_the_exchange_is_told_as_lost(app: Flask) -> None:
    client = sign_in(app)
    begin(client)
    with app.app_context(), database.connection_context():
        StoredFlow.update(state="exchanging", taken=time.time() - 61).execute()
    assert state(client)["state"] == "lost"
    assert "A key may exist" in client.get("/settings/").text


def test_cancel_and_a_late_approval(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    back = approve(begin(client))
    assert client.post(f"/settings/openrouter/flows/{ATTEMPT}/cancel").status_code in {200, 303}
    client.get(back)
    assert state(client)["state"] == "cancelled"
    assert sandbox.exchanges == 0 and stored(app) == []


def test_a_cancel_that_overtakes_the_start(app: Flask) -> None:
    client = sign_in(app)
    client.post(f"/settings/openrouter/flows/{ATTEMPT}/cancel")
    assert state(client)["state"] == "cancelled"
    late = client.post("/settings/openrouter/connect", data={"attempt": ATTEMPT})
    assert late.status_code == 409


def test_the_same_attempt_twice_is_one_flow(app: Flask) -> None:
    client = sign_in(app)
    first, second = begin(client), begin(client)
    client.get(approve(second))
    assert state(client)["state"] == "connected"
    answer = client.get(approve(first))
    assert answer.headers["Location"].endswith("/trouble/unknown")


def test_two_flows_wait_and_the_first_success_supersedes_the_other(app: Flask, sandbox) -> None:
    client = sign_in(app)
    one, two = begin(client, "first-0123456789ab"), begin(client, "second-0123456789a")
    client.get(approve(two))
    client.get(approve(one))
    assert state(client, "second-0123456789a")["state"] == "connected"
    assert state(client, "first-0123456789ab")["state"] == "superseded"
    assert sandbox.exchanges == 1 and stored(app) == [("ann", "connected")]


def test_a_browser_has_three_waiting_flows_at_most(app: Flask) -> None:
    client = sign_in(app)
    for number in range(6):
        begin(client, f"attempt-number-{number:04}")
    states = [state(client, f"attempt-number-{n:04}")["state"] for n in range(6)]
    assert states == ["superseded"] * 3 + ["waiting"] * 3


def test_cancels_of_what_never_began_are_not_kept_for_ever(app: Flask) -> None:
    client = sign_in(app)
    client.post("/settings/openrouter/flows/attempt-number-1111/cancel")
    with app.app_context(), database.connection_context():
        StoredFlow.update(started=StoredFlow.started - flows.KEPT - 1).execute()
    client.post("/settings/openrouter/flows/attempt-number-2222/cancel")
    with app.app_context(), database.connection_context():
        assert [row.attempt for row in StoredFlow.select()] == ["attempt-number-2222"]


def test_a_different_account_asks_first(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    client.get(approve(begin(client)))
    old = client.get("/settings/openrouter", headers={"Accept": "application/json"}).get_json()
    second = "second-0123456789a"
    client.get(approve(begin(client, second), account=1))
    found = state(client, second)
    assert found["state"] == "exchanging" and "another account" in found["question"]
    kept = client.get("/settings/openrouter", headers={"Accept": "application/json"}).get_json()
    assert (kept["identity"], kept["version"]) == (old["identity"], old["version"])
    client.post(f"/settings/openrouter/flows/{second}/cancel")
    assert state(client, second)["state"] == "cancelled"
    third = "third-0123456789ab"
    client.get(approve(begin(client, third), account=1))
    client.post(f"/settings/openrouter/flows/{third}/replace")
    new = client.get("/settings/openrouter", headers={"Accept": "application/json"}).get_json()
    assert new["identity"].startswith("user_2zHn") and new["version"] == old["version"] + 1
    assert stored(app) == [("ann", "connected")]


def test_the_cap_travels(app: Flask) -> None:
    client = sign_in(app)
    query = parse_qs(urlsplit(begin(client, limit="$12,50")).query)
    assert query["limit"] == ["12.5"] and query["key_label"] == ["Apiary"]
    client.get(approve(begin(client, "second-0123456789a", limit="5")))
    card = client.get("/settings/openrouter", headers={"Accept": "application/json"}).get_json()
    assert (card["limit"], card["limit_remaining"]) == (5, 5)
    third = "third-0123456789ab"
    answer = client.post("/settings/openrouter/connect", data={"limit": "lots", "attempt": third})
    assert answer.status_code == 422 and "not an amount" in answer.text
    # The page that waits for the window hears of it too.
    assert state(client, third)["state"] == "failed"
    assert "an amount in US dollars" in state(client, third)["message"]


def test_a_server_that_was_never_reached_has_made_no_key(make_app: Callable) -> None:
    app = make_app(APIARY_OPENROUTER_URL="http://127.0.0.1:9")
    client = sign_in(app)
    callback = parse_qs(urlsplit(begin(client)).query)["callback_url"][0]
    client.get(f"{urlsplit(callback).path}?code=abc")
    found = state(client)
    assert found["state"] == "failed" and "Nothing was saved" in found["message"]


def test_a_restart_and_another_process_in_between(
    make_app: Callable, database_url: str, sandbox: LiveSandbox
) -> None:
    shared = {
        "APIARY_DATABASE_URL": database_url,
        "APIARY_ENCRYPTION_KEYS": "k1:8yZr0Oq3vB1xW5cT7nLmKjHgFdSaQwErTyUiOpZxCvA",
    }
    first, second = make_app(**shared), make_app(**shared)
    client = sign_in(first)
    back = approve(begin(client))
    path = back.partition("?")[0]
    other = second.test_client()
    for name, where in [("session", "/"), ("apiary_flow", path)]:
        other.set_cookie(name, client.get_cookie(name, path=where).value, path=where)
    assert other.get(back).headers["Location"].endswith(f"/done/{ATTEMPT}")
    assert state(client)["state"] == "connected" and sandbox.exchanges == 1


def test_the_flag_flipped_between_start_and_callback(make_app: Callable, database_url: str) -> None:
    on = make_app(APIARY_DATABASE_URL=database_url)
    client = sign_in(on)
    back = approve(begin(client))
    off = make_app(APIARY_DATABASE_URL=database_url, OPENROUTER_OAUTH="0")
    other = sign_in(off)
    assert other.get(back).status_code == 404
    assert other.get("/settings/").status_code == 200


def test_a_code_copied_by_hand(app: Flask, sandbox: LiveSandbox) -> None:
    client = sign_in(app)
    page = client.post("/settings/openrouter/connect", data={"display": "code", "attempt": ATTEMPT})
    url = unescape(re.search(r'href="([^"]+/auth\?[^"]+)"', page.text)[1])
    assert "callback_url" not in url and "code_challenge_method=S256" in url
    where = f"/settings/openrouter/flows/{ATTEMPT}/code"
    challenge = parse_qs(urlsplit(url).query)["code_challenge"][0]
    from apiary.sandbox import Ask

    code = sandbox.state.issue(Ask("", challenge, "S256"))
    bad = client.post(where, data={"code": "  "})
    assert bad.status_code == 422 and state(client)["state"] == "waiting"
    stranger = sign_in(app)
    assert stranger.post(where, data={"code": code}).status_code == 409
    assert sign_in(app, "bob").post(where, data={"code": code}).status_code == 404
    assert stored(app) == [] and sandbox.exchanges == 0
    assert (
        client.post(where, data={"code": f"https://x.example/?a=1&code={code}"}).status_code == 303
    )
    assert state(client)["state"] == "connected"
    client.post(where, data={"code": code})
    assert sandbox.exchanges == 1
