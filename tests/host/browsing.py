"""Browsers that visit the chat app, and what they read."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from apiary import database


@dataclass
class Event:
    id: int
    kind: str
    data: dict[str, Any]


class Browser:
    """A client that keeps cookies and sends the page's CSRF token, as the real page does."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, **more)

    def token(self) -> str:
        with self.get("/sign-in", headers={"Accept": "text/html"}) as page:
            found = re.search(r'name="csrf-token" content="([^"]+)"', page.get_data(as_text=True))
        assert found, page.status
        return found[1]

    def form(self, path: str, **fields: Any) -> TestResponse:
        """Post as a page without scripts does."""
        return self.client.post(
            path, data={"csrf_token": self.token(), **fields}, headers={"Accept": "text/html"}
        )

    def send(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Post JSON as the page's script does."""
        return self.client.post(
            path,
            json={} if body is None else body,
            headers={"X-CSRFToken": self.token(), "Accept": "text/event-stream", **headers},
        )

    def conversation(self) -> str:
        with self.send("/c") as made:
            assert made.status_code == 201
            found: str = made.json["id"]
            return found

    def ask(self, text: str, conversation: str | None = None, **fields: Any) -> list[Event]:
        """Send a message and read the answer to its end."""
        path = f"/c/{conversation or self.conversation()}/messages"
        with self.send(path, {"text": text, **fields}) as answer:
            assert answer.status_code == 200, answer.get_data(as_text=True)
            return events(answer)

    def connect(self, key: str, provider: str = "openrouter") -> None:
        with self.form(f"/settings/{provider}/key", api_key=key) as saved:
            assert saved.status_code in (200, 303), saved.get_data(as_text=True)
        with self.get("/payer") as payer:
            assert payer.json["kind"] == "key", payer.json

    def sign_up(self, name: str, password: str = "correct horse") -> None:
        with self.form("/sign-up", name=name, password=password) as done:
            assert done.status_code == 303, done.get_data(as_text=True)

    def sign_in(self, name: str, password: str = "correct horse") -> TestResponse:
        return self.form("/sign-in", name=name, password=password)

    def messages(self, conversation: str) -> list[dict[str, Any]]:
        with self.get(f"/c/{conversation}/export.json") as found:
            rows: list[dict[str, Any]] = json.loads(found.data)["messages"]
            return rows


def events(response: TestResponse) -> list[Event]:
    """All events of a stream that ends."""
    return list(each_event(response))


def each_event(response: TestResponse) -> Iterator[Event]:
    """The events of a stream as they come."""
    buffer = ""
    for chunk in response.iter_encoded():
        buffer += chunk.decode()
        while "\n\n" in buffer:
            block, buffer = buffer.split("\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":")
            if fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))


def text_of(found: list[Event]) -> str:
    return "".join(event.data["text"] for event in found if event.kind == "delta")


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def rows(app: Flask, table: Any) -> int:
    """How many rows a table has."""
    with app.app_context(), database.connection_context():
        count: int = table.select().count()
        return count
