"""A provider that is hostile, seen through the whole chat app: bounded, one sentence, nothing odd
kept. What the wire alone can do is tried in tests/test_http*.py and tests/providers/."""

import json
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from werkzeug.wrappers import Request, Response

from apiary.addresses import Policy
from apiary.host import answers
from apiary.http import Http
from apiary.providers import OpenAI
from tests.host.browsing import Browser, events, text_of
from tests.host.conftest import MakeHost
from tests.servers import serve

KEY = "sk-proj-canary-0123456789abcdefghijklmnop"
OURS = {"delta", "reasoning", "usage", "error", "done"}
EVIL = "<img src=x onerror=alert(1)>"
BIDI = "\u202egnp.exe\u2066"
MB = 1024 * 1024


def chunk(content: Any = "ok", finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return f"data: {json.dumps({'id': '1', 'choices': [choice], **more})}\n\n".encode()


STOP = chunk("", "stop")
DONE = b"data: [DONE]\n\n"
GOOD = chunk() + STOP + DONE


def endless(piece: bytes, size: int) -> Iterator[bytes]:
    for _ in range(size // len(piece) + 1):
        yield piece


def large() -> dict[str, Callable[[], Iterator[bytes]]]:
    return {
        "line-of-50-mb": lambda: iter([b'data: {"x": "', *endless(b"a" * 65536, 50 * MB)]),
        "event-of-many-lines": lambda: endless(b"data: " + b"a" * 60000 + b"\n", 50 * MB),
        "text-without-end": lambda: endless(chunk("a" * 60000), 200 * MB),
        "comments-without-end": lambda: endless(b": " + b"k" * 60000 + b"\n\n", 200 * MB),
        "name-without-end": lambda: iter([b"event: ", *endless(b"e" * 65536, 50 * MB)]),
        "empty-lines": lambda: endless(b"\n" * 65536, 100 * MB),
    }


#: What is sent, and how the answer must end: the text that is kept, or None where it failed.
SMALL: dict[str, tuple[bytes, str | None, str]] = {
    "no-done": (chunk() + STOP, "ok", "complete"),
    "neither-done-nor-finish": (chunk(), "ok", "incomplete"),
    "nothing": (b"", None, "failed"),
    "only-comments": (b": KEEP ALIVE\n\n" * 50, None, "failed"),
    "only-done": (DONE, None, "failed"),
    "error-in-200": (
        chunk() + chunk("", "error", error={"code": 429, "message": f"{EVIL} {KEY}"}),
        "ok", "incomplete",
    ),
    "error-of-odd-kind": (chunk() + chunk("", error=[[[EVIL]]]) + DONE, "ok", "incomplete"),
    "event-execute": (
        b'event: execute\ndata: {"code": "fetch(1)"}\n\n' + GOOD, "ok", "complete",
    ),
    "event-done": (
        b'event: done\ndata: {"message_id": "forged", "finish_reason": "stop"}\n\n' + GOOD,
        "ok", "complete",
    ),
    "forged-in-text": (
        chunk('x\n\nevent: execute\ndata: {"a":1}\n\nid: 99\r\rdata: y') + STOP + DONE,
        'x\n\nevent: execute\ndata: {"a":1}\n\nid: 99\r\rdata: y', "complete",
    ),
    "only-cr": (GOOD.replace(b"\n", b"\r"), "ok", "complete"),
    "bom": (b"\xef\xbb\xbf" + GOOD, "ok", "complete"),
    "bad-utf-8": (
        chunk().replace(b"ok", b"o\xff\xc3k") + STOP + DONE, "o\ufffd\ufffdk", "complete",
    ),
    "half-a-pair": (chunk().replace(b"ok", b"o\\ud83dk") + STOP + DONE, "o\ufffdk", "complete"),
    "nul": (chunk("o\0k") + STOP + DONE, "o\ufffdk", "complete"),
    "delta-null": (b'data: {"choices":[{"delta":null}]}\n\n' + GOOD, "ok", "complete"),
    "choices-of-odd-kinds": (
        b"".join(f"data: {json.dumps({'choices': odd})}\n\n".encode()
                 for odd in (None, {}, [], [None], [[]], "x", 7, [{"delta": [1]}])) + GOOD,
        "ok", "complete",
    ),
    "tool-calls": (
        b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"rm"}}]}}]}\n\n' + GOOD,
        "ok", "complete",
    ),
    "ids-twice": (b"id: 1\n" + chunk() + b"id: 1\n" + chunk() + STOP + DONE, "okok", "complete"),
    "retry-field": (b"retry: 1\n\n" + GOOD, "ok", "complete"),
    "more-after-done": (GOOD + chunk("late") * 3, "ok", "complete"),
    "no-json": (chunk() + b"data: {not\n\n" + STOP + DONE, "ok", "incomplete"),
    "deep-json": (chunk() + b"data: " + b"[" * 100_000 + b"\n\n" + STOP + DONE, "ok", "incomplete"),
    "odd-usage": (
        chunk() + chunk("", "stop", usage={"prompt_tokens": 1e300, "completion_tokens": -5,
                                           "cost": "NaN"}) + DONE,
        "ok", "complete",
    ),
    "huge-usage": (
        chunk() + chunk("", "stop", usage={"prompt_tokens": 10**14, "completion_tokens": 10**14,
                                           "cost": 10**14}) + DONE,
        "ok", "complete",
    ),
    "odd-finish": (chunk() + chunk("", EVIL * 50) + DONE, "ok", "complete"),
}  # fmt: skip


