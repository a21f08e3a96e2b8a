"""The cards: paste, check, disconnect, with and without scripts."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from apiary import database
from apiary.models import StoredConnection
from tests.conftest import LiveSandbox

JSON = {"Accept": "application/json"}
KEY_PATH = "/settings/openrouter/key"


@pytest.fixture
def off(make_app: Callable, database_url: str) -> Flask:
    return make_app(OPENROUTER_OAUTH="0", APIARY_DATABASE_URL=database_url)


def sign_in(app: Flask, who: str = "ann") -> FlaskClient:
    client = app.test_client()
    client.post(f"/in/{who}")
    return client


def rows(app: Flask) -> int:
    with app.app_context(), database.connection_context():
        return StoredConnection.select().where(StoredConnection.state != "none").count()


def test_the_card_as_json_has_the_promised_fields(off: Flask, paste_key: str) -> None:
    client = sign_in(off)
    card = client.get("/settings/openrouter", headers=JSON).get_json()
    promised = {
        "provider",
        "state",
        "version",
        "source",
        "identity",
        "label",
        "since",
        "usage",
        "limit",
        "limit_remaining",
        "free_tier",
    }
    assert promised <= card.keys()
    assert (card["state"], card["version"], card["source"]) == ("none", 0, None)
    client.post(KEY_PATH, data={"api_key": paste_key}, headers=JSON)
    answer = client.get("/settings/openrouter", headers=JSON)
    card = answer.get_json()
    assert promised <= card.keys()
    assert (card["state"], card["version"], card["source"]) == ("connected", 1, "key")
    assert card["usage"] == 0 and card["free_tier"] is False and card["since"]
    assert paste_key not in answer.text and paste_key[9:] not in answer.text


@pytest.mark.parametrize("headers", [JSON, {}], ids=["script", "page"])
def test_paste(off: Flask, paste_key: str, headers: dict) -> None:
    client = sign_in(off)
    answer = client.post(KEY_PATH, data={"api_key": f' "{paste_key}"\n'}, headers=headers)
    assert answer.status_code == (200 if headers else 303)
    page = client.get("/settings/").text
    assert "Connected as" in page and paste_key not in page and rows(off) == 1


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("", "Paste a key first"),
        ("   ", "Paste a key first"),
        ("sk-or-v1-" + "0" * 64, "OpenRouter does not accept this key"),
        ("sk-or-v1-with blank", "not a key"),
        ("sk-or-v1-with\r\nbreak", "not a key"),
        ("sk-or-v1-ümlaut", "not a key"),
        ("short", "not a key"),
        ("a" * 600, "not a key"),
        ("a" * 5000, "too long"),
        ("sk-ant-api03-" + "a" * 40, "key of Anthropic"),
        ("sk-proj-" + "a" * 40, "key of OpenAI"),
    ],
)
@pytest.mark.parametrize("headers", [JSON, {}], ids=["script", "page"])
def test_what_is_refused_changes_nothing(
    off: Flask, pasted: str, words: str, headers: dict
) -> None:
    client = sign_in(off)
    answer = client.post(KEY_PATH, data={"api_key": pasted}, headers=headers)
    assert answer.status_code == 422
    text = answer.get_json()["message"] if headers else answer.text
    assert words in text and "Nothing was saved" in text
    assert len(pasted.strip()) < 8 or pasted.strip() not in answer.text
    assert rows(off) == 0


def test_a_key_that_cannot_be_checked_may_be_stored_all_the_same(
    off: Flask, sandbox: LiveSandbox, paste_key: str
) -> None:
    sandbox.state.switches.key_status = 503
    client = sign_in(off)
    answer = client.post(KEY_PATH, data={"api_key": paste_key}, headers=JSON)
    assert answer.status_code == 503 and answer.get_json()["can_store"] is True
    assert rows(off) == 0
    page = client.post(KEY_PATH, data={"api_key": paste_key})
    assert 'name="unchecked"' in page.text and paste_key not in page.text
    data = {"api_key": paste_key, "unchecked": "1"}
    card = client.post(KEY_PATH, data=data, headers=JSON).get_json()
    assert (card["state"], card["verified"], card["usage"]) == ("connected", False, None)
    sandbox.state.switches.key_status = 0
    card = client.post("/settings/openrouter/check", headers=JSON).get_json()
    assert card["verified"] is True and card["usage"] == 0


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (401, "rejected", "OpenRouter no longer accepts this key."),
        (402, "connected", ""),
        (403, "connected", ""),
        (429, "connected", ""),
        (500, "connected", ""),
    ],
)
def test_only_a_401_marks_a_key(
    off: Flask, sandbox: LiveSandbox, paste_key: str, status: int, state: str, words: str
) -> None:
    client = sign_in(off)
    before = client.post(KEY_PATH, data={"api_key": paste_key}, headers=JSON).get_json()
    sandbox.state.switches.key_status = status
    card = client.post("/settings/openrouter/check", headers=JSON).get_json()
    assert card["state"] == state
    assert words in card["status"]
    assert (card["version"] > before["version"]) == (state == "rejected")
    sandbox.state.switches.key_status = 0
    card = client.post("/settings/openrouter/check", headers=JSON).get_json()
    assert card["state"] == "connected"


def test_disconnect(off: Flask, paste_key: str) -> None:
    client = sign_in(off)
    client.post(KEY_PATH, data={"api_key": paste_key})
    for _ in range(2):
        answer = client.post("/settings/openrouter/disconnect")
        assert answer.status_code == 303
        assert answer.headers["Location"] == "/settings/#openrouter"
    card = client.get("/settings/openrouter", headers=JSON).get_json()
    assert (card["state"], card["source"], card["version"]) == ("none", None, 2)
    assert "still exists" in card["receipt"]
    assert rows(off) == 0


def test_without_scripts_a_page_asks_first(off: Flask, paste_key: str) -> None:
    client = sign_in(off)
    client.post(KEY_PATH, data={"api_key": paste_key})
    form = {"ask": "1"}
    page = client.post("/settings/openrouter/disconnect", data=form)
    assert page.status_code == 200 and rows(off) == 1
    assert "Disconnect OpenRouter?" in page.text and "nothing else; conversations stay" in page.text
    assert 'name="ask"' not in page.text, "the second time is meant"
    assert client.post("/settings/openrouter/disconnect").status_code == 303
    assert rows(off) == 0
    # Nothing to ask about any more; and a script has asked already.
    assert client.post("/settings/openrouter/disconnect", data=form).status_code == 303
    client.post(KEY_PATH, data={"api_key": paste_key})
    gone = client.post("/settings/openrouter/disconnect", data=form, headers=JSON)
    assert gone.get_json()["state"] == "none"


def test_one_owner_does_not_see_the_other(off: Flask, paste_key: str) -> None:
    ann, bob = sign_in(off, "ann"), sign_in(off, "bob")
    ann.post(KEY_PATH, data={"api_key": paste_key})
    assert bob.get("/settings/openrouter", headers=JSON).get_json()["state"] == "none"
    bob.post("/settings/openrouter/disconnect")
    assert ann.get("/settings/openrouter", headers=JSON).get_json()["state"] == "connected"


def test_flipping_the_flag_keeps_what_is_connected(
    make_app: Callable, tmp_path, paste_key: str
) -> None:
    shared = {
        "APIARY_DATABASE_URL": f"sqlite:///{tmp_path / 'shared.sqlite3'}",
        "APIARY_ENCRYPTION_KEYS": "k1:8yZr0Oq3vB1xW5cT7nLmKjHgFdSaQwErTyUiOpZxCvA",
    }
    client = sign_in(make_app(OPENROUTER_OAUTH="0", **shared))
    client.post(KEY_PATH, data={"api_key": paste_key})
    on = sign_in(make_app(OPENROUTER_OAUTH="1", **shared))
    page = on.get("/settings/").text
    assert "Connected as" in page and "Connect can take its place" in page
    assert on.get("/settings/openrouter", headers=JSON).get_json()["source"] == "key"
    again = sign_in(make_app(OPENROUTER_OAUTH="0", **shared))
    assert again.get("/settings/openrouter", headers=JSON).get_json()["state"] == "connected"


@pytest.mark.parametrize("path", ["", "openrouter"])
def test_nobody_signed_in(off: Flask, path: str) -> None:
    client = off.test_client()
    assert client.get(f"/settings/{path}").status_code == 401
    assert client.get(f"/settings/{path}", headers=JSON).get_json()["code"] == "signed_out"


@pytest.mark.parametrize("path", ["nonesuch", "OPENROUTER", "open router"])
def test_an_unknown_provider_is_404(off: Flask, path: str) -> None:
    client = sign_in(off)
    assert client.get(f"/settings/{path}").status_code == 404
    for what in ("key", "check", "disconnect"):
        assert client.post(f"/settings/{path}/{what}").status_code == 404


def test_headers(off: Flask) -> None:
    headers = sign_in(off).get("/settings/").headers
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "trusted-types 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store" and "Cookie" in headers["Vary"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
