from pathlib import Path
from typing import Any

import pytest

from apiary.errors import ApiaryError, OutOfCredit, ProviderDown, RateLimited
from apiary.providers import Anthropic
from apiary.providers.base import ChatRequest, Delta, Done, Reasoning, Usage
from apiary.secret import Secret
from tests.providers.fakes import KEY, Table, build, events, problem


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def provider(table: Table, tmp_path: Path) -> Anthropic:
    found: Anthropic = build(Anthropic, table, tmp_path)
    return found


def event(kind: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, **more}


def delta(text: str) -> tuple[str, dict[str, Any]]:
    return event("content_block_delta", delta={"type": "text_delta", "text": text})


def ask(provider: Anthropic, messages: Any = (), **more: Any) -> list[Any]:
    return list(provider.stream(Secret(KEY), ChatRequest("claude", messages, **more)))


def test_the_request(provider: Anthropic, table: Table) -> None:
    table.answers["/v1/messages"] = events(event("message_stop"))
    ask(
        provider,
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One"},
            {"role": "user", "content": [{"type": "text", "text": "Two"}]},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": "Three"},
            {"role": "system", "content": "Be kind."},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "image_url", "image_url": {"url": "https://bees.example/x.png"}},
                    {"type": "odd"},
                ],
            },
        ],
        user="p-1",
        extra={"temperature": 1, "top_p": 1, "top_k": 1, "stop_sequences": ["x"]},
    )
    picture = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert table.last == {
        "model": "claude",
        "max_tokens": 8192,
        "stream": True,
        "system": "Be brief.\n\nBe kind.",
        "metadata": {"user_id": "p-1"},
        "stop_sequences": ["x"],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Three"}]},
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": picture},
                    {
                        "type": "image",
                        "source": {"type": "url", "url": "https://bees.example/x.png"},
                    },
                ],
            },
        ],
    }
    headers = table.requests[0].headers
    assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in headers
    ask(provider, max_tokens=10)
    assert table.last["max_tokens"] == 10 and "system" not in table.last


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("tool_use", "tool_calls"),
        ("something_new", "something_new"),
    ],
)
def test_how_it_ends(provider: Anthropic, table: Table, reason: str, ours: str) -> None:
    table.answers["/v1/messages"] = events(
        event("message_start", message={"usage": {"input_tokens": 5, "output_tokens": 1}}),
        delta("Hi"),
        event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 9}),
        event("message_stop"),
    )
    assert ask(provider) == [Delta("Hi"), Usage(5, 9), Done(ours)]


def test_events_that_are_not_of_the_answer(provider: Anthropic, table: Table) -> None:
    table.answers["/v1/messages"] = events(
        ("ping", "not even json"),
        event("new_kind", x=1),
        event("content_block_delta", delta={"type": "signature_delta", "signature": "x"}),
        event("content_block_delta", delta={"type": "input_json_delta", "partial_json": "{"}),
        event("content_block_delta", delta=None),
        event("content_block_delta", delta={"type": "thinking_delta", "thinking": "Hm."}),
        delta("Hi"),
        event("message_stop"),
        delta("too late"),
    )
    assert ask(provider) == [Reasoning("Hm."), Delta("Hi"), Done("stop")]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded_error", ProviderDown),
        ("api_error", ProviderDown),
        ("authentication_error", ProviderDown),
        ("rate_limit_error", RateLimited),
        ("billing_error", OutOfCredit),
        ("something_new", ProviderDown),
    ],
)
def test_errors_in_the_midst(
    provider: Anthropic, table: Table, kind: str, error: type[ApiaryError]
) -> None:
    table.answers["/v1/messages"] = events(
        delta("Hi"), event("error", error={"type": kind, "message": "x"})
    )
    with pytest.raises(ApiaryError) as caught:
        ask(provider)
    assert type(caught.value) is error


def test_an_account_without_money(provider: Anthropic, table: Table) -> None:
    said = "Your credit balance is too low to access the Anthropic API."
    table.answers["/v1/messages"] = problem(
        400, {"type": "error", "error": {"type": "invalid_request_error", "message": said}}
    )
    with pytest.raises(OutOfCredit, match="wants to be paid first"):
        ask(provider)


def test_the_list_in_pages(provider: Anthropic, table: Table) -> None:
    sonnet = {
        "type": "model",
        "id": "claude-sonnet",
        "display_name": "Claude Sonnet",
        "created_at": "2025-02-19T00:00:00Z",
        "max_input_tokens": 200000,
        "capabilities": {"image_input": {"supported": True}},
    }
    table.answers = {
        "/v1/models?limit=1000": {"data": [sonnet], "has_more": True, "last_id": "claude/ sonnet"},
        "/v1/models?limit=1000&after_id=claude%2F%20sonnet": {
            "data": [{"id": "claude-haiku", "created_at": "nonsense"}],
            "has_more": False,
            "last_id": "claude-haiku",
        },
    }
    first, second = provider.models(Secret(KEY))
    assert (first.id, first.name, first.context) == ("claude-sonnet", "Claude Sonnet", 200000)
    assert (first.created, first.inputs) == (1739923200, ("text", "image"))
    assert (second.name, second.created, second.inputs) == ("claude-haiku", None, ("text",))


def test_a_list_that_never_ends(provider: Anthropic, table: Table) -> None:
    table.answers["/v1/models"] = {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}
    assert len(provider.models(Secret(KEY))) == 1
    assert len(table.requests) == 2
