"""Sessions: planted before a sign-in, saved for after a sign-out."""

import pytest

from tests.conftest import LiveSandbox
from tests.host.browsing import Browser
from tests.host.conftest import MakeHost
from tests.security.routes import ROWS
from tests.security.world import ATTEMPT, PASSWORD, World, begin, call


@pytest.mark.parametrize("door", ["sign-in", "sign-up", "upgrade"])
def test_a_planted_cookie_is_worth_nothing_afterwards(
    make_host: MakeHost, paste_key: str, door: str
) -> None:
    """The attacker's own session stands in the victim's browser before the victim signs in."""
    app = make_host(OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost")
    if door == "sign-in":
        Browser(app).sign_up("Ada Hive", PASSWORD)
    attacker = Browser(app)
    old_token = attacker.token()
    if door == "upgrade":
        # A guest with a row of their own, not only a cookie.
        attacker.conversation()
    planted = dict(attacker.client._cookies)
    victim = Browser(app)
    victim.client._cookies = dict(planted)
    if door == "sign-in":
        victim.sign_in("Ada Hive", PASSWORD)
    else:
        victim.sign_up("Ada Hive", PASSWORD)
    assert victim.client._cookies != planted
    victim.connect(paste_key)
    begin(victim, ATTEMPT)
    conversation = victim.conversation()
    attacker.client._cookies = planted
    for path in ("/account", "/settings/", "/account/export", f"/c/{conversation}"):
        with attacker.get(path) as answer:
            assert "Ada Hive" not in answer.text and "sk-or-v1" not in answer.text, path
    with call(victim, "POST", "/c", token=old_token) as answer:
        assert answer.status_code == 400, "the token of before is dead too"


@pytest.mark.parametrize("how", ["everywhere", "password", "delete"])
def test_saved_cookies_are_dead(world: World, how: str) -> None:
    saved = Browser(world.app)
    saved.client._cookies = dict(world.ada.client._cookies)
    token = saved.token()
    match how:
        case "everywhere":
            world.ada.form("/account/sign-out-everywhere")
        case "password":
            world.ada.form("/account/password", password=PASSWORD, new_password="battery staple")
        case "delete":
            world.ada.form("/account/delete", password=PASSWORD, sure="y")
    kept = dict(saved.client._cookies)
    for row in ROWS:
        saved.client._cookies = dict(kept)
        if row.who == "anyone":
            continue
        with call(
            saved, row.method, row.at(world), row.send, token=token, Accept="application/json"
        ) as answer:
            text = answer.get_data(as_text=True)
            assert "Ada Hive" not in text and "Of bees" not in text, row
            assert row.method == "GET" or answer.status_code == 401, (row, answer.status_code)


def test_the_flow_does_not_outlive_the_login(world: World, sandbox: LiveSandbox) -> None:
    world.ada.form("/account/sign-out-everywhere")
    world.ada.sign_in("Ada Hive", PASSWORD)
    path = world.path("/settings/openrouter/callback/<flow>")
    with world.ada.get(f"{path}?code=abc") as answer:
        assert answer.headers["Location"].endswith("/trouble/other-browser")
    assert sandbox.exchanges == 0


def test_a_changed_secret_ends_sessions_and_a_known_old_one_does_not(make_host: MakeHost) -> None:
    app = make_host()
    browser = Browser(app)
    browser.sign_up("Ada Hive", PASSWORD)
    old, app.secret_key = app.secret_key, "another secret of the same operator"
    cookies = dict(browser.client._cookies)

    def known() -> bool:
        browser.client._cookies = dict(cookies)
        with browser.get("/account") as answer:
            return "Ada Hive" in answer.text

    assert not known()
    app.config["SECRET_KEY_FALLBACKS"] = [old]
    assert known()
    app.config["SECRET_KEY_FALLBACKS"].clear()
    assert not known()
