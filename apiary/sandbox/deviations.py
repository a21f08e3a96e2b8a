"""Exchange answers that OpenRouter should never give and that a client must survive.

Some come before a code is looked at; the others after the key exists, because a key that
was minted and never arrived is the harder case.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterator
from typing import Any

from flask import Response

from .connection import Connection
from .replies import failure

_PLAIN_FAILURES = {
    "400": (400, "Invalid code_challenge_method"),
    "403": (403, "Invalid code or code_verifier"),
    "expired": (403, "Authorization code expired"),
    "404": (404, "Not found"),
    "405": (405, "Method not allowed"),
    "408": (408, "Request timeout"),
    "500": (500, "Internal Server Error"),
}
_HUGE = 5 * 1024**3
_PIECE = b" " * 65536


def before(name: str, pace: float, line: Connection) -> Response | None:
    """Return the staged answer that mints no key, or None."""
    if name in _PLAIN_FAILURES:
        return failure(*_PLAIN_FAILURES[name])
    match name:
        case "429":
            return failure(429, "Rate limit exceeded", headers={"Retry-After": "7"})
        case "204":
            return Response(status=204)
        case "html":
            page = "<!doctype html><title>OpenRouter</title><h1>Please stand by</h1>"
            return Response(page, mimetype="text/html")
        case "empty":
            return _json("")
        case "array":
            return _json("[]")
        case "deep":
            return _json("[" * 100_000 + "]" * 100_000)
        case "huge":
            return _json(_flood(_HUGE))
        case "bomb":
            return Response(
                _bomb(), mimetype="application/json", headers={"Content-Encoding": "gzip"}
            )
        case "endless":
            return _json(_endless(line, pace))
        case "huge-header":
            return Response("{}", headers={"X-Padding": "p" * 1024**2})
        case "reset":
            return _json(_cut(line, b""))
        case "redirect":
            return Response(status=302, headers={"Location": "/api/v1/elsewhere"})
    return None


def after(name: str, pace: float, line: Connection, key: str, user_id: str) -> Response | None:
    """Return the staged answer for a key that was minted, or None for the true answer."""
    good: dict[str, Any] = {"key": key, "user_id": user_id}
    text = json.dumps(good)
    match name:
        case "truncated":
            return _json(text[: len(text) // 2])
        case "nan":
            return _json(text[:-1] + ', "credits": NaN}')
        case "duplicate-keys":
            return _json('{"key": "sk-or-v1-' + "d" * 64 + '", ' + text[1:])
        case "slow-loris":
            return _json(_drip(text.encode(), line, pace))
        case "reset-late":
            return _json(_cut(line, text[:10].encode()))
        case "wrong-type":
            return Response(text, mimetype="text/plain")
        case "error-200":
            return _json(json.dumps(good | {"error": {"code": 403, "message": "Refused"}}))
        case "key-newline":
            return _json(json.dumps(good | {"key": key + "\nX-Injected: 1"}))
        case "key-missing":
            return _json(json.dumps({"user_id": user_id}))
        case "key-number":
            return _json(json.dumps(good | {"key": 12345}))
        case "key-foreign":
            return _json(json.dumps(good | {"key": "sk-ant-api03-" + "f" * 64}))
        case "user-null":
            return _json(json.dumps(good | {"user_id": None}))
        case "set-cookie":
            answer = _json(text)
            answer.set_cookie("session", "planted")
            return answer
    return None


def _json(body: str | Iterator[bytes]) -> Response:
    return Response(body, mimetype="application/json")


def _flood(size: int) -> Iterator[bytes]:
    yield b'{"padding": "'
    for _ in range(size // len(_PIECE)):
        yield _PIECE
    yield b'"}'


def _endless(line: Connection, pace: float) -> Iterator[bytes]:
    yield b"{"
    while True:
        line.pause(max(0.01, 0.5 * pace))
        yield b" "


def _drip(body: bytes, line: Connection, pace: float) -> Iterator[bytes]:
    for place in range(len(body)):
        yield body[place : place + 1]
        line.pause(10 * pace)


def _cut(line: Connection, first: bytes) -> Iterator[bytes]:
    if first:
        yield first
    line.cut()


@functools.cache
def _bomb() -> bytes:
    # 64 MB of blanks in 64 kB.
    return gzip.compress(b'{"padding": "' + b" " * 64 * 1024**2 + b'"}', compresslevel=6)
