"""The wire form of OpenAI's chat completions, which most providers share.

Real servers differ in every detail that is not needed to show an answer, so what is missing
or odd is passed over, and what is wrong in a way that loses text ends the answer.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from ..addresses import origin
from ..config import Settings
from ..errors import ApiaryError, KeyRejected
from ..http import PAUSE, Events, Http, Reply, Said, Unusable
from ..secret import Secret, is_key
from ..translation import say
from . import refusals
from .answer import Answer, load
from .base import (
    ChatRequest,
    Delta,
    Done,
    Event,
    Facts,
    Model,
    Pause,
    Provider,
    Reasoning,
    Stream,
    Usage,
)

#: Bytes that a list of models may have; the largest known has half a million.
LIST_CAP = 8 * 1024 * 1024
#: Models and pages that are taken from one list.
LIST_LENGTH, LIST_PAGES = 20_000, 20
_PAUSE = Pause()


class Compatible(Provider):
    """A server that speaks OpenAI's wire form below ``url``."""

    chat_path = "/chat/completions"
    #: The field of the request that limits the answer.
    max_tokens_field = "max_tokens"
    #: What else every request for an answer says.
    options: Mapping[str, Any] = {"stream_options": {"include_usage": True}}

    def __init__(self, settings: Settings, http: Http, url: str) -> None:
        self._settings = settings
        self._http = http
        self._url = url.rstrip("/")
        self.origin = origin(url) if url else ""

    def check(self, key: Secret) -> Facts:
        reply = self._get("/models", key)
        if reply.status != 200:
            raise self._refusal(key, reply, asked="key")
        self._entries(reply)
        return Facts()

    def models(self, key: Secret | None) -> list[Model]:
        reply = self._get("/models", key)
        if reply.status != 200:
            raise self._refusal(key, reply, asked="models")
        found = (self._model(entry) for entry in self._entries(reply))
        return [model for model in found if model is not None]

    def stream(self, key: Secret, request: ChatRequest) -> Stream:
        headers = {**self._headers(key), "accept": "text/event-stream"}
        try:
            events = self._http.events(
                "POST", self._url + self.chat_path, headers=headers, body=self._body(request)
            )
        except Unusable as failure:
            problem = refusals.down(self.name, self.label, failure)
        else:
            if events.reply is None:
                return Answer(events, lambda running: self._read(running, key), self.name)
            return self._document(events, events.reply, key)
        raise problem

    def _headers(self, key: Secret | None) -> dict[str, str]:
        """The headers of a request with this key, and the only place where it is shown."""
        if not key:
            return {}
        if not is_key(key.reveal()):
            raise KeyRejected(
                say("This cannot be a key of {label}.", label=self.label), provider=self.name
            )
        return {"authorization": f"Bearer {key.reveal()}"}

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            **request.extra,
            "model": request.model,
            "messages": [dict(message) for message in request.messages],
            "stream": True,
            **self.options,
        }
        if request.max_tokens is not None:
            body[self.max_tokens_field] = request.max_tokens
        if request.user is not None:
            body["user"] = request.user
        return body

    def _get(self, path: str, key: Secret | None, *, cap: int = LIST_CAP) -> Reply:
        """Ask for what stands at a path below the provider's URL."""
        try:
            return self._http.json("GET", self._url + path, headers=self._headers(key), cap=cap)
        except Unusable as failure:
            problem = refusals.down(self.name, self.label, failure)
        raise problem

    def _refusal(self, key: Secret | None, reply: Reply, *, asked: str = "model") -> ApiaryError:
        """The error for an answer that is none. Providers with habits of their own override it."""
        return refusals.refusal(self.name, self.label, key, reply, asked=asked)

    def _nonsense(self) -> ApiaryError:
        return refusals.down(self.name, self.label, Unusable("answer"))

    def _entries(self, reply: Reply) -> list[Mapping[str, Any]]:
        data = reply.data.get("data") if isinstance(reply.data, Mapping) else reply.data
        if not isinstance(data, list):
            raise self._nonsense()
        return [entry for entry in data[:LIST_LENGTH] if isinstance(entry, Mapping)]

    def _model(self, entry: Mapping[str, Any]) -> Model | None:
        """One entry of the list of models, None where it is none that can be asked."""
        name = text(entry.get("id"))
        if not name:
            return None
        context = entry.get("context_length") or entry.get("max_model_len")
        return Model(
            id=name,
            name=text(entry.get("name")) or name,
            context=whole(context),
            created=whole(entry.get("created")),
        )

    def _read(self, events: Events, key: Secret) -> Iterator[Event]:
        finish = ""
        usage: Any = None
        done = False
        try:
            for event in events:
                if event is PAUSE:
                    yield _PAUSE
                    continue
                if isinstance(event, Said):
                    yield Delta(event.text)
                    continue
                data = event[1]
                if data == "[DONE]":
                    done = True
                    break
                chunk = load(data)
                if chunk is None:
                    # Text may be lost here: that is no whole answer.
                    return
                piece = _piece(chunk)
                usage = piece.usage or usage
                if piece.problem or piece.finish == "error":
                    raise self._midway(key, piece.problem)
                if piece.thought:
                    yield Reasoning(piece.thought)
                if piece.said:
                    yield Delta(piece.said)
                    # Only now: the first word does not wait for it.
                    events.learn(event, piece.said, _only)
                finish = piece.finish or finish
        except Unusable:
            # What breaks after the last piece of the answer takes nothing from it.
            if not finish:
                raise
        if done or finish:
            if counted := _usage(usage):
                yield counted
            yield Done(finish or "stop")

    def _document(self, events: Events, reply: Reply, key: Secret) -> Stream:
        """A whole answer where a stream was asked for, or the error that came instead."""
        data = reply.data
        if reply.status != 200 or (isinstance(data, Mapping) and data.get("error")):
            raise self._refusal(key, reply)
        choice = _first(data) if isinstance(data, dict) else {}
        message = choice.get("message")
        if not isinstance(message, dict):
            raise self._nonsense()
        if choice.get("error") or choice.get("finish_reason") == "error":
            raise self._midway(key, choice.get("error"))
        counted = _usage(data.get("usage"))
        found: list[Event] = [Delta(said)] if (said := _said(message.get("content"))) else []
        found += [counted] if counted else []
        found.append(Done(str(choice.get("finish_reason") or "stop")))
        return Answer(events, lambda _: iter(found), self.name)

    def _midway(self, key: Secret, problem: Any) -> ApiaryError:
        """The error for what a provider says in the midst of an answer."""
        said = refusals.detail({"error": problem})
        status = said.status or 500
        # By now the key was accepted: a 401 is about something behind the provider.
        if status >= 500 or status in (401, 408):
            return refusals.broken(self.name)
        return refusals.error(self.name, self.label, key, status, said, said.wait)


