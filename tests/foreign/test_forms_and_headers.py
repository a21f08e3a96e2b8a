"""CSRF tokens, policies and languages of the host's own."""

from collections.abc import Callable

import flask_babel
import pytest
from flask import Flask, Response
from flask_wtf import CSRFProtect

from tests.foreign.hosts import MakeHost, mount, token


def before(app: Flask) -> None:
    CSRFProtect(app)
    mount(app)


def after(app: Flask) -> None:
    mount(app)
    CSRFProtect(app)


def exempted(app: Flask) -> None:
    csrf = CSRFProtect(app)
    mount(app)
    csrf.exempt(app.blueprints["apiary"])


@pytest.mark.parametrize("arrange", [mount, before, after, exempted])
def test_tokens_with_and_without_csrf_protect(make_host: MakeHost, arrange: Callable) -> None:
    app = make_host()
    arrange(app)
    client = app.test_client()
    path = "/settings/openrouter/disconnect"
    good = token(client)
    assert client.post(path).status_code == 400
    assert client.post(path, data={"csrf_token": "x"}).status_code == 400
    assert client.post(path, data={"csrf_token": good}).status_code == 303
    assert client.post(path, headers={"X-CSRFToken": good}).status_code == 303


def test_the_hosts_own_forms_are_left_alone(make_host: MakeHost) -> None:
    app = make_host()
    mount(app)
    app.add_url_rule("/order", "order", lambda: "ordered", methods=["POST"])
    assert app.test_client().post("/order").text == "ordered"


def test_protection_switched_off(make_host: MakeHost) -> None:
    app = make_host(WTF_CSRF_ENABLED=False)
    mount(app)
    assert app.test_client().post("/settings/openrouter/disconnect").status_code == 303


def test_another_field_name(make_host: MakeHost) -> None:
    app = make_host(WTF_CSRF_FIELD_NAME="tok")
    before(app)
    client = app.test_client()
    assert (
        client.post(
            "/settings/openrouter/disconnect", headers={"X-CSRFToken": token(client)}
        ).status_code
        == 303
    )


def test_policies_of_the_host(make_host: MakeHost) -> None:
    app = make_host()
    mount(app)
    app.add_url_rule("/", "home", lambda: "home")

    @app.after_request
    def policy(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", "default-src 'self'")
        return response

    client = app.test_client()
    assert client.get("/").headers["Content-Security-Policy"] == "default-src 'self'"
    assert "Cross-Origin-Opener-Policy" not in client.get("/").headers
    ours = client.get("/settings/").headers["Content-Security-Policy"]
    assert "form-action 'self'" in ours and "frame-ancestors 'none'" in ours


def test_a_host_that_insists_on_its_policy(make_host: MakeHost) -> None:
    app = make_host()
    mount(app)

    @app.after_request
    def policy(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    found = app.test_client().get("/settings/").headers.getlist("Content-Security-Policy")
    assert found == ["default-src 'self'"]


@pytest.mark.parametrize(
    ("language", "title"), [(None, "Your models"), ("de", "Deine Modelle"), ("is", "Your models")]
)
def test_with_and_without_babel(make_host: MakeHost, language: str | None, title: str) -> None:
    app = make_host()
    if language:
        flask_babel.Babel(app, default_locale=language)
    mount(app)
    client = app.test_client()
    assert title in client.get("/settings/").text
    data = {"csrf_token": token(client), "api_key": "x" * 5000}
    assert client.post("/settings/anthropic/key", data=data).status_code == 422
