"""What a host's type checker sees of the public names. Nobody runs it; mypy reads it.

The package carries ``py.typed``, so an app that has it installed is checked against the same.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import assert_never, assert_type
from uuid import UUID

from flask import Flask

from apiary import (
    STATIC,
    VARIABLES,
    Answer,
    Apiary,
    Catalogue,
    ChatRequest,
    Check,
    Compatible,
    Connection,
    Delta,
    Done,
    Facts,
    Grant,
    Http,
    Messages,
    Model,
    NotConnected,
    OutOfCredit,
    Pause,
    Provider,
    RateLimited,
    Reasoning,
    Secret,
    Settings,
    Stream,
    Usage,
    Variable,
    connected,
    flag,
    localized,
)

app = Flask(__name__)


def before_send(owner: str | None, provider: str, messages: Messages) -> Messages | None:
    return [{"role": "system", "content": "Answer as a bee would."}, *messages]


class Own(Provider):
    name = "own"
    label = "Own"
    origin = "https://own.example"

    def __init__(self, settings: Settings, http: Http) -> None:
        self._http = http

    def check(self, key: Secret) -> Facts:
        assert_type(self._http.json("GET", self.origin).status, int)
        return Facts()

    def models(self, key: Secret | None) -> list[Model]:
        return []

    def stream(self, key: Secret, request: ChatRequest) -> Stream:
        raise NotConnected("Nobody is here.", provider=self.name)


class Usual(Compatible):
    name = "usual"
    label = "Usual"

    def __init__(self, settings: Settings, http: Http) -> None:
        super().__init__(settings, http, "https://usual.example/v1")


class Server:
    name = "own"
    label = "Own"
    origin = "https://own.example"
    one_callback = False

    def authorize_url(self, callback: str | None, challenge: str, limit: str = "") -> str:
        return self.origin

    def exchange(self, code: str, verifier: str) -> Grant:
        return Grant(Secret("x"), None)


apiary = Apiary(
    app,
    owner=lambda: UUID(int=7),
    home="profile",
    before_send=before_send,
    providers=lambda settings, http: [Own(settings, http), Usual(settings, http)],
    auth_servers=lambda settings, http: [Server()],
)


def asked() -> Iterator[str]:
    question = [{"role": "user", "content": "Do bees dance?"}]
    stream = apiary.stream(7, "openrouter", model="m", messages=question, max_tokens=9)
    assert_type(stream, Stream)
    for event in stream:
        match event:
            case Delta(text) | Reasoning(text):
                yield assert_type(text, str)
            case Usage():
                assert_type(event.cost, Decimal | None)
            case Done(reason):
                assert_type(reason, str)
            case Pause():
                pass
            case _:
                assert_never(event)
    answer = apiary.complete(UUID(int=7), "openrouter", model="m", messages=question)
    assert_type(answer, Answer)
    assert_type(answer.usage, Usage | None)


def looked_at() -> None:
    connection = apiary.connection("7", "openrouter")
    assert_type(connection, Connection | None)
    if connection:
        assert_type(connection.since, datetime)
        assert_type(connection.facts.limit, Decimal | None)
    assert_type(apiary.connections(7), list[Connection])
    assert_type(apiary.providers(), list[Provider])
    assert_type(apiary.models(7, "openrouter"), list[Model])
    assert_type(apiary.catalogue(None, "openrouter", api_key="x"), Catalogue)
    assert_type(apiary.doctor(offline=True), list[Check])
    assert_type(apiary.ready(), list[str])
    assert_type(VARIABLES, tuple[Variable, ...])
    assert_type(STATIC, Path)
    assert_type(flag("OPENROUTER_OAUTH", "yes"), bool)


def refused(error: Exception) -> None:
    if isinstance(error, RateLimited):
        assert_type(error.retry_after, float | None)
    if isinstance(error, OutOfCredit):
        assert_type(error.affordable, int | None)
        assert_type(localized(error.message), str)


@connected.connect_via(app)
def welcome(sender: Flask, owner: str, provider: str, **more: object) -> None: ...
