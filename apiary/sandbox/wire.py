"""The bytes of a chat stream, as OpenRouter sends them (docs, API reference, streaming)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PROCESSING = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"


def generation_id() -> str:
    """Return an id like ``gen-1763000000-AbCd...``."""
    return "gen-" + secrets.token_hex(12)


def event(data: dict[str, Any]) -> bytes:
    """Return one event. Text stays UTF-8, so that a character can be split on the wire."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


@dataclass
class Chunks:
    """Makes the chunks of one answer."""

    model: str
    created: int
    provider: str = "Sandbox"
    id: str = field(default_factory=generation_id)

    def delta(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        """Return a chunk with one choice."""
        return event(self._head() | {"choices": [choice(delta, finish)]})

    def usage(self, usage: dict[str, Any], choices: list[dict[str, Any]]) -> bytes:
        """Return the last chunk before ``[DONE]``."""
        return event(self._head() | {"choices": choices, "usage": usage})

    def error(self, code: int | str, message: str, error_type: str) -> bytes:
        """Return the chunk that ends a broken stream; the HTTP status was 200 long ago."""
        error = {"code": code, "message": message, "metadata": {"error_type": error_type}}
        return event(self._head() | {"error": error, "choices": [choice({"content": ""}, "error")]})

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "provider": self.provider,
        }


def choice(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    """Return one choice of a chunk."""
    return {
        "index": 0,
        "delta": delta,
        "finish_reason": finish,
        "native_finish_reason": finish,
    }


def shredded(stream: Iterator[bytes], size: int = 3) -> Iterator[bytes]:
    """Send a stream with CRLF line ends, extra comments and split characters.

    All of this is allowed by the event-stream format (WHATWG HTML, server-sent events);
    three bytes at a time cut through every longer UTF-8 character.
    """
    for piece in stream:
        lines = b": a comment\r\n" + piece.replace(b"\n", b"\r\n")
        for place in range(0, len(lines), size):
            yield lines[place : place + size]
