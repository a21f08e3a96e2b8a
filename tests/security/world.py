"""A chat app with somebody in it, and what the attacks look at before and after."""

import re
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from werkzeug.test import TestResponse

from apiary import database
from apiary.host.tables import Account, Allowance, Conversation, Message
from apiary.models import StoredConnection, StoredFlow
from tests.host.browsing import Browser

PASSWORD = "correct horse"
ATTEMPT = "attempt-of-ada-0123456789"
TABLES = (Account, Allowance, Conversation, Message, StoredConnection, StoredFlow)

Kept = tuple[list[tuple[Any, list[Any]]], dict[Any, Any]]


@dataclass
class World:
    """Ada is a member with a conversation, a connection and a flow that waits."""

    app: Flask
    ada: Browser
    #: What stands in the addresses of Ada's things.
    places: dict[str, str]
    #: Where OpenRouter would be asked for her approval.
    authorize_url: str

    def path(self, rule: str, **other: str) -> str:
        places = self.places | other
        return re.sub(r"<(?:[^:<>]+:)?(\w+)>", lambda found: places[found[1]], rule)

    def stranger(self) -> Browser:
        """A guest who has done nothing yet."""
        made = Browser(self.app)
        made.token()
        return made

    def rows(self) -> set[tuple[Any, ...]]:
        """Every row of every table."""
        return rows_of(self.app)

    def save(self) -> Kept:
        with self.app.app_context(), database.connection_context():
            rows = [(table, list(table.select().tuples())) for table in TABLES]
        return rows, dict(self.ada.client._cookies or {})

    def restore(self, kept: Kept) -> None:
        """Make the database and Ada's browser what they were."""
        rows, cookies = kept
        with self.app.app_context(), database.connection_context(), database.atomic():
            for table, _ in reversed(rows):
                table.delete().execute()
            for table, old in rows:
                if old:
                    table.insert_many(old, fields=table._meta.sorted_fields).execute()
        self.ada.client._cookies = dict(cookies)


def found(app: Flask, key: str) -> World:
    ada = Browser(app)
    ada.sign_up("Ada Hive", PASSWORD)
    conversation = ada.conversation()
    with ada.send(f"/c/{conversation}/rename", {"title": "Of bees"}) as answer:
        assert answer.status_code == 204
    ada.connect(key)
    places = {
        "id": conversation,
        "provider": "openrouter",
        "attempt": ATTEMPT,
        "reason": "unknown",
        "flow": "",
        "filename": "host.css",
    }
    url = ""
    if "apiary.connect" in app.view_functions:
        url = begin(ada, ATTEMPT)
        callback = parse_qs(urlsplit(url).query)["callback_url"][0]
        places["flow"] = callback.rsplit("/", 1)[1]
    return World(app, ada, places, url)


def begin(browser: Browser, attempt: str, **fields: str) -> str:
    """Press Connect; the address that the hop page leads to."""
    with browser.form(
        "/settings/openrouter/connect", display="popup", attempt=attempt, **fields
    ) as page:
        text = page.get_data(as_text=True)
    return led_to(text)


def led_to(page: str) -> str:
    """Where a hop page leads."""
    leads = re.search(r'content="0;url=([^"]+)"', page)
    assert leads, page
    return unescape(leads[1])


def rows_of(app: Flask) -> set[tuple[Any, ...]]:
    kept: set[tuple[Any, ...]] = set()
    with app.app_context(), database.connection_context():
        for table in TABLES:
            kept |= {(table.__name__, *row) for row in table.select().tuples()}
    return {tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in kept}


def call(
    browser: Browser,
    method: str,
    path: str,
    fields: dict[str, Any] | None = None,
    *,
    token: str | None = None,
    host: str | None = None,
    **headers: str,
) -> TestResponse:
    """One request, as a page of the site would send it but for what is said otherwise."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["X-CSRFToken"] = token
    more: dict[str, Any] = {}
    if host:
        more["environ_overrides"] = {"HTTP_HOST": host}
    if method != "GET":
        more["json" if sent.pop("as-json", "") else "data"] = fields or {}
    return browser.client.open(path, method=method, headers=sent, **more)
