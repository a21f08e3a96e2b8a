"""The built-in model, its daily allowance, and who pays."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from apiary import database
from apiary.host import allowance
from apiary.host.tables import Allowance, Message
from tests.host.browsing import Browser, events, rows, text_of
from tests.host.conftest import BUILTIN


def test_the_built_in_model_answers_and_counts_down(builtin):
    guest = Browser(builtin)
    conversation = guest.conversation()
    for left in (2, 1, 0):
        assert text_of(guest.ask("hello", conversation)) == "hello"
        with guest.get("/payer") as payer:
            assert payer.json["left"] == left
            assert payer.json["kind"] == ("builtin" if left else "none")
    with guest.send(f"/c/{conversation}/messages", {"text": "once more"}) as refused:
        assert refused.status_code == 429
        assert refused.json["code"] == "daily_limit"
        assert refused.json["action"] == "connect"
        assert "midnight UTC" in refused.json["message"]
        assert int(refused.headers["Retry-After"]) <= 86_400
    assert guest.messages(conversation)[-1]["state"] == "waiting"


def test_twenty_at_once_take_what_there_is_and_no_more(make_host, database_url, paste_key):
    app = make_host(
        APIARY_DATABASE_URL=database_url,
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_DAILY_MESSAGES="7",
        **BUILTIN,
    )

    def take(_: int) -> bool:
        with app.app_context(), database.connection_context():
            return allowance.take("somebody", 7) is not None

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(take, range(20))) == 7


def test_twenty_messages_at_once(builtin):
    guest = Browser(builtin)
    token = guest.token()
    made = [guest.conversation() for _ in range(20)]
    cookie = guest.client.get_cookie("apiary_session").value

    def send(conversation: str) -> int:
        client = builtin.test_client()
        client.set_cookie("apiary_session", cookie)
        with client.post(
            f"/c/{conversation}/messages", json={"text": "x"}, headers={"X-CSRFToken": token}
        ) as answer:
            if answer.status_code == 200:
                events(answer)
            return answer.status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(send, made))
    assert statuses == [200] * 3 + [429] * 17


def test_what_the_provider_refused_is_given_back(make_host, database_url, paste_key):
    app = make_host(
        APIARY_DATABASE_URL=database_url,
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_PROVIDER="openrouter",
        APIARY_BUILTIN_MODEL="sandbox/error-503",
    )
    guest = Browser(app)
    assert guest.ask("hello")[-1].data["code"] == "provider_down"
    with guest.get("/payer") as payer:
        assert payer.json["left"] == payer.json["limit"] == 20


@pytest.mark.parametrize("status", [401, 402])
def test_the_operators_troubles_are_not_the_users(make_host, paste_key, status):
    app = make_host(
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_PROVIDER="openrouter",
        APIARY_BUILTIN_MODEL=f"sandbox/error-{status}",
    )
    error = Browser(app).ask("hello")[-1]
    assert (error.data["code"], error.data["action"]) == ("builtin_down", "connect")


def test_an_own_key_has_no_daily_limit_and_pays_first(builtin, paste_key):
    guest = Browser(builtin)
    guest.connect(paste_key)
    for _ in range(5):
        guest.ask("hello", model="sandbox/echo")
    assert rows(builtin, Allowance) == 0
    with guest.get("/models") as found:
        names = [entry["name"] for entry in found.json["providers"]]
    assert names == ["openrouter", "built-in"]
    with builtin.app_context(), database.connection_context():
        payers = {row.payer for row in Message.select() if row.payer}
    assert payers == {"key"}


def test_the_built_in_model_can_be_asked_for_by_name(builtin, paste_key):
    guest = Browser(builtin)
    guest.connect(paste_key)
    conversation = guest.conversation()
    guest.ask("hello", conversation, provider="built-in")
    with guest.get(f"/payer?conversation={conversation}") as payer:
        assert (payer.json["kind"], payer.json["left"]) == ("builtin", 2)


@pytest.mark.parametrize(
    ("asked", "own", "sent"),
    [(10_000_000, False, 8192), (8193, False, 8192), (100, False, 100), (None, False, None),
     (10_000_000, True, 10_000_000)],
)  # fmt: skip
def test_how_long_an_answer_the_operator_pays_for(builtin, sandbox, paste_key, asked, own, sent):
    guest = Browser(builtin)
    if own:
        guest.connect(paste_key)
    wish = {} if asked is None else {"max_tokens": asked}
    guest.ask("hello", model="sandbox/echo", **wish)
    assert sandbox.state.journal.chats()[-1].body.get("max_completion_tokens") == sent


def test_another_model_than_the_built_in_one(builtin):
    guest = Browser(builtin)
    body = {"text": "hello", "model": "openai/gpt-4o"}
    with guest.send(f"/c/{guest.conversation()}/messages", body) as refused:
        assert refused.status_code == 409
        assert "sandbox/echo" in refused.json["message"]
    with guest.get("/payer") as payer:
        assert payer.json["left"] == 3


def test_a_disconnected_provider_falls_back_to_the_built_in_model(builtin, paste_key):
    guest = Browser(builtin)
    guest.connect(paste_key)
    conversation = guest.conversation()
    guest.ask("hello", conversation, model="sandbox/echo")
    guest.form("/settings/openrouter/disconnect").close()
    with guest.get(f"/payer?conversation={conversation}") as payer:
        assert payer.json["kind"] == "builtin"
    with guest.send(
        f"/c/{conversation}/messages", {"text": "x", "provider": "openrouter"}
    ) as refused:
        assert refused.json["code"] == "not_connected", "named, so not replaced"


def test_a_key_that_cannot_be_read_is_said(make_host, database_url, paste_key):
    guest = Browser(make_host(APIARY_DATABASE_URL=database_url))
    guest.connect(paste_key)
    cookie = guest.client.get_cookie("apiary_session").value
    # Another instance folder: another key ring is generated there.
    again = Browser(make_host(APIARY_DATABASE_URL=database_url))
    again.client.set_cookie("apiary_session", cookie)
    conversation = again.conversation()
    with again.send(f"/c/{conversation}/messages", {"text": "x"}) as refused:
        assert refused.status_code == 409
        assert refused.json["code"] == "key_unreadable"
    assert again.messages(conversation)[-1]["state"] == "waiting"
    assert again.get("/").status_code == 200


def test_all_that_could_pay(builtin, paste_key):
    guest = Browser(builtin)
    with guest.get("/payers") as found:
        assert [option["kind"] for option in found.json["options"]] == ["builtin"]
    guest.connect(paste_key)
    conversation = guest.conversation()
    guest.ask("hello", conversation, provider="openrouter", model="sandbox/markdown")
    with guest.get(f"/payers?conversation={conversation}") as found:
        options = [(o["provider"], o["kind"], o["model"]) for o in found.json["options"]]
    assert options == [
        ("openrouter", "key", "sandbox/markdown"),
        ("built-in", "builtin", "sandbox/echo"),
    ]
    guest.ask("hello", conversation, provider="openrouter", model="sandbox/error-401")
    with guest.get("/payers") as found:
        dead = found.json["options"][0]
    assert (dead["kind"], dead["code"]) == ("none", "key_rejected")
    with Browser(builtin).get(f"/payers?conversation={conversation}") as stranger:
        assert stranger.status_code == 404


def test_whoever_connects_when_the_built_in_model_is_used_up_goes_on(
    builtin: Flask, paste_key: str
) -> None:
    browser = Browser(builtin)
    conversation = browser.conversation()
    for _ in range(3):
        assert browser.ask("Hello", conversation)[-1].kind == "done"
    with browser.send(f"/c/{conversation}/messages", {"text": "One more"}) as refused:
        assert refused.status_code == 429
    browser.form("/settings/openrouter/key", api_key=paste_key)
    with browser.send(f"/c/{conversation}/retry", {"model": "sandbox/echo"}) as answer:
        assert "event: done" in answer.get_data(as_text=True)
