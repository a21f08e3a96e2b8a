"""One unique key at each provider, everything driven at DEBUG; then all that came out is searched.

A key may stand in the request to its provider and nowhere else. Its SHA-256 may stand in its
owner's card, as the link to the key's page, and in the database.
"""

import base64
import hashlib
import logging
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from apiary.addresses import Policy
from apiary.http import Http
from apiary.providers import Anthropic, OpenAI
from apiary.sandbox import Ask
from apiary.sandbox.switches import EXCHANGE
from tests.conftest import LiveSandbox
from tests.host.browsing import Browser
from tests.host.conftest import MakeHost
from tests.providers import wires
from tests.security.canary import leaks, needles, places
from tests.security.routes import ROWS
from tests.security.world import led_to
from tests.servers import serve

#: What a chat with the local fakes is made to do.
FAILURES = [
    "good", "split", "cut", "mid-error", "html", "error-200", "short", "long", "garbage",
    "status-400", "status-401", "status-402", "status-403", "status-404", "status-408",
    "status-413", "status-429", "status-500", "status-502", "status-503", "status-529",
]  # fmt: skip
#: And one with the sandbox.
STAGED = ["echo", "cut", "error-401", "error-402", "error-403", "error-404", "error-429",
          "error-500", "error-503", "nonsense"]  # fmt: skip


@dataclass
class Eye:
    """Sees every response."""

    app: Flask
    seen: list[tuple[str, str]] = field(default_factory=list)

    def browser(self) -> Browser:
        made = Browser(self.app)
        eye = self

        class Watched(FlaskClient):
            def open(self, *args: Any, **kwargs: Any) -> TestResponse:
                # Read to the end and closed: a stream that is left open holds a place.
                answer = super().open(*args, **{"buffered": True} | kwargs)
                where = f"{answer.request.method} {answer.request.path}"
                headers = "\n".join(f"{k}: {v}" for k, v in answer.headers.items())
                eye.seen.append((where, f"{answer.status}\n{headers}\n"))
                text = answer.get_data(as_text=True)
                eye.seen.append((where, text))
                answer.close()
                return answer

        made.client = Watched(self.app, self.app.response_class)
        return made


@pytest.fixture
def everything_logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All loggers at DEBUG, also those that the app silences."""
    caplog.set_level(logging.DEBUG)
    yield caplog


def loudly(caplog: pytest.LogCaptureFixture) -> None:
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] not in {"hypothesis", "faker", "asyncio"}:
            caplog.set_level(logging.DEBUG, logger=name)


@pytest.fixture
def wire_keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A key for each local fake, which accepts no other."""
    keys = {
        "openai": "sk-proj-" + secrets.token_urlsafe(40),
        "anthropic": "sk-ant-api03-" + secrets.token_urlsafe(40),
    }

    def key_of(self: wires.Wire, request: Any) -> str:
        sent = original(self, request)
        return wires.GOOD if sent == keys[self.form] else sent

    original = wires.Wire.key_of
    monkeypatch.setattr(wires.Wire, "key_of", key_of)
    # What a careless provider says of the key it got, it says of the true one.
    true = wires.Wire.error

    def error(self: wires.Wire, status: int, request: Any) -> Any:
        answer = true(self, status, request)
        key = keys[self.form]
        body = answer.get_data(as_text=True).replace(wires.GOOD, key)
        answer.set_data(body.replace(wires.GOOD[6:14], key[10:24]))
        return answer

    monkeypatch.setattr(wires.Wire, "error", error)
    return keys


def test_the_search_finds_what_it_looks_for() -> None:
    key = "sk-or-v1-" + secrets.token_hex(32)
    wanted = needles(key, prefix=9)
    half = key[9:41]
    for form in (
        half,
        half[::-1],
        half.encode().hex(),
        base64.b64encode(key.encode()).decode(),
        base64.b64encode(b"x" + key.encode()).decode(),
        base64.urlsafe_b64encode(f"Bearer {key}".encode()).decode(),
        f"the key {key[20:32]} is wrong",
    ):
        assert leaks(f"… {form} …", wanted), form
        assert places([("here", "nothing"), ("there", f"… {form} …")], wanted) == ["there"]
    assert places([("here", "nothing"), ("there", key[:20])], wanted) == []
    assert not leaks(f"sk-or-v1-{key[9:12]}...{key[-3:]} {secrets.token_hex(2000)}", wanted)


