"""One contract that every provider keeps, against servers behind real sockets."""

import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from apiary.addresses import Policy
from apiary.config import Settings
from apiary.errors import (
    ApiaryError,
    Forbidden,
    KeyRejected,
    ModelGone,
    OutOfCredit,
    ProviderDown,
    RateLimited,
    RequestRefused,
)
from apiary.http import Http
from apiary.providers import Anthropic, Endpoint, OpenAI, OpenRouter
from apiary.providers.base import (
    ChatRequest,
    Delta,
    Done,
    Event,
    Facts,
    Provider,
    Reasoning,
    Usage,
)
from apiary.secret import Secret
from tests.providers.wires import BAD, COMPLETION, GOOD, PIECES, PROMPT, TEXT, THOUGHT, Wire
from tests.servers import serve

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Bees? 🐝"}]


@dataclass
class Case:
    provider: Provider
    wire: Wire
    http: Http


def make(form: str, url: str, folder: Path) -> tuple[Provider, Http]:
    config = {"APIARY_PUBLIC_URL": "https://chat.example/team", "APIARY_SITE_NAME": "Bees"}
    if form == "openrouter":
        config["APIARY_OPENROUTER_URL"] = url
    settings = Settings.from_mapping(config, folder)
    http = Http(Policy.from_settings(settings, also=[url]))
    if form == "openrouter":
        return OpenRouter(settings, http), http
    if form == "openai":
        return OpenAI(settings, http, url + "/v1"), http
    if form == "anthropic":
        return Anthropic(settings, http, url), http
    return Endpoint(settings, http, "llama", url + "/v1"), http


