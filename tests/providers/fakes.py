"""Providers over a transport that answers from a table, for what needs no socket."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from apiary.addresses import Policy
from apiary.config import Settings
from apiary.http import Http

KEY = "sk-canary-0123456789abcdef"


class Table:
    """Answers by path and query, or by path; notes what was asked."""

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        self.answers = answers or {}
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.raw_path.decode()
        found = self.answers.get(path, self.answers.get(request.url.path))
        if found is None:
            return httpx.Response(404, json={"error": {"message": f"no {path}"}})
        if isinstance(found, httpx.Response):
            return httpx.Response(found.status_code, headers=found.headers, content=found.content)
        # json.dumps and not httpx: it writes NaN, as careless servers do.
        headers = {"content-type": "application/json"}
        return httpx.Response(200, headers=headers, content=json.dumps(found).encode())

    @property
    def last(self) -> Any:
        return json.loads(self.requests[-1].content)


def build(make: Callable[..., Any], table: Table, folder: Path, **config: str) -> Any:
    """A provider that talks to the table, at its own real address."""
    settings = Settings.from_mapping(config, folder)
    http = Http(Policy.from_settings(settings), transport=httpx.MockTransport(table))
    return make(settings, http)


def events(*chunks: Any) -> httpx.Response:
    """A stream of these events; text goes in as it is, a pair is a named event."""
    lines = []
    for chunk in chunks:
        name, data = chunk if isinstance(chunk, tuple) else ("", chunk)
        text = data if isinstance(data, str) else json.dumps(data)
        lines.append(f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n")
    headers = {"content-type": "text/event-stream"}
    return httpx.Response(200, headers=headers, content="".join(lines).encode())


def problem(status: int, body: Any, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, json=body)