def test_no_secret_comes_out(
    make_host: MakeHost,
    sandbox: LiveSandbox,
    everything_logs: pytest.LogCaptureFixture,
    wire_keys: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog = everything_logs
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setenv("TMPDIR", str(temp))
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    builtin = sandbox.state.mint(name="of the operator")
    pasted = sandbox.state.mint(name="pasted")
    with ExitStack() as stack:
        fakes = {form: stack.enter_context(serve(wires.Wire(form))) for form in wire_keys}

        def providers(settings: Any, _http: Http) -> list[Any]:
            http = Http(Policy.from_settings(settings, also=list(fakes.values())))
            stack.callback(http.dispose)
            return [
                OpenAI(settings, http, fakes["openai"] + "/v1"),
                Anthropic(settings, http, fakes["anthropic"]),
            ]

        app = make_host(
            providers=providers,
            OPENROUTER_OAUTH="1",
            APIARY_PUBLIC_URL="http://localhost",
            APIARY_BUILTIN_PROVIDER="openrouter",
            APIARY_BUILTIN_MODEL="sandbox/error-401",
            APIARY_BUILTIN_KEY=builtin,
        )
        # Held open, so that the write-ahead log stays and can be searched.
        held = sqlite3.connect(next(Path(app.instance_path).glob("*.sqlite3")))
        stack.callback(held.close)
        held.execute("SELECT count(*) FROM account").fetchone()
        # As it comes: whoever turns DEBUG on for everything sees no hash, no prompt, no SQL.
        eye = Eye(app)
        story = Story(app, sandbox, eye, caplog)
        story.paste(pasted, wire_keys)
        as_it_comes = caplog.text
        loudly(caplog)
        story.connect()
        story.fail_at_exchange()
        story.fail_in_chat(wire_keys)
        story.every_route()
        assert {"httpcore", "peewee"} <= {r.name.split(".")[0] for r in caplog.records}
        instance = Path(app.instance_path)
        files = {
            path: path.read_bytes()
            for folder in (instance, temp)
            for path in folder.rglob("*")
            if path.is_file()
        }
    keys = {pasted, builtin, *wire_keys.values(), *story.keys}
    wanted = set().union(*(needles(key, prefix=_prefix(key)) for key in keys))
    wanted |= set().union(*(needles(word) for word in story.codes))
    verifiers = set().union(*(needles(word) for word in story.verifiers))
    assert len(story.keys) > 5 and len(story.codes) > 20 and len(story.verifiers) > 20
    assert places(eye.seen, wanted) == []
    others = [(where, text) for where, text in eye.seen if "Set-Cookie: apiary_flow=" not in text]
    assert places(others, verifiers) == []
    assert not leaks(caplog.text, wanted | verifiers)
    records = [(record.name, repr(vars(record))) for record in caplog.records]
    assert places(records, wanted | verifiers) == []
    assert any(path.name.endswith(".sqlite3-wal") for path in files), "the WAL was looked at too"
    for path, raw in files.items():
        assert not leaks(raw.decode("latin-1"), wanted | verifiers), path
    hashes = {hashlib.sha256(key.encode()).hexdigest() for key in keys}
    for where, text in eye.seen:
        # In a card, the link to the page of that very key, where its owner can revoke it.
        text = re.sub(rf"{re.escape(sandbox.url)}/keys/[0-9a-f]{{64}}", "", text)
        assert not hashes & set(re.findall(r"[0-9a-f]{64}", text)), where
    assert not hashes & set(re.findall(r"[0-9a-f]{64}", as_it_comes))


def _prefix(key: str) -> int:
    return next(len(p) for p in ("sk-or-v1-", "sk-proj-", "sk-ant-api03-") if key.startswith(p))


class Story:
    """Ada's long day: everything that can be done, and everything that can go wrong."""

    def __init__(
        self, app: Flask, sandbox: LiveSandbox, eye: Eye, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.app = app
        self.sandbox = sandbox
        self.caplog = caplog
        self.ada = eye.browser()
        self.ada.sign_up("Ada Hive")
        self.codes: set[str] = set()
        self.verifiers: set[str] = set()
        self.keys: set[str] = set()
        mint = sandbox.state.mint

        def noted(*args: Any, **details: Any) -> str:
            key = mint(*args, **details)
            self.keys.add(key)
            return key

        sandbox.state.mint = noted  # type: ignore[method-assign]

    def paste(self, pasted: str, others: dict[str, str]) -> None:
        ada = self.ada
        ada.form("/settings/openrouter/key", api_key=pasted)
        for provider, key in others.items():
            ada.form(f"/settings/{provider}/key", api_key=key)
            # Into the wrong field, with rubbish around it, and far too often.
            for wrong in ("openrouter", "openai", "anthropic"):
                for text in (key, f" '{key}'\n", f"Bearer {key}", f"{key}\r\nX: y", key * 9):
                    if wrong != provider:
                        ada.form(f"/settings/{wrong}/key", api_key=text)
                        ada.send(f"/settings/{wrong}/key", {"api_key": text})
        for status in (400, 401, 403, 429, 500):
            self.sandbox.state.switches.key_status = status
            ada.form("/settings/openrouter/key", api_key=pasted)
            ada.form("/settings/openrouter/key", api_key=pasted, unchecked="y")
            ada.form("/settings/openrouter/check")
            ada.get("/settings/openrouter", headers={"Accept": "application/json"})
        self.sandbox.state.switches.key_status = 0
        ada.form("/settings/openrouter/key", api_key=pasted)
        ada.ask("Bees?", model="sandbox/echo", provider="openrouter")

    def flow(self) -> tuple[str, str]:
        """Begin a flow; the path of its callback with a good code, and its attempt."""
        attempt = secrets.token_urlsafe(16)
        page = self.ada.form(
            "/settings/openrouter/connect", display="popup", attempt=attempt
        ).get_data(as_text=True)
        query = parse_qs(urlsplit(led_to(page)).query)
        callback = query["callback_url"][0]
        ask = Ask(
            callback_url=callback,
            challenge=query["code_challenge"][0],
            method="S256",
            label="Apiary",
        )
        code = self.sandbox.state.issue(ask)
        path = urlsplit(callback).path
        self.codes.add(code)
        self.verifiers.add(self.ada.client._cookies["localhost", path, "apiary_flow"].value)
        return f"{path}?code={code}", attempt

    def connect(self) -> None:
        ada = self.ada
        back, attempt = self.flow()
        ada.get(back)
        ada.get(f"/settings/openrouter/flows/{attempt}")
        ada.get(f"/settings/openrouter/done/{attempt}")
        ada.get(back)
        # Callbacks that are refused: no cookie, another browser, another account, prefetched.
        back, attempt = self.flow()
        ada.get(back, headers={"Sec-Purpose": "prefetch"})
        Browser(self.app).get(back)
        ada.get(f"{back}&code=twice")
        back, attempt = self.flow()
        ada.form(f"/settings/openrouter/flows/{attempt}/code", code=back)
        ada.form(f"/settings/openrouter/flows/{attempt}/cancel")
        ada.get(back)

    def fail_at_exchange(self) -> None:
        for name in EXCHANGE:
            if name in {"slow-loris", "endless", "huge", "bomb"}:
                continue
            self.sandbox.state.switches.exchange = name
            back, attempt = self.flow()
            self.ada.get(back)
            self.ada.get(f"/settings/openrouter/flows/{attempt}")
            self.ada.get("/settings/")
        self.sandbox.state.switches.exchange = "ok"

    def fail_in_chat(self, others: dict[str, str]) -> None:
        asked = [("openrouter", f"sandbox/{name}") for name in STAGED]
        asked += [(provider, name) for provider in others for name in FAILURES]
        asked += [("built-in", "sandbox/error-401")]
        for provider, model in asked:
            conversation = self.ada.conversation()
            fields = {"text": "Bees?", "model": model, "provider": provider}
            self.ada.send(f"/c/{conversation}/messages", fields)
            self.ada.get(f"/c/{conversation}")
            self.ada.get(f"/c/{conversation}/export.json")
            if "401" in model:
                # It is marked as refused now; take it back.
                self.ada.form(f"/settings/{provider}/check")
        for status in (401, 500):
            self.sandbox.state.switches.models_status = status
            self.ada.get("/models")
        self.sandbox.state.switches.models_status = 0

    def every_route(self) -> None:
        conversation = self.ada.conversation()
        places = {
            "id": conversation,
            "provider": "openrouter",
            "attempt": "attempt-0123456789",
            "flow": "no-flow",
            "reason": "unknown",
            "filename": "chat.css",
        }
        last = ("/sign-out", "/account/sign-out-everywhere", "/account/delete")
        for row in sorted(ROWS, key=lambda row: row.rule in last):
            path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", lambda found: places[found[1]], row.rule)
            if row.rule == "/sign-in" or row.file:
                continue
            for kind in ("text/html", "application/json"):
                if row.method == "GET":
                    self.ada.get(path, headers={"Accept": kind})
                elif row.rule not in last:
                    token = {"X-CSRFToken": self.ada.token(), "Accept": kind}
                    self.ada.client.post(path, data=row.send, headers=token)
            if row.method == "POST":
                self.ada.client.post(path, data=row.send)
