"""``POST /api/v1/chat/completions``, streamed and not (docs, API reference)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, g, request

from . import catalogue, faults, stages
from .connection import Connection
from .journal import Entry
from .ledger import Key
from .replies import as_json, authenticate, failure, unavailable
from .state import Sandbox
from .wire import DONE, PROCESSING, Chunks, choice, shredded

blueprint = Blueprint("chat", __name__)


@blueprint.post("/api/v1/chat/completions")
def completions() -> Response:
    """Answer a chat."""
    found = authenticate()
    if isinstance(found, Response):
        return found
    sandbox, key = found
    body = request.get_json(silent=True)
    body = body if isinstance(body, dict) else {}
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return failure(400, "Input required: specify messages", user_id=key.user_id)
    remaining = key.remaining(sandbox.now())
    if remaining is not None and remaining <= 0:
        # The documentation files this under 402; in the field it is a 403.
        return failure(403, faults.LIMIT, user_id=key.user_id)
    name = body.get("model") or "sandbox/echo"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    limit = limit if isinstance(limit, int) else None
    slug = name.removeprefix("sandbox/") if str(name).startswith("sandbox/") else ""
    slug = slug.partition(":")[0]
    if (fault := faults.staged(name, slug, limit, key.user_id)) is not None:
        return fault
    if slug == "html":
        return Response("<!doctype html><h1>Bad gateway</h1>", mimetype="text/html")
    model = catalogue.find(name)
    if model is None:
        return unavailable(
            400,
            f"{name} is not a valid model ID",
            "model_not_found",
            retryable=False,
            model=str(name),
            retry_after=None,
        )
    prompt = _last_question(messages)
    talk = Talk(
        sandbox=sandbox,
        key=key,
        model=model,
        entry=g.entry,
        line=Connection.of(request),
        steps=stages.SCRIPTS.get(slug, stages.SCRIPTS["echo"])(prompt),
        limit=limit,
        prompt_tokens=max(1, sum(len(str(each)) for each in messages) // 4),
        chunks=Chunks(model["id"], int(sandbox.clock())),
    )
    if body.get("stream"):
        stream = shredded(talk.stream()) if slug == "split" else talk.stream()
        answer = Response(stream, mimetype="text/event-stream")
        answer.headers["Cache-Control"] = "no-cache"
    else:
        answer = talk.whole()
    answer.headers["X-Generation-Id"] = talk.chunks.id
    return answer


@dataclass
class Talk:
    """One answer on its way, and the bill for it."""

    sandbox: Sandbox
    key: Key
    model: dict[str, Any]
    entry: Entry
    line: Connection
    steps: Iterator[stages.Step]
    limit: int | None
    prompt_tokens: int
    chunks: Chunks
    tokens: int = 0
    thoughts: int = 0
    finish: str = "stop"
    parts: list[str] = field(default_factory=list)

    def stream(self) -> Iterator[bytes]:
        """Send the answer, and bill what was sent however it ends."""
        outcome = "gone"
        try:
            # The first piece sends the headers, also for a model that then says nothing.
            yield b""
            first: dict[str, Any] = {"role": "assistant", "content": ""}
            for step in self._counted():
                match step:
                    case stages.Wait(seconds):
                        self.line.pause(seconds * self.sandbox.switches.pace)
                    case stages.KeepAlive():
                        yield PROCESSING
                    case stages.Fault(code, message, error_type):
                        yield self.chunks.error(code, message, error_type)
                        outcome = "cut"
                        return
                    case stages.Stop(cut):
                        outcome = "cut"
                        if cut:
                            self.line.cut()
                        return
                    case _:
                        if first:
                            yield self.chunks.delta(first)
                            first = {}
                        yield self.chunks.delta(_delta(step))
            yield self.chunks.delta(first | {"content": ""}, self.finish)
            one = [choice({"role": "assistant", "content": ""}, None)]
            yield self.chunks.usage(
                self.usage(), one if self.sandbox.switches.usage_choices == "one" else []
            )
            yield DONE
            outcome = "finished"
        finally:
            self._close(outcome)

    def whole(self) -> Response:
        """Send the answer in one piece. It is always billed (docs, streaming)."""
        thoughts: list[str] = []
        error: dict[str, Any] | None = None
        outcome = "finished"
        for step in self._counted():
            match step:
                case stages.Wait(seconds):
                    self.line.pause(seconds * self.sandbox.switches.pace)
                case stages.Thought(text):
                    thoughts.append(text)
                case stages.Fault(code, words, error_type):
                    metadata = {"error_type": error_type}
                    error = {"code": code, "message": words, "metadata": metadata}
                    self.finish = "error"
                case stages.Stop(cut):
                    outcome = "cut"
                    if cut:
                        self._close(outcome)
                        return Response(_nothing(self.line))
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self.parts),
            "refusal": None,
            "reasoning": "".join(thoughts) or None,
        }
        picked: dict[str, Any] = {
            "index": 0,
            "finish_reason": self.finish,
            "native_finish_reason": self.finish,
            "message": message,
        }
        if error is not None:
            picked["error"] = error
        answer = {
            "id": self.chunks.id,
            "object": "chat.completion",
            "created": self.chunks.created,
            "model": self.chunks.model,
            "provider": self.chunks.provider,
            "system_fingerprint": None,
            "choices": [picked],
            "usage": self.usage(),
        }
        self._close(outcome)
        return as_json(answer)

    def usage(self) -> dict[str, Any]:
        """Return tokens and cost so far. ``cost`` is what is charged, in USD."""
        asked, said = self._prices()
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens + self.thoughts,
            "total_tokens": self.prompt_tokens + self.tokens + self.thoughts,
            "cost": float(asked + said),
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.thoughts},
            "cost_details": {
                "upstream_inference_cost": None,
                "upstream_inference_prompt_cost": float(asked),
                "upstream_inference_completions_cost": float(said),
            },
        }

    def _counted(self) -> Iterator[stages.Step]:
        for step in self.steps:
            if isinstance(step, stages.Text | stages.Thought):
                if self.limit is not None and self.tokens + self.thoughts >= self.limit:
                    self.finish = "length"
                    return
                if isinstance(step, stages.Text):
                    self.tokens += 1
                    self.parts.append(step.text)
                else:
                    self.thoughts += 1
            yield step

    def _prices(self) -> tuple[Decimal, Decimal]:
        price = self.model["pricing"]
        # A router's "-1" means that the price depends on the model it picks.
        asked, said = (max(Decimal(0), Decimal(price[name])) for name in ("prompt", "completion"))
        return asked * self.prompt_tokens, said * (self.tokens + self.thoughts)

    def _close(self, outcome: str) -> None:
        cost = sum(self._prices())
        free = self.model["id"].endswith(":free")
        self.sandbox.charge(self.key, float(cost), free=free)
        self.sandbox.journal.note(self.entry, outcome=outcome)


def _delta(step: stages.Step) -> dict[str, Any]:
    if isinstance(step, stages.Thought):
        detail = {"type": "reasoning.text", "text": step.text, "format": "unknown", "index": 0}
        return {"content": "", "reasoning": step.text, "reasoning_details": [detail]}
    assert isinstance(step, stages.Text)
    return {"content": step.text}


def _last_question(messages: list[Any]) -> str:
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
            return str(content or "")
    return ""


def _nothing(line: Connection) -> Iterator[bytes]:
    line.cut()
    yield b""
