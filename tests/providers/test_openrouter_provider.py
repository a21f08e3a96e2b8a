from decimal import Decimal
from pathlib import Path
from typing import Any

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
from apiary.providers import OpenRouter
from apiary.providers.base import ChatRequest, Delta, Done, Event, Usage
from apiary.secret import Secret
from tests.providers.fakes import KEY, Table, build, events, problem

CHAT = "/api/v1/chat/completions"


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def provider(table: Table, tmp_path: Path) -> OpenRouter:
    found: OpenRouter = build(
        OpenRouter, table, tmp_path, APIARY_PUBLIC_URL="https://bees.example/x"
    )
    return found


def ask(provider: OpenRouter, model: str = "a/b", **more: Any) -> list[Event]:
    request = ChatRequest(model, [{"role": "user", "content": "Bees?"}], **more)
    return list(provider.stream(Secret(KEY), request))


def entry(name: str, /, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": f"Maker: {name}",
        "created": 1763000000,
        "context_length": 128000,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "pricing": {"prompt": "0.00000025", "completion": "0.000002"},
        **more,
    }


def test_its_pages(provider: OpenRouter) -> None:
    assert provider.origin == "https://openrouter.ai"
    assert provider.keys_url == "https://openrouter.ai/settings/keys"
    assert provider.credits_url == "https://openrouter.ai/settings/credits"
    assert provider.key_page("abc") == "https://openrouter.ai/keys/abc"


def test_attribution_goes_with_every_request(provider: OpenRouter, table: Table) -> None:
    table.answers["/api/v1/models"] = {"data": []}
    table.answers[CHAT] = events("[DONE]")
    provider.models(Secret(KEY))
    ask(provider)
    for request in table.requests:
        assert request.headers["http-referer"] == "https://bees.example/x"
        assert request.headers["x-openrouter-title"] == request.headers["x-title"] == "Apiary"


def test_a_title_that_is_not_ascii(table: Table, tmp_path: Path) -> None:
    provider = build(OpenRouter, table, tmp_path, APIARY_SITE_NAME="Bienenstöcke 🐝")
    table.answers["/api/v1/models"] = {"data": []}
    provider.models(None)
    assert table.requests[0].headers["x-openrouter-title"] == "Bienenst?cke ?"
    assert "http-referer" not in table.requests[0].headers


def test_facts_of_a_key(provider: OpenRouter, table: Table) -> None:
    data = {
        "label": "sk-canar...def",
        "usage": 25.5,
        "limit": 100,
        "limit_remaining": 74.5,
        "limit_reset": "monthly",
        "is_free_tier": False,
        "is_management_key": False,
        "creator_user_id": "user_2dHF",
    }
    table.answers["/api/v1/key"] = {"data": data}
    facts = provider.check(Secret(KEY))
    assert (facts.verified, facts.known, facts.identity) == (True, True, None)
    assert (facts.account, facts.label) == ("user_2dHF", "sk-canar...def")
    assert (facts.usage, facts.limit) == (Decimal("25.5"), Decimal(100))
    assert (facts.limit_remaining, facts.limit_reset) == (Decimal("74.5"), "monthly")
    assert facts.free_tier is False


def test_facts_that_are_missing_or_odd_stay_unknown(provider: OpenRouter, table: Table) -> None:
    data = {
        "label": KEY,
        "usage": "lots",
        "limit": None,
        "limit_remaining": True,
        "is_free_tier": "yes",
        "creator_user_id": "\u202e\x1b[2Juser\n" + "x" * 500,
        "email": "bee@example.org",
    }
    table.answers["/api/v1/key"] = {"data": data}
    facts = provider.check(Secret(KEY))
    assert (facts.label, facts.usage, facts.limit) == (None, None, None)
    assert (facts.limit_remaining, facts.free_tier) == (None, None)
    assert facts.identity == "bee@example.org"
    assert facts.account is not None and len(facts.account) <= 200
    assert facts.account.isprintable()


def test_a_management_key_is_refused(provider: OpenRouter, table: Table) -> None:
    table.answers["/api/v1/key"] = {"data": {"label": "x", "is_management_key": True}}
    with pytest.raises(RequestRefused, match="management key"):
        provider.check(Secret(KEY))


@pytest.mark.parametrize("status", [400, 402, 403, 404, 500, 529])
def test_only_a_401_says_that_a_key_is_dead(
    provider: OpenRouter, table: Table, status: int
) -> None:
    table.answers["/api/v1/key"] = problem(status, {"error": {"code": status, "message": "x"}})
    with pytest.raises(ProviderDown):
        provider.check(Secret(KEY))
    table.answers["/api/v1/key"] = problem(401, {"error": {"message": "User not found."}})
    with pytest.raises(KeyRejected):
        provider.check(Secret(KEY))