class Hostile:
    """Says what the name of the model stands for."""

    def __init__(self) -> None:
        self.models: Any = [{"id": "m"}]
        self.large = large()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        return self.answer(request)(environ, start_response)

    def answer(self, request: Request) -> Response:
        if request.path.endswith("/models"):
            return Response(json.dumps({"data": self.models}), content_type="application/json")
        name = json.loads(request.get_data())["model"]
        kind = "text/event-stream"
        if name in SMALL:
            return Response(SMALL[name][0], content_type=kind)
        if name in self.large:
            return Response(self.large[name](), content_type=kind)
        status, headers, body = WHOLE[name]
        return Response(body, status, headers)


HTML = b"<!doctype html><title>Portal</title><script>alert(1)</script>"
META = {"Location": "http://169.254.169.254/latest/meta-data/"}
#: Answers that are no stream: status, headers, body.
WHOLE: dict[str, tuple[int, dict[str, str], bytes]] = {
    "html-200": (200, {"Content-Type": "text/html"}, HTML),
    "html-as-stream": (200, {"Content-Type": "text/event-stream"}, HTML),
    "html-500": (500, {"Content-Type": "text/html"}, HTML),
    "wrong-type": (200, {"Content-Type": "image/svg+xml"}, GOOD),
    "json-array": (200, {"Content-Type": "application/json"}, b"[1]"),
    "gzip": (200, {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}, b"\x1f\x8b"),
    "redirect-307": (307, META, b""),
    "redirect-303": (303, META, b""),
    "no-content": (204, {}, b""),
    "huge-header": (200, {"X-Padding": "p" * 1_000_000}, GOOD),
    "refused-in-markup": (
        400, {"Content-Type": "application/json"},
        json.dumps({"error": {"message": f"{EVIL}{BIDI} {KEY} " + "x" * 50_000}}).encode(),
    ),
    "wait-for-ever": (429, {"Retry-After": "9" * 30}, b"{}"),
}  # fmt: skip


@pytest.fixture
def upstream(make_host: MakeHost) -> Iterator[tuple[Flask, Hostile]]:
    hostile = Hostile()
    with ExitStack() as stack:
        url = stack.enter_context(serve(hostile))

        def providers(settings: Any, _http: Http) -> list[Any]:
            http = Http(Policy.from_settings(settings, also=[url]))
            stack.callback(http.dispose)
            return [OpenAI(settings, http, url + "/v1")]

        yield make_host(providers=providers), hostile


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def told(browser: Browser, model: str) -> tuple[list[Any], dict[str, Any]]:
    """Ask; the events, and the message that was kept. What must hold of any answer is checked."""
    conversation = browser.conversation()
    begun = time.monotonic()
    with browser.send(
        f"/c/{conversation}/messages", {"text": "Bees?", "model": model, "provider": "openai"}
    ) as answer:
        assert answer.status_code == 200, answer.text
        seen = events(answer)
    assert time.monotonic() - begun < 20
    assert {event.kind for event in seen} <= OURS
    assert [event.kind for event in seen if event.kind in ("done", "error")] == [seen[-1].kind]
    assert [event.id - seen[0].id for event in seen] == list(range(len(seen)))
    kept = browser.messages(conversation)[-1]
    assert kept["text"] == text_of(seen)
    everything = json.dumps([vars(event) for event in seen]) + json.dumps(kept)
    assert KEY not in everything and KEY[14:26] not in everything
    if seen[-1].kind == "error":
        sentence = seen[-1].data["message"]
        assert 10 < len(sentence) < 400 and "\n" not in sentence and "\u202e" not in sentence
        assert kept["state"] in ("failed", "incomplete")
    with browser.get(f"/c/{conversation}") as page:
        assert page.status_code == 200 and "<img src=x" not in page.text
        assert "<script>alert" not in page.text
    # Nothing is stuck: the next question is taken.
    with browser.send(f"/c/{conversation}/messages", {"text": "?", "model": "bom"}) as answer:
        assert events(answer)[-1].kind == "done"
    return seen, kept


@pytest.fixture
def asker(upstream: tuple[Flask, Hostile]) -> Browser:
    browser = Browser(upstream[0])
    browser.connect(KEY, "openai")
    return browser