@pytest.fixture(params=["openrouter", "openai", "anthropic", "endpoint"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    wire = Wire(request.param)
    with serve(wire) as url:
        provider, http = make(request.param, url, tmp_path)
        yield Case(provider, wire, http)
        http.dispose()


@pytest.fixture(autouse=True)
def nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert_clean(caplog.text)


def assert_clean(text: str) -> None:
    for key in (GOOD, BAD):
        for start in range(len(key) - 7):
            assert key[start : start + 8] not in text


def failure(caught: pytest.ExceptionInfo[ApiaryError], case: Case) -> ApiaryError:
    """The error, after a look at everything that could be shown or logged of it."""
    error: BaseException | None = caught.value
    while error is not None:
        assert_clean("".join(traceback.format_exception_only(error)) + repr(vars(error)))
        error = error.__cause__ or error.__context__
    found = caught.value
    assert found.provider == case.provider.name
    assert found.message[-1] in ".…" or ": " in found.message
    assert len(found.message) < 320
    return found


def ask(case: Case, model: str, key: str = GOOD, **more: object) -> list[Event]:
    request = ChatRequest(model, MESSAGES, **more)  # type: ignore[arg-type]
    with closing(case.provider.stream(Secret(key), request)) as stream:
        return list(stream)


def test_names(case: Case) -> None:
    provider = case.provider
    assert provider.name and provider.label and provider.origin.startswith("http://127.0.0.1:")
    assert isinstance(provider.key_prefixes, tuple)


def test_a_good_key(case: Case) -> None:
    facts = case.provider.check(Secret(GOOD))
    assert isinstance(facts, Facts)
    assert facts.verified == (case.wire.form != "endpoint")
    assert case.wire.key_of(case.wire.requests[-1]) == GOOD


def test_a_bad_key(case: Case) -> None:
    with pytest.raises(KeyRejected) as caught:
        case.provider.check(Secret(BAD))
    label = case.provider.label
    assert failure(caught, case).message == f"{label} does not accept this key."
    with pytest.raises(KeyRejected) as caught:
        ask(case, "good", BAD)
    failure(caught, case)


@pytest.mark.parametrize(
    "text", ["sk-with\nnewline-00", "sk-with space-000", "sk-ümlaut-0000", "x"]
)
def test_what_cannot_be_a_key_is_not_sent(case: Case, text: str) -> None:
    for call in (
        lambda: case.provider.check(Secret(text)),
        lambda: ask(case, "good", text),
    ):
        with pytest.raises(KeyRejected) as caught:
            call()
        assert text not in failure(caught, case).message or text == "x"
    assert case.wire.requests == []


@pytest.mark.parametrize("status", [302, 400, 404, 408, 500, 502, 503, 529])
def test_a_check_that_tells_nothing(case: Case, status: int) -> None:
    case.wire.list_status = status
    with pytest.raises(ProviderDown) as caught:
        case.provider.check(Secret(GOOD))
    failure(caught, case)


@pytest.mark.parametrize("body", [b"<html>Welcome to the hotel", {"data": "x"}, {"data": {}}, 7])
def test_a_check_that_is_answered_with_nonsense(case: Case, body: object) -> None:
    case.wire.list_body = body
    with pytest.raises(ProviderDown) as caught:
        case.provider.check(Secret(GOOD))
    assert "cannot be used" in failure(caught, case).message


def test_nobody_there(tmp_path: Path, case: Case) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    provider, _ = make(case.wire.form, f"http://127.0.0.1:{port}", tmp_path)
    for call in (
        lambda: provider.check(Secret(GOOD)),
        lambda: provider.models(Secret(GOOD)),
        lambda: provider.stream(Secret(GOOD), ChatRequest("good", MESSAGES)),
    ):
        with pytest.raises(ProviderDown) as caught:
            call()
        expected = f"{provider.label} could not be reached. Try again."
        assert failure(caught, case).message == expected


def test_models(case: Case) -> None:
    models = case.provider.models(Secret(GOOD))
    assert [model.id for model in models] == ["good", "cut"]
    assert all(model.name and model.prompt_price is None for model in models)
    case.wire.list_body = b"<html>"
    with pytest.raises(ProviderDown) as caught:
        case.provider.models(Secret(GOOD))
    failure(caught, case)


@pytest.mark.parametrize("model", ["good", "split"])
def test_an_answer(case: Case, model: str) -> None:
    events = ask(case, model)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == TEXT
    assert events == [
        Reasoning(THOUGHT),
        *map(Delta, PIECES),
        Usage(PROMPT, COMPLETION),
        Done("stop"),
    ]


def test_pieces_come_as_they_are_sent(case: Case) -> None:
    stream = case.provider.stream(Secret(GOOD), ChatRequest("good", MESSAGES))
    assert next(iter(stream)) == Reasoning(THOUGHT)
    stream.close()
    with pytest.raises(RuntimeError):
        iter(stream)


def test_a_limit_reached(case: Case) -> None:
    assert ask(case, "long", max_tokens=9)[-1] == Done("length")
    body = case.wire.bodies[-1]
    names = ("max_tokens", "max_completion_tokens")
    assert [body[name] for name in names if name in body] == [9]


def test_what_is_sent(case: Case) -> None:
    ask(case, "good", user="p-1", extra={"stop": ["x"], "model": "other", "stream": False})
    body = case.wire.bodies[-1]
    assert (body["model"], body["stream"], body["stop"]) == ("good", True, ["x"])
    assert "p-1" in str(body)
    assert GOOD not in str(body)
    request = case.wire.requests[-1]
    assert GOOD not in request.url
    assert request.headers["content-type"] == "application/json"
    assert "cookie" not in request.headers


STATUSES: list[tuple[int, type[ApiaryError]]] = [
    (204, ProviderDown),
    (302, ProviderDown),
    (400, RequestRefused),
    (401, KeyRejected),
    (402, OutOfCredit),
    (403, Forbidden),
    (404, ModelGone),
    (408, ProviderDown),
    (413, RequestRefused),
    (418, RequestRefused),
    (422, RequestRefused),
    (429, RateLimited),
    (500, ProviderDown),
    (502, ProviderDown),
    (503, ProviderDown),
    (504, ProviderDown),
    (524, ProviderDown),
    (529, ProviderDown),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_each_status_has_its_error(case: Case, status: int, kind: type[ApiaryError]) -> None:
    with pytest.raises(ApiaryError) as caught:
        ask(case, f"status-{status}")
    error = failure(caught, case)
    assert type(error) is kind
    assert case.provider.label in error.message
    if isinstance(error, RateLimited):
        assert error.retry_after == 7
        assert error.message == f"{case.provider.label} asks to wait 7 seconds."


@pytest.mark.parametrize("model", ["html", "error-200"])
def test_a_page_or_an_error_with_status_200(case: Case, model: str) -> None:
    with pytest.raises(RateLimited if model == "error-200" else ProviderDown) as caught:
        ask(case, model)
    failure(caught, case)


@pytest.mark.parametrize("model", ["cut", "short", "garbage"])
def test_an_answer_that_breaks_off(case: Case, model: str) -> None:
    events = []
    with pytest.raises(ProviderDown) as caught:
        for event in case.provider.stream(Secret(GOOD), ChatRequest(model, MESSAGES)):
            events.append(event)
    assert events == [Reasoning(THOUGHT), *map(Delta, PIECES)]
    assert failure(caught, case).message == "The answer broke off. What came is kept."


def test_an_error_in_the_midst(case: Case) -> None:
    events = []
    with pytest.raises(RateLimited) as caught:
        for event in case.provider.stream(Secret(GOOD), ChatRequest("mid-error", MESSAGES)):
            events.append(event)
    assert events == [Reasoning(THOUGHT), *map(Delta, PIECES)]
    failure(caught, case)


def test_closing_from_another_thread_cuts_the_connection(case: Case) -> None:
    stream = case.provider.stream(Secret(GOOD), ChatRequest("stall", MESSAGES))
    threading.Timer(0.1, stream.close).start()
    begun = time.monotonic()
    assert list(stream) == []
    assert case.wire.gone.wait(10)
    assert time.monotonic() - begun < 15


def test_leaving_the_loop_cuts_the_connection(case: Case) -> None:
    stream = case.provider.stream(Secret(GOOD), ChatRequest("stall", MESSAGES))
    stream.close()
    assert case.wire.gone.wait(10)
    for event in case.provider.stream(Secret(GOOD), ChatRequest("good", MESSAGES)):
        assert isinstance(event, Reasoning)
        break


def test_costs_are_never_made_up(case: Case) -> None:
    usage = next(event for event in ask(case, "good") if isinstance(event, Usage))
    assert usage.cost is None or isinstance(usage.cost, Decimal)
