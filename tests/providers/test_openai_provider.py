from pathlib import Path
from typing import Any

import pytest

from apiary.errors import ApiaryError, Forbidden, KeyRejected, ModelGone, OutOfCredit, RateLimited
from apiary.providers import OpenAI
from apiary.providers.base import ChatRequest, Done, Facts
from apiary.secret import Secret
from tests.providers.fakes import KEY, Table, build, events, problem

SCOPES = "You have insufficient permissions for this operation. Missing scopes: api.model.read."


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def provider(table: Table, tmp_path: Path) -> OpenAI:
    found: OpenAI = build(OpenAI, table, tmp_path)
    return found


def ask(provider: OpenAI, **more: Any) -> list[Any]:
    return list(provider.stream(Secret(KEY), ChatRequest("gpt-4o", [], **more)))


@pytest.mark.parametrize("status", [401, 403])
def test_a_restricted_key_may_still_chat(provider: OpenAI, table: Table, status: int) -> None:
    table.answers["/v1/models"] = problem(status, {"error": {"message": SCOPES, "code": None}})
    assert provider.check(Secret(KEY)) == Facts(verified=False)
    with pytest.raises(Forbidden, match="restricted"):
        provider.models(Secret(KEY))


def test_a_wrong_key(provider: OpenAI, table: Table) -> None:
    said = {"message": f"Incorrect API key provided: {KEY}.", "code": "invalid_api_key"}
    table.answers["/v1/models"] = problem(401, {"error": said})
    with pytest.raises(KeyRejected) as caught:
        provider.check(Secret(KEY))
    assert caught.value.message == "OpenAI does not accept this key."


def test_only_what_can_chat_is_listed(provider: OpenAI, table: Table) -> None:
    chat = [
        "gpt-5",
        "gpt-4o-mini",
        "o3",
        "chatgpt-4o-latest",
        "ft:gpt-4o:bees::1",
        "gpt-4o-search-preview",
    ]
    other = [
        "text-embedding-3-large",
        "tts-1-hd",
        "whisper-1",
        "dall-e-3",
        "omni-moderation-latest",
        "gpt-4o-realtime-preview",
        "gpt-image-1",
        "sora-2",
        "gpt-4o-audio-preview",
        "gpt-4o-transcribe",
        "babbage-002",
        "davinci-002",
        "gpt-3.5-turbo-instruct",
    ]
    table.answers["/v1/models"] = {
        "data": [{"id": name, "created": 1} for name in chat + other],
        "object": "list",
    }
    assert [model.id for model in provider.models(Secret(KEY))] == chat
    assert table.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_request(provider: OpenAI, table: Table) -> None:
    table.answers["/v1/chat/completions"] = events("[DONE]")
    assert ask(provider, max_tokens=5) == [Done("stop")]
    assert table.last == {
        "model": "gpt-4o",
        "messages": [],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 5,
    }


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "You exceeded", "type": "insufficient_quota", "code": "x"}, OutOfCredit),
        (429, {"message": "You exceeded", "code": "credit_balance_exhausted"}, OutOfCredit),
        (429, {"message": "Limit reached", "code": "rate_limit_exceeded"}, RateLimited),
        (404, {"message": "The model does not exist", "code": "model_not_found"}, ModelGone),
        (403, {"message": "no access to model gpt-9", "code": "model_not_found"}, ModelGone),
        (401, {"message": SCOPES}, Forbidden),
        (401, {"message": "Incorrect API key", "code": "invalid_api_key"}, KeyRejected),
    ],
)
def test_errors(
    provider: OpenAI, table: Table, status: int, error: object, kind: type[ApiaryError]
) -> None:
    table.answers["/v1/chat/completions"] = problem(status, {"error": error})
    with pytest.raises(ApiaryError) as caught:
        ask(provider)
    assert type(caught.value) is kind
