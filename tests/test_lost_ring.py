"""A lost or wrong key ring, seen through the pages: nothing breaks, nothing is lost."""

import secrets

import pytest
from flask import Flask

from apiary import database
from apiary.crypto import new_key
from apiary.models import StoredConnection
from apiary.sandbox import ACCOUNTS
from tests.conftest import LiveSandbox
from tests.views.flows import approve, begin, sign_in

RIGHT, WRONG = new_key("k1"), new_key("k1")
JSON = {"Accept": "application/json"}


@pytest.fixture
def start(make_app, database_url: str):
    """Starts the app on the same database with a key ring, as an operator does."""

    def make(ring: str, **config: object) -> Flask:
        return make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=ring, **config)

    return make


def rows(app: Flask) -> list[dict]:
    with app.app_context(), database.connection_context():
        found = list(StoredConnection.select().order_by(StoredConnection.id).dicts())
    return [
        {k: bytes(v) if k in {"iv", "sealed"} and v else v for k, v in r.items()} for r in found
    ]


def connect(app: Flask, who: str) -> None:
    client = sign_in(app, who)
    client.get(approve(begin(client, secrets.token_hex(12))))
    assert card(app, who)["state"] == "connected"


def card(app: Flask, who: str) -> dict:
    return sign_in(app, who).get("/settings/openrouter", headers=JSON).get_json()


def test_all_comes_back_with_the_right_key(start, sandbox: LiveSandbox) -> None:
    app = start(RIGHT)
    for who in ("ann", "bob"):
        connect(app, who)
    before = rows(app)
    dialled = len(sandbox.state.journal.entries())

    lost = start(WRONG)
    page = sign_in(lost, "ann").get("/settings/")
    assert page.status_code == 200 and 'data-state="unreadable"' in page.text
    shown = card(lost, "ann")
    assert shown["state"] == "unreadable" and "cannot be read" in shown["status"]
    used = sign_in(lost, "ann").post("/settings/openrouter/check", headers=JSON)
    assert used.status_code == 409 and "cannot be read" in used.get_json()["message"]
    assert sign_in(lost, "ann").post("/settings/openrouter/check").status_code == 409
    # Nobody was asked anything, with ciphertext or with anything else.
    assert len(sandbox.state.journal.entries()) == dialled
    assert rows(lost) == before

    again = start(RIGHT)
    assert rows(again) == before
    checked = sign_in(again, "ann").post("/settings/openrouter/check", headers=JSON)
    assert checked.status_code == 200 and checked.get_json()["state"] == "connected"


def test_an_unreadable_row_can_be_deleted(start) -> None:
    connect(start(RIGHT), "ann")
    connect(start(RIGHT), "bob")
    lost = start(WRONG)
    gone = sign_in(lost, "ann").post("/settings/openrouter/disconnect", headers=JSON)
    assert gone.get_json()["state"] == "none"
    assert [(r["owner"], r["state"]) for r in rows(lost)] == [("ann", "none"), ("bob", "connected")]
    assert card(start(RIGHT), "bob")["state"] == "connected"


def test_an_unreadable_row_can_be_replaced_by_connect(start) -> None:
    connect(start(RIGHT), "ann")
    lost = start(WRONG)
    connect(lost, "ann")
    with lost.app_context(), database.connection_context():
        state = lost.extensions["apiary"]
        assert state.vault.reveal("ann", state.providers["openrouter"])
    # The old ring does not read the new row, and says so.
    assert card(start(RIGHT), "ann")["state"] == "unreadable"
    # Both rings together read everything, also where both call their key k1.
    connect(start(RIGHT), "bob")
    both = start(f"{WRONG},{RIGHT}")
    assert [card(both, who)["state"] for who in ("ann", "bob")] == ["connected", "connected"]
    rotated = both.test_cli_runner().invoke(args=["apiary", "keys", "rotate"])
    assert rotated.exit_code == 0, rotated.output
    told = both.test_cli_runner().invoke(args=["apiary", "keys", "retire", "k1"])
    assert "or more than one" in told.output
    old = both.extensions["apiary"].vault.ring.kids[1]
    told = both.test_cli_runner().invoke(args=["apiary", "keys", "retire", old])
    assert "number 2 of the entries that begin with k1:" in told.output, told.output
    assert card(start(WRONG), "bob")["state"] == "connected"


def test_an_unreadable_row_can_be_replaced_by_a_pasted_key(start, paste_key: str) -> None:
    connect(start(RIGHT), "ann")
    lost = start(WRONG, OPENROUTER_OAUTH="0")
    # A key that is not taken replaces nothing.
    before = rows(lost)
    refused = sign_in(lost).post(
        "/settings/openrouter/key", data={"api_key": "sk-or-v1-" + "0" * 64}, headers=JSON
    )
    assert refused.status_code == 422 and rows(lost) == before
    saved = sign_in(lost).post(
        "/settings/openrouter/key", data={"api_key": paste_key}, headers=JSON
    )
    assert saved.get_json()["state"] == "connected", saved.text


def test_another_account_than_before_still_asks(start) -> None:
    """The account is known although the key cannot be read."""
    assert len(ACCOUNTS) > 1
    connect(start(RIGHT), "ann")
    lost = start(WRONG)
    before = rows(lost)
    client = sign_in(lost)
    client.get(approve(begin(client, "attempt-ffffffffffff"), account=1))
    assert card(lost, "ann")["question_attempt"] == "attempt-ffffffffffff"
    assert rows(lost) == before