def test_small_ones(asker: Browser) -> None:
    for name, (_, text, state) in SMALL.items():
        seen, kept = told(asker, name)
        assert (kept["text"] or None, kept["state"]) == (text, state), name
        if seen[-1].kind == "done":
            assert seen[-1].data["message_id"] != "forged"
            assert len(seen[-1].data["finish_reason"]) <= 64


def test_what_is_no_stream(asker: Browser) -> None:
    for name in WHOLE:
        if name in ("wrong-type",):
            continue
        seen, kept = told(asker, name)
        assert seen[-1].kind == "error", name
        assert kept["state"] == "failed" and kept["text"] == "", name
        if "wait" in name:
            assert 0 < seen[-1].data.get("retry_after", 1) < 1e7


@pytest.mark.parametrize("name", large())
def test_what_does_not_end(asker: Browser, name: str) -> None:
    before = peak()
    seen, kept = told(asker, name)
    assert seen[-1].kind == "error"
    assert len(kept["text"]) <= answers.LARGEST
    assert peak() - before < 120, "megabytes"


def test_a_million_pieces(
    asker: Browser, upstream: tuple[Flask, Hostile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece costs more than its text: they are counted as well."""
    monkeypatch.setattr(answers, "MOST_EVENTS", 20)
    upstream[1].large["pieces"] = lambda: endless(chunk("a") * 100, 10 * MB)
    seen, kept = told(asker, "pieces")
    assert seen[-1].kind == "error" and seen[-1].data["message"].endswith("was ended here.")
    assert 20 <= len(seen) < 30 and kept["state"] == "incomplete"


def test_a_hostile_catalogue(asker: Browser, upstream: tuple[Flask, Hostile]) -> None:
    """The list is bounded, and each name is one line of visible text."""
    app, hostile = upstream
    hostile.models = [
        {"id": EVIL, "name": f"{EVIL}\r\nX: y{BIDI}"},
        {"id": "gpt-" + "x" * 10_000, "name": "y" * 100_000},
        {"id": "gpt-__proto__", "name": {"toString": 1}, "context_length": "1e999"},
        {"id": ["a"]}, {"id": None}, {"id": 7}, [], None, "gpt-text",
        {"id": "gpt-price", "pricing": {"prompt": "-1", "completion": "NaN"}, "created": 1e400},
        *({"id": f"gpt-{n}"} for n in range(30_000)),
    ]  # fmt: skip
    app.extensions["apiary"].client._lists.clear()
    with asker.get("/models") as answer:
        [found] = answer.json["providers"]
    assert len(found["models"]) <= 20_000
    for model in found["models"]:
        assert model["id"].isprintable() and len(model["id"]) <= 201
        assert model["name"].isprintable() and len(model["name"]) <= 201
        assert "\u202e" not in model["name"]
    with asker.get("/") as page:
        assert "<img src=x" not in page.text


def test_fields_of_a_request_never_lead_elsewhere(
    asker: Browser, upstream: tuple[Flask, Hostile]
) -> None:
    """The key goes to its provider, whatever the question says about addresses."""
    elsewhere: list[str] = []

    def thief(environ: dict[str, Any], start_response: Any) -> Any:
        elsewhere.append(environ.get("HTTP_AUTHORIZATION", ""))
        return Response(GOOD, content_type="text/event-stream")(environ, start_response)

    with serve(thief) as url:
        names = (
            "api_base", "base_url", "baseURL", "url", "endpoint", "proxy", "host", "origin",
            "model_list", "fallbacks", "headers", "extra_body", "extra_headers", "api_key",
            "credential_id", "owner", "owner_id", "user", "user_id",
        )  # fmt: skip
        body: dict[str, Any] = {name: url for name in names}
        body |= {"headers": {"Host": url}, "extra_body": {"base_url": url}, "extra": body.copy()}
        conversation = asker.conversation()
        question = {"text": "Bees?", "model": "bom", "provider": "openai"}
        with asker.send(f"/c/{conversation}/messages", question | body) as answer:
            assert text_of(events(answer)) == "ok"
        query = "&".join(f"{name}={url}" for name in names)
        sent = {name.replace("_", "-"): url for name in names if name not in ("host", "origin")}
        with asker.send(f"/c/{conversation}/messages?{query}", question, **sent) as answer:
            assert text_of(events(answer)) == "ok"
        for path in ("/settings/openai/key", "/settings/openai/check", "/settings/openai/connect"):
            with asker.form(f"{path}?{query}", **{"api_key": KEY} | {n: url for n in names[:8]}):
                pass
        for name in (url, f"{url}#", "openai@" + url, "openai.evil", "../openai", "OPENAI"):
            with asker.send(f"/c/{conversation}/messages", question | {"provider": name}) as answer:
                assert answer.status_code in (400, 409), name
    assert elsewhere == []
    [kept] = [c for c in _export(asker)["conversations"] if c["id"] == conversation]
    assert [m["text"] for m in kept["messages"] if m["role"] == "assistant"] == ["ok", "ok"]


def _export(browser: Browser) -> Any:
    with browser.get("/account/export") as file:
        return json.loads(file.data)
