"""An answer that another process is writing, followed by what it saves."""

import time
from collections.abc import Iterator

from flask import Flask

from apiary import database

from . import conversations
from .answers import HEARTBEAT
from .language import speaking, tongue
from .readers import Seat
from .tables import Message
from .wire import SAVED, encode

_LOOK_EVERY = 0.5


def follow(app: Flask, message_id: str, seat: Seat) -> Iterator[bytes]:
    """The events of a running answer from its beginning, as its row grows.

    No connection is held between two looks. Called in the request of who reads.
    """
    return _events(app, message_id, seat, tongue().tag)


def _events(app: Flask, message_id: str, seat: Seat, language: str) -> Iterator[bytes]:
    yield b": open\n\n"
    number, text, reasoning = SAVED, "", ""
    spoke = time.monotonic()
    while not seat.gone:
        with app.app_context(), speaking(language), database.connection_context():
            row = Message.get_or_none(Message.id == message_id)
            running = row is not None and conversations.is_running(row)
            if row is not None and conversations.is_dead(row):
                conversations.break_off(row)
        if row is None:
            return
        news = b""
        for kind, now, before in (
            ("reasoning", row.reasoning, reasoning),
            ("delta", row.text, text),
        ):
            if len(now) > len(before):
                number += 1
                news += encode(number, kind, {"text": now[len(before) :]})
        text, reasoning = row.text, row.reasoning
        if not running:
            yield news + end(number, row)
            return
        if not news and time.monotonic() - spoke > HEARTBEAT:
            news = b": still here\n\n"
        if news:
            spoke = time.monotonic()
            yield news
        time.sleep(_LOOK_EVERY)


def end(number: int, row: Message) -> bytes:
    """The last events of an answer, as its row tells them."""
    events = b""
    if row.completion_tokens is not None:
        number += 1
        usage = {
            "prompt_tokens": row.prompt_tokens,
            "completion_tokens": row.completion_tokens,
            "cost": None if row.cost is None else float(row.cost),
        }
        events += encode(number, "usage", usage)
    if row.error_code:
        error = {
            "code": row.error_code,
            "message": row.error_message,
            "action": row.error_action,
            "message_id": row.id,
        }
        return events + encode(number + 1, "error", error)
    done = {"message_id": row.id, "finish_reason": row.finish_reason or "stop"}
    return events + encode(number + 1, "done", done)
