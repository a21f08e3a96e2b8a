"""Servers that speak the wire forms of the providers, and misbehave on demand.

What an answer does is chosen by the name of the model that is asked: ``good``, ``split``,
``cut``, ``mid-error``, ``stall``, ``html``, ``document``, ``status-402`` and so on.
"""

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from werkzeug.wrappers import Request, Response

GOOD = "sk-canary-GoodGoodGood-0123456789"
BAD = "sk-canary-BadBadBadBad-9876543210"
TEXT = "Grüße 🐝 \u2028 ok"
PIECES = ("Grü", "ße 🐝 ", "\u2028 ok")
THOUGHT = "Hm, a bee."
PROMPT, COMPLETION = 11, 7
#: What a provider that is careless with keys says.
LOOSE = "The key {key} may not do this; neither may {piece}, says user_1."


class Wire:
    """One provider's server. ``form`` is openrouter, openai, endpoint or anthropic."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.requests: list[Request] = []
        self.bodies: list[dict[str, Any]] = []
        #: Status of the list of models and of the check; 200 is good.
        self.list_status = 200
        #: Body of the list instead of the usual one, as JSON or bytes.
        self.list_body: Any = None
        #: The client hung up while an answer was waiting.
        self.gone = threading.Event()

    @property
    def root(self) -> str:
        return "/api/v1" if self.form == "openrouter" else "/v1"

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        self.requests.append(request)
        response = self._answer(request, environ.get("werkzeug.socket"))
        return response(environ, start_response)

    def key_of(self, request: Request) -> str:
        if self.form == "anthropic":
            return request.headers.get("x-api-key", "")
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    def _answer(self, request: Request, sock: socket.socket | None) -> Response:
        path = request.path.removeprefix(self.root)
        if path == ("/messages" if self.form == "anthropic" else "/chat/completions"):
            body = json.loads(request.get_data())
            self.bodies.append(body)
            if self.key_of(request) == BAD:
                return self.error(401, request)
            return self._chat(request, body["model"], sock)
        if self.list_status != 200:
            return self.error(self.list_status, request)
        if isinstance(self.list_body, bytes):
            return Response(self.list_body, content_type="text/html")
        if path == "/key" and self.form == "openrouter":
            if self.key_of(request) != GOOD:
                return self.error(401, request)
            return _json(self.list_body or {"data": {"label": "sk-can...789", "usage": 1.5}})
        if path == "/models":
            # OpenRouter's list is public; with a bad key even that is refused.
            key = self.key_of(request)
            if key != GOOD and not (self.form in ("openrouter", "endpoint") and not key):
                return self.error(401, request)
            return _json(self.list_body or self._list())
        return self.error(404, request)

    def _list(self) -> dict[str, Any]:
        entries: list[dict[str, Any]] = [{"id": "good"}, {"id": "cut"}, {}, {"id": 7}]
        if self.form == "anthropic":
            return {"data": entries, "has_more": False, "first_id": "good", "last_id": "cut"}
        return {"object": "list", "data": [*entries, "nonsense"]}

    def error(self, status: int, request: Request) -> Response:
        key = self.key_of(request)
        message = LOOSE.format(key=key, piece=key[6:14]) if key else "No key was sent."
        headers = {"Retry-After": "7", "Location": "https://elsewhere.example/"}
        if status == 204:
            return Response(status=204)
        if self.form == "anthropic":
            return _json(
                {"type": "error", "error": {"type": "x", "message": message}}, status, headers
            )
        return _json({"error": {"code": status, "message": message}}, status, headers)

    def _chat(self, request: Request, model: str, sock: socket.socket | None) -> Response:
        if model.startswith("status-"):
            return self.error(int(model.removeprefix("status-")), request)
        if model == "html":
            return Response("<!doctype html><p>Welcome to the hotel", content_type="text/html")
        if model == "error-200":
            return _json({"error": {"code": 429}})
        stream = self._anthropic(model, request, sock)
        if self.form != "anthropic":
            stream = self._openai(model, request, sock)
        return Response(self._bytes(model, stream), content_type="text/event-stream; charset=utf-8")

    def _bytes(self, model: str, stream: Iterator[str]) -> Iterator[bytes]:
        try:
            for text in stream:
                raw = text.encode()
                if model == "split":
                    for at in range(len(raw)):
                        yield raw[at : at + 1]
                else:
                    yield raw
        finally:
            if model == "stall":
                self.gone.set()

    def _openai(self, model: str, request: Request, sock: Any) -> Iterator[str]:
        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return _event({"id": "1", "choices": [choice], **more})

        yield ": KEEP ALIVE\n\n"
        yield chunk({"role": "assistant", "content": ""})
        if model == "stall":
            yield from self._stall(sock)
        yield chunk({"reasoning": THOUGHT})
        for piece in PIECES:
            yield chunk({"content": piece})
        if model == "cut":
            _shut(sock)
        if model == "short":
            return
        if model == "mid-error":
            message = LOOSE.format(key=self.key_of(request), piece=self.key_of(request)[-8:])
            yield chunk({}, "error", error={"code": 429, "message": message})
            return
        if model == "garbage":
            yield "data: {not json\n\n"
        yield chunk({}, "length" if model == "long" else "stop")
        usage = {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION}
        yield _event({"id": "1", "choices": [], "usage": usage})
        yield "data: [DONE]\n\n"

    def _anthropic(self, model: str, request: Request, sock: Any) -> Iterator[str]:
        def event(kind: str, **more: Any) -> str:
            return f"event: {kind}\n" + _event({"type": kind, **more})

        usage = {"input_tokens": PROMPT - 1, "cache_read_input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
        message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        yield event("message_start", message=message)
        yield event("ping")
        if model == "stall":
            yield from self._stall(sock)
        thinking = {"type": "thinking", "thinking": "", "signature": ""}
        yield event("content_block_start", index=0, content_block=thinking)
        yield event(
            "content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": THOUGHT}
        )
        yield event("content_block_stop", index=0)
        yield event("something_new", index=0)
        yield event("content_block_start", index=1, content_block={"type": "text", "text": ""})
        for piece in PIECES:
            yield event("content_block_delta", index=1, delta={"type": "text_delta", "text": piece})
        if model == "cut":
            _shut(sock)
        if model == "short":
            return
        if model == "mid-error":
            message = LOOSE.format(key=self.key_of(request), piece=self.key_of(request)[-8:])
            yield event("error", error={"type": "rate_limit_error", "message": message})
            return
        if model == "garbage":
            yield "event: content_block_delta\ndata: {not json\n\n"
        yield event("content_block_stop", index=1)
        reason = "max_tokens" if model == "long" else "end_turn"
        yield event(
            "message_delta", delta={"stop_reason": reason}, usage={"output_tokens": COMPLETION}
        )
        yield event("message_stop")

    def _stall(self, sock: Any) -> Iterator[str]:
        """Say nothing for long, and note when the client hangs up."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            readable, _, _ = select.select([sock], [], [], 0.05)
            if readable and not sock.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError
        yield ""


def _json(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(data), status, headers, content_type="application/json")


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _shut(sock: Any) -> None:
    sock.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError
