"""The chat app with a lost key ring: all but the key works, and all comes back with it."""

from collections.abc import Callable

import pytest
from flask import Flask

from apiary.crypto import new_key
from tests.host.browsing import Browser, text_of

RIGHT, WRONG = new_key("k1"), new_key("k1")


@pytest.fixture
def start(make_host, database_url: str) -> Callable[[str], Flask]:
    return lambda ring: make_host(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=ring)


def visit(app: Flask, before: Browser) -> Browser:
    """The same browser after a restart of the app."""
    browser = Browser(app)
    browser.client._cookies = before.client._cookies
    return browser


def test_a_lost_ring_stops_only_the_key(start, sandbox, paste_key: str) -> None:
    first = Browser(start(RIGHT))
    first.connect(paste_key)
    talk = first.conversation()
    assert "hello" in text_of(first.ask("hello", talk, model="sandbox/echo"))
    chats = len(sandbox.state.journal.chats())

    lost = visit(start(WRONG), first)
    for path in ("/", f"/c/{talk}", "/settings/", "/account"):
        with lost.get(path, headers={"Accept": "text/html"}) as page:
            assert page.status_code == 200, path
    with lost.send(f"/c/{talk}/messages", {"text": "again"}) as refused:
        assert refused.status_code == 409
        assert refused.json["code"] == "key_unreadable" and refused.json["action"] == "reconnect"
    assert [m["text"] for m in lost.messages(talk)][:1] == ["hello"]
    assert len(sandbox.state.journal.chats()) == chats

    again = visit(start(RIGHT), first)
    assert "third" in text_of(again.ask("third", talk, model="sandbox/echo"))
