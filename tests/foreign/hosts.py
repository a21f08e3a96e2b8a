"""What the foreign hosts of these tests have in common, and a browser that presses Connect."""

import re
from collections.abc import Callable
from html import unescape

import httpx
from flask import Flask
from flask.testing import FlaskClient
from flask_login import LoginManager, UserMixin, login_user

import apiary as names
from apiary import Apiary, Facts, Secret
from apiary.sandbox import ACCOUNTS, PASTE_KEY

CARD = 'data-provider="openrouter"'
QUESTION = [{"role": "user", "content": "Do bees dance?"}]

MakeHost = Callable[..., Flask]


def put_key(app: Flask, owner: str, provider: str = "openrouter") -> None:
    """Connect an owner as if the key had been pasted."""
    state = app.extensions["apiary"]
    with app.app_context(), names.database.connection_context():
        key = Secret(PASTE_KEY)
        state.vault.put(owner, state.providers[provider], key, source="key", facts=Facts())


def with_login(app: Flask, ids: Callable[[str], object]) -> None:
    class User(UserMixin):
        def __init__(self, id: object) -> None:
            self.id = id

    manager = LoginManager(app)
    manager.user_loader(lambda text: User(ids(text)))

    @app.get("/in/<text>")
    def sign_in(text: str) -> str:
        login_user(User(ids(text)))
        return "in"


def token(client: FlaskClient, path: str = "/settings/", base_url: str | None = None) -> str:
    page = client.get(path, base_url=base_url)
    found = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
    assert found
    return found[1]


def mount(app: Flask) -> None:
    Apiary(app, owner=lambda: "ann")


def press(client: FlaskClient, path: str = "/settings/", base_url: str | None = None) -> str:
    """Press Connect; returns the authorize URL."""
    answer = client.post(
        f"{path}openrouter/connect",
        data={"display": "page", "csrf_token": token(client, path, base_url)},
        base_url=base_url,
        headers={"Referer": "https://bees.example/"},
    )
    found = re.search(r'content="0;url=([^"]+)"', answer.text)
    assert found, answer.text
    return unescape(found[1])


def approve(url: str) -> str:
    """Say yes at the sandbox; returns the address that it leads back to."""
    with httpx.Client(verify=False) as browser:
        ticket = re.search(r'name="ticket" value="([^"]+)"', browser.get(url).text)
        assert ticket
        data = {"ticket": ticket[1], "account": ACCOUNTS[0].id, "decision": "approve"}
        return browser.post(url, data=data).headers["Location"]
