"""Anthropic's Messages API. Facts: https://platform.claude.com/docs/en/api."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from ..config import Settings
from ..errors import KeyRejected
from ..http import PAUSE, Events, Http, Reply, Said
from ..secret import Secret, is_key
from ..translation import say
from .answer import load
from .base import ChatRequest, Delta, Done, Event, Facts, Model, Pause, Reasoning, Usage
from .compatible import LIST_LENGTH, LIST_PAGES, Compatible, text, whole

_VERSION = "2023-06-01"
_MAX_TOKENS = 8192
_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]{1,40});base64,([A-Za-z0-9+/=]+)")
_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Anthropic(Compatible):
    """It shares the handling of requests and errors with the others; its wire form is its own."""

    name = "anthropic"
    label = "Anthropic"
    key_prefixes = ("sk-ant-",)
    keys_url = "https://console.anthropic.com/settings/keys"
    credits_url = "https://console.anthropic.com/settings/billing"
    chat_path = "/messages"

    def __init__(
        self, settings: Settings, http: Http, url: str = "https://api.anthropic.com"
    ) -> None:
        super().__init__(settings, http, f"{url.rstrip('/')}/v1")

    def check(self, key: Secret) -> Facts:
        reply = self._get("/models?limit=1", key)
        if reply.status != 200:
            raise self._refusal(key, reply, asked="key")
        self._entries(reply)
        return Facts()

    def models(self, key: Secret | None) -> list[Model]:
        found: dict[str, Model] = {}
        path = "/models?limit=1000"
        for _ in range(LIST_PAGES):
            reply = self._get(path, key)
            if reply.status != 200:
                raise self._refusal(key, reply, asked="models")
            before = len(found)
            for entry in self._entries(reply):
                model = self._model(entry)
                if model is not None:
                    found.setdefault(model.id, model)
            data = reply.data if isinstance(reply.data, Mapping) else {}
            last = data.get("last_id")
            more = data.get("has_more") is True and len(found) > before
            if not more or not isinstance(last, str) or len(found) >= LIST_LENGTH:
                break
            path = f"/models?limit=1000&after_id={quote(last, safe='')}"
        return list(found.values())

    def _headers(self, key: Secret | None) -> dict[str, str]:
        headers = {"anthropic-version": _VERSION}
        if key:
            if not is_key(key.reveal()):
                raise KeyRejected(
                    say("This cannot be a key of {label}.", label=self.label), provider=self.name
                )
            headers["x-api-key"] = key.reveal()
        return headers

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        system, messages = _turns(request.messages)
        # Newer versions answer 400 to sampling parameters, even at their defaults.
        extra = {
            k: v for k, v in request.extra.items() if k not in {"temperature", "top_p", "top_k"}
        }
        body: dict[str, Any] = {
            **extra,
            "model": request.model,
            "messages": messages,
            "max_tokens": _MAX_TOKENS if request.max_tokens is None else request.max_tokens,
            "stream": True,
        }
        if system:
            body["system"] = system
        if request.user is not None:
            body["metadata"] = {"user_id": request.user}
        return body

    def _model(self, entry: Mapping[str, Any]) -> Model | None:
        name = text(entry.get("id"))
        if not name:
            return None
        return Model(
            id=name,
            name=text(entry.get("display_name")) or name,
            context=whole(entry.get("max_input_tokens")),
            inputs=("text", "image") if _sees(entry.get("capabilities")) else ("text",),
            created=_unix(entry.get("created_at")),
        )

    def _read(self, events: Events, key: Secret) -> Iterator[Event]:
        prompt = completion = 0
        counted = False
        finish = ""
        for wire in events:
            if wire is PAUSE:
                yield Pause()
                continue
            if isinstance(wire, Said):
                yield Delta(wire.text)
                continue
            kind, data = wire
            if kind == "ping":
                continue
            event = load(data)
            if event is None:
                return
            kind = event.get("type") or kind
            if kind == "content_block_delta":
                said, thought = _piece(event)
                if said:
                    yield Delta(said)
                    # Only now: the first word does not wait for it.
                    events.learn(wire, said, _only)
                elif thought:
                    yield Reasoning(thought)
            elif kind == "content_block_start":
                block = event.get("content_block")
                if isinstance(block, dict) and (said := _text(block, "text")):
                    yield Delta(said)
            elif kind in ("message_start", "message_delta"):
                message = event.get("message") if kind == "message_start" else event
                usage = message.get("usage") if isinstance(message, dict) else None
                if isinstance(usage, dict):
                    counted = True
                    # The figures grow: each is the sum so far. What was read from a cache is
                    # counted apart there and belongs to the prompt here.
                    names = (
                        "input_tokens",
                        "cache_creation_input_tokens",
                        "cache_read_input_tokens",
                    )
                    prompt = max(prompt, sum(whole(usage.get(name)) or 0 for name in names))
                    completion = max(completion, whole(usage.get("output_tokens")) or 0)
                delta = event.get("delta")
                reason = delta.get("stop_reason") if isinstance(delta, dict) else None
                if isinstance(reason, str):
                    finish = _REASONS.get(reason, reason)
            elif kind == "error":
                raise self._midway(key, event.get("error"))
            elif kind == "message_stop":
                finish = finish or "stop"
                break
        if finish:
            if counted:
                yield Usage(prompt, completion)
            yield Done(finish)

    def _document(self, events: Events, reply: Reply, key: Secret) -> Any:
        if reply.status != 200 or (isinstance(reply.data, Mapping) and reply.data.get("error")):
            raise self._refusal(key, reply)
        raise self._nonsense()


def _only(data: str) -> str | None:
    """The text of an event that says nothing else; None for every other one."""
    event = load(data) or {}
    # Beside a text a thought is not heard.
    return _piece(event)[0] if event.get("type") == "content_block_delta" else None


def _piece(event: Mapping[str, Any]) -> tuple[str, str]:
    """Text and thought of a piece of a block, "" for what it leaves out."""
    delta = event.get("delta")
    delta = delta if isinstance(delta, dict) else {}
    return _text(delta, "text"), _text(delta, "thinking")


def _text(block: Mapping[str, Any], name: str) -> str:
    said = block.get(name)
    return said if isinstance(said, str) else ""


def _turns(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[str, list[dict[str, Any]]]:
    """The system text, and the rest so that roles alternate."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        blocks = list(_blocks(content))
        if role in ("system", "developer"):
            system += [block["text"] for block in blocks if block["type"] == "text"]
        elif not blocks:
            continue
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return "\n\n".join(system), turns


def _blocks(content: Any) -> Iterator[dict[str, Any]]:
    """Content in OpenAI's form as Anthropic's blocks; empty text is refused there."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts if isinstance(parts, list | tuple) else ():
        if part.get("type") == "text" and part.get("text"):
            yield {"type": "text", "text": part["text"]}
        elif part.get("type") == "image_url":
            image = part.get("image_url")
            url = image.get("url", "") if isinstance(image, Mapping) else str(image)
            inline = _DATA_URL.fullmatch(url)
            if inline:
                source = {"type": "base64", "media_type": inline[1], "data": inline[2]}
            else:
                source = {"type": "url", "url": url}
            yield {"type": "image", "source": source}


def _sees(capabilities: Any) -> bool:
    image = capabilities.get("image_input") if isinstance(capabilities, Mapping) else None
    return isinstance(image, Mapping) and image.get("supported") is True


def _unix(value: Any) -> int | None:
    try:
        return whole(datetime.fromisoformat(value).timestamp()) if isinstance(value, str) else None
    except ValueError:
        return None