def test_the_catalogue(provider: OpenRouter, table: Table) -> None:
    table.answers["/api/v1/models"] = {
        "data": [
            entry("openai/gpt-5-mini"),
            entry("openrouter/auto", pricing={"prompt": "-1", "completion": "-1"}),
            entry("~anthropic/claude-latest", pricing={"prompt": "0", "completion": "0"}),
            entry("draws/pictures", architecture={"output_modalities": ["image"]}),
            entry("odd/prices", pricing={"prompt": "NaN", "completion": "1e999999"}),
            entry("bare", name=None, context_length=-1, architecture=None, pricing=7, created="x"),
            {"id": ""},
            "nonsense",
            entry("openai/gpt-5-mini", name="again"),
        ]
    }
    mini, auto, alias, odd, bare = provider.models(Secret(KEY))
    assert "authorization" not in table.requests[0].headers
    assert mini.id == "openai/gpt-5-mini" and mini.name == "Maker: openai/gpt-5-mini"
    assert (mini.prompt_price, mini.completion_price) == (Decimal("0.25"), Decimal(2))
    assert str(mini.prompt_price) == "0.25"
    assert (mini.context, mini.inputs, mini.created) == (128000, ("text", "image"), 1763000000)
    assert (auto.varies, auto.prompt_price, auto.free) == (True, None, False)
    assert (alias.id, alias.free) == ("~anthropic/claude-latest", True)
    assert (odd.prompt_price, odd.completion_price, odd.free) == (None, None, False)
    assert (bare.name, bare.context, bare.inputs, bare.created) == ("bare", None, ("text",), None)


def test_the_catalogue_in_pages(provider: OpenRouter, table: Table) -> None:
    table.answers = {
        "/api/v1/models": {"data": [entry("a")], "links": {"next": "/api/v1/models?offset=1"}},
        "/api/v1/models?offset=1": {
            "data": [entry("b")],
            "links": {"next": "https://openrouter.ai/api/v1/models?offset=2"},
        },
        "/api/v1/models?offset=2": {"data": [entry("c")], "links": {"next": None}},
    }
    assert [model.id for model in provider.models(None)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/v1/models",
        "//evil.example/api/v1/models",
        "https://openrouter.ai@evil.example/api/v1/models",
        "https://openrouter.ai.evil.example/api/v1/models",
        "http://openrouter.ai/api/v1/models",
        "http://169.254.169.254/",
        "/elsewhere",
        "\\\\evil.example",
        7,
    ],
)
def test_a_link_that_leads_elsewhere_is_not_followed(
    provider: OpenRouter, table: Table, link: object
) -> None:
    table.answers["/api/v1/models"] = {"data": [entry("a")], "links": {"next": link}}
    assert [model.id for model in provider.models(None)] == ["a"]
    assert len(table.requests) == 1


def test_a_list_of_pages_without_an_end(provider: OpenRouter, table: Table) -> None:
    table.answers["/api/v1/models"] = {
        "data": [entry("a")],
        "links": {"next": "/api/v1/models?offset=1"},
    }
    provider.models(None)
    assert len(table.requests) == 20


def test_the_request(provider: OpenRouter, table: Table) -> None:
    table.answers[CHAT] = events("[DONE]")
    ask(provider, max_tokens=100, user="p")
    assert table.last == {
        "model": "a/b",
        "messages": [{"role": "user", "content": "Bees?"}],
        "stream": True,
        "max_completion_tokens": 100,
        "user": "p",
    }


@pytest.mark.parametrize("choices", [[], [{"index": 0, "delta": {"content": ""}}], None])
def test_the_usage_chunk_in_each_shape(provider: OpenRouter, table: Table, choices: object) -> None:
    usage = {"prompt_tokens": 194, "completion_tokens": 2, "cost": 0.00014}
    table.answers[CHAT] = events(
        {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]},
        {"choices": choices, "usage": usage},
        "[DONE]",
    )
    assert ask(provider) == [Delta("Hi"), Usage(194, 2, Decimal("0.00014")), Done("stop")]


@pytest.mark.parametrize(
    ("status", "error", "kind", "says"),
    [
        (401, {"code": 401, "message": "User not found."}, KeyRejected, "does not accept this key"),
        (
            402,
            {"code": 402, "message": "Insufficient credits"},
            OutOfCredit,
            "Insufficient credits",
        ),
        (
            403,
            {"code": 403, "message": "Key limit exceeded (total limit). Manage it using https://x"},
            Forbidden,
            "Key limit exceeded",
        ),
        (404, {"code": 404, "message": "No endpoints found for a/b"}, ModelGone, "Pick another"),
        (400, {"code": 400, "message": "a/b is not a valid model ID"}, ModelGone, "Pick another"),
        (
            400,
            {"message": "x", "http_status": 400, "availability": {"code": "model_not_found"}},
            ModelGone,
            "no longer offered by OpenRouter",
        ),
        (400, {"code": 400, "message": "too long"}, RequestRefused, "too long"),
        (408, {"code": 408, "message": "x"}, ProviderDown, "took too long"),
        (502, "text", ProviderDown, "Try again"),
    ],
)
def test_errors_before_the_answer(
    provider: OpenRouter,
    table: Table,
    status: int,
    error: object,
    kind: type[ApiaryError],
    says: str,
) -> None:
    table.answers[CHAT] = problem(status, {"error": error, "user_id": "user_secret"})
    with pytest.raises(ApiaryError) as caught:
        ask(provider)
    assert type(caught.value) is kind
    assert says in caught.value.message
    assert "user_secret" not in caught.value.message


