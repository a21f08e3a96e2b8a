from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from flask import Flask

from apiary.sandbox import PASTE_KEY, Sandbox, create_app
from tests.servers import serve

VERIFIER = "verifier-" + "0123456789" * 4
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1763000000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Live:
    """A sandbox behind a real socket, and a browser without a window."""

    base: str
    app: Flask
    http: httpx.Client
    clock: Clock
    headers: dict[str, str] = field(
        default_factory=lambda: {"Authorization": f"Bearer {PASTE_KEY}"}
    )

    @property
    def sandbox(self) -> Sandbox:
        found: Sandbox = self.app.extensions["sandbox"]
        return found

    def ask(self, **extra: str | None) -> dict[str, str]:
        given = {
            "callback_url": "http://localhost:3000/cb/flow1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        } | extra
        return {name: value for name, value in given.items() if value is not None}

    def page(self, **extra: str | None) -> httpx.Response:
        return self.http.get("/auth", params=self.ask(**extra))

    def decide(self, decision: str = "approve", **extra: str | None) -> httpx.Response:
        form = {"ticket": ticket(self.page(**extra)), "decision": decision}
        return self.http.post("/auth", data=form)

    def code(self, **extra: str | None) -> str:
        return dict(httpx.URL(self.decide(**extra).headers["Location"]).params)["code"]

    def exchange(self, code: str, **extra: Any) -> httpx.Response:
        body = {"code": code, "code_verifier": VERIFIER, "code_challenge_method": "S256"} | extra
        return self.http.post("/api/v1/auth/keys", json=body)

    def chat(self, model: str, text: str = "Hello bees", **extra: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": text}]} | extra
        return self.http.post("/api/v1/chat/completions", json=body, headers=self.headers)


def ticket(page: httpx.Response) -> str:
    assert page.status_code == 200, page.text
    return page.text.partition('name="ticket" value="')[2].partition('"')[0]


@pytest.fixture
def live() -> Iterator[Live]:
    clock = Clock()
    app = create_app(clock=clock, pace=0)
    with serve(app) as base, httpx.Client(base_url=base, timeout=5, verify=False) as http:
        yield Live(base, app, http, clock)