def text(value: Any, limit: int = 200) -> str:
    """Foreign text fit to be shown, "" where it is none."""
    return refusals.excerpt(value, None, limit=limit) if isinstance(value, str) else ""


def whole(value: Any) -> int | None:
    """A count that is not negative."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15:
        return int(value)
    return None


def amount(value: Any) -> Decimal | None:
    """An amount of money as JSON writes it, number or text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value)[:40])
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < 10**15 else None


def _first(chunk: Mapping[str, Any]) -> dict[str, Any]:
    choices = chunk.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return {}


class _Piece(NamedTuple):
    """What one event says; what it leaves out is empty."""

    said: str
    thought: str
    finish: str
    problem: Any
    usage: Any


def _piece(chunk: Mapping[str, Any]) -> _Piece:
    choice = _first(chunk)
    delta = choice.get("delta")
    delta = delta if isinstance(delta, dict) else {}
    thought = delta.get("reasoning") or delta.get("reasoning_content")
    finish = choice.get("finish_reason")
    return _Piece(
        _said(delta.get("content")),
        thought if isinstance(thought, str) else "",
        finish if isinstance(finish, str) else "",
        chunk.get("error") or choice.get("error"),
        chunk.get("usage"),
    )


def _only(data: str) -> str | None:
    """The text of an event that says nothing else; None for every other one."""
    said, *more = _piece(load(data) or {})
    return None if any(more) else said


def _said(content: Any) -> str:
    """The text of a content, which some servers send in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _usage(data: Any) -> Usage | None:
    if not isinstance(data, dict):
        return None
    prompt, completion = whole(data.get("prompt_tokens")), whole(data.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    cost = amount(data.get("cost"))
    return Usage(prompt or 0, completion or 0, cost if cost is not None and cost >= 0 else None)