def test_what_the_credit_would_still_pay_for(provider: OpenRouter, table: Table) -> None:
    message = (
        "This request requires more credits, or fewer max_tokens. You requested up to 65536"
        " tokens, but can only afford 3919."
    )
    table.answers[CHAT] = problem(402, {"error": {"code": 402, "message": message}})
    with pytest.raises(OutOfCredit) as caught:
        ask(provider)
    assert caught.value.affordable == 3919
    assert "3919 tokens" in caught.value.message


def test_the_availability_shape_tells_how_long_to_wait(provider: OpenRouter, table: Table) -> None:
    error = {"message": "x", "http_status": 429, "availability": {"retry_after": 40}}
    table.answers[CHAT] = problem(429, {"error": error})
    with pytest.raises(RateLimited) as caught:
        ask(provider)
    assert caught.value.retry_after == 40
    assert caught.value.message == "OpenRouter asks to wait 40 seconds."


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (502, ProviderDown),
        ("server_error", ProviderDown),
        ("502", ProviderDown),
        (401, ProviderDown),
        (None, ProviderDown),
        (402, OutOfCredit),
        (429, RateLimited),
        ("rate_limit_exceeded", RateLimited),
        (403, Forbidden),
    ],
)
def test_errors_in_the_midst(
    provider: OpenRouter, table: Table, code: object, kind: type[ApiaryError]
) -> None:
    table.answers[CHAT] = events(
        {"choices": [{"delta": {"content": "Hi"}}]},
        {
            "error": {"code": code, "message": "Provider disconnected"},
            "choices": [{"delta": {"content": ""}, "finish_reason": "error"}],
        },
    )
    seen: list[Event] = []
    with pytest.raises(ApiaryError) as caught:
        for event in provider.stream(Secret(KEY), ChatRequest("a/b", [])):
            seen.append(event)
    assert (seen, type(caught.value)) == ([Delta("Hi")], kind)


def test_a_whole_answer_where_a_stream_was_asked_for(provider: OpenRouter, table: Table) -> None:
    choice: dict[str, Any] = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    table.answers[CHAT] = {"choices": [choice], "usage": {"prompt_tokens": 1}}
    assert ask(provider) == [Delta("Hi"), Usage(1, 0), Done("stop")]
    choice["error"] = {"code": 502, "message": "x"}
    with pytest.raises(ProviderDown):
        ask(provider)


def test_odd_pieces_are_passed_over(provider: OpenRouter, table: Table) -> None:
    table.answers[CHAT] = events(
        {},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": None, "tool_calls": [{"index": 0}]}}]},
        {"choices": [{"delta": {"content": 7, "reasoning": 8}}]},
        {"choices": [7]},
        {"choices": [{"delta": {"content": [{"type": "text", "text": "Hi"}]}}], "usage": "x"},
        ("execute", {"choices": [{"delta": {"content": "!"}, "finish_reason": "stop"}]}),
    )
    assert ask(provider) == [Delta("Hi"), Delta("!"), Done("stop")]


def test_an_answer_that_does_not_end(provider: OpenRouter, table: Table) -> None:
    chunk = {"choices": [{"delta": {"content": "x" * 100_000}}]}
    table.answers[CHAT] = events(*[chunk] * 25, "[DONE]")
    with pytest.raises(ProviderDown, match="longer than Apiary takes"):
        ask(provider)


def test_all_of_the_sandbox(sandbox: Any, paste_key: str, tmp_path: Path) -> None:
    settings = Settings.from_mapping({"APIARY_OPENROUTER_URL": sandbox.url}, tmp_path)
    http = Http(Policy.from_settings(settings))
    provider = OpenRouter(settings, http)
    facts = provider.check(Secret(paste_key))
    assert facts.known and facts.label and facts.account
    models = provider.models(None)
    assert len(models) > 300
    assert any(model.varies for model in models) and any(model.free for model in models)

    def run(model: str) -> list[Event]:
        request = ChatRequest(f"sandbox/{model}", [{"role": "user", "content": "wax and honey"}])
        return list(provider.stream(Secret(paste_key), request))

    assert "".join(e.text for e in run("echo") if isinstance(e, Delta)) == "wax and honey"
    assert run("reasoning")[-1] == Done("stop")
    for model in ("cut", "cut-clean", "mid-error", "mid-error-text", "error-503", "error-500"):
        with pytest.raises(ProviderDown):
            run(model)
    for model, kind in {
        "error-402": OutOfCredit,
        "error-403": Forbidden,
        "error-404": ModelGone,
        "error-429": RateLimited,
    }.items():
        with pytest.raises(kind):
            run(model)
    http.dispose()
