"""Who is asking, in apps with Flask-Login, without it, and with ids of any kind."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import render_template_string
from werkzeug.local import LocalProxy

from apiary import Apiary, NotConnected
from tests.foreign.hosts import CARD, QUESTION, MakeHost, put_key, with_login


@pytest.mark.parametrize(
    ("ids", "one"), [(int, "7"), (uuid.UUID, "5e7d8d1e-52a3-4f6c-9d52-6a3f1f3f2d11"), (str, "ann")]
)
def test_ids_of_any_kind(make_host: MakeHost, ids: Callable, one: str) -> None:
    app = make_host()
    with_login(app, ids)
    apiary = Apiary(app)
    client = app.test_client()
    assert client.get("/settings/").status_code == 401
    client.get(f"/in/{one}")
    assert CARD in client.get("/settings/").text
    put_key(app, one)
    assert "Connected as" in client.get("/settings/openrouter").text
    with app.app_context():
        found = apiary.connection(ids(one), "openrouter")
        assert found and found.owner == one
        assert len(apiary.connections(ids(one))) == 1
        answer = apiary.complete(ids(one), "openrouter", model="sandbox/echo", messages=QUESTION)
        assert answer.text == "Do bees dance?"
        assert apiary.models(ids(one), "openrouter")
        apiary.forget_owner(ids(one))
        assert apiary.connection(ids(one), "openrouter") is None


@pytest.mark.parametrize("who", [None, "", False])
def test_nobody(make_host: MakeHost, who: str | None) -> None:
    app = make_host(WTF_CSRF_ENABLED=False)
    apiary = Apiary(app, owner=lambda: who)
    app.add_url_rule("/", "home", lambda: render_template_string("[{{ apiary_card('openai') }}]"))
    client = app.test_client()
    for answer in (client.get("/settings/"), client.post("/settings/openrouter/connect")):
        assert answer.status_code == 401
        assert "Sign in to see and change your connections." in answer.text
    assert client.get("/").text == "[]"
    with app.app_context():
        assert apiary.connection(who, "openrouter") is None and apiary.connections(who) == []  # type: ignore[arg-type]
        apiary.forget_owner(who)  # type: ignore[arg-type]
    with app.app_context(), pytest.raises(NotConnected):
        apiary.complete(who, "openrouter", model="sandbox/echo", messages=QUESTION)


class _User:
    """As a model of a host's: what it reads as names its place in memory."""


@pytest.mark.parametrize("who", [True, _User(), LocalProxy(_User)])
def test_what_is_no_id(make_host: MakeHost, who: Any) -> None:
    app = make_host()
    apiary = Apiary(app, owner=lambda: who)
    with pytest.raises(TypeError, match="An owner is the id of a user"):
        app.test_client().get("/settings/")
    with app.app_context(), pytest.raises(TypeError):
        apiary.connections(who)


def test_an_owner_that_is_no_text(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app, owner=lambda: 7)
    put_key(app, "7")
    assert "Connected as" in app.test_client().get("/settings/openrouter").text


def test_neither_login_manager_nor_owner(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app)
    with pytest.raises(RuntimeError, match=r"Set up Flask-Login in this app, or pass Apiary.owner"):
        app.test_client().get("/settings/")


def test_a_login_manager_that_comes_later(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app)
    with_login(app, str)
    client = app.test_client()
    client.get("/in/ann")
    assert CARD in client.get("/settings/").text


def test_the_hosts_sign_in_page(make_host: MakeHost) -> None:
    app = make_host()
    with_login(app, str)
    app.login_manager.login_view = "door"  # type: ignore[attr-defined]
    app.add_url_rule("/door", "door", lambda: "door")
    Apiary(app)
    client = app.test_client()
    assert client.get("/settings/").headers["Location"] == "/door?next=%2Fsettings%2F"
    told = client.get("/settings/openrouter", headers={"Accept": "application/json"})
    assert (told.status_code, told.json["code"]) == (401, "signed_out")
