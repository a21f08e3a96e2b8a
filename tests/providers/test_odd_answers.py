"""Whatever JSON a server sends, what comes out is ours: an event, a model or one of our errors."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiary.errors import ApiaryError
from apiary.providers import Anthropic, OpenAI, OpenRouter
from apiary.providers.base import ChatRequest, Delta, Done, Facts, Model, Reasoning, Usage
from apiary.secret import Secret
from tests.providers.fakes import KEY, Table, build, events

WORDS = [
    "choices",
    "delta",
    "content",
    "usage",
    "error",
    "message",
    "code",
    "finish_reason",
    "type",
    "text",
    "data",
    "id",
]
WORDS += [
    "thinking",
    "stop_reason",
    "input_tokens",
    "prompt_tokens",
    "pricing",
    "prompt",
    "architecture",
]
WORDS += [
    "input_modalities",
    "label",
    "limit",
    "created",
    "created_at",
    "links",
    "next",
    "has_more",
    "last_id",
]
TEXTS = [
    "error",
    "stop",
    "content_block_delta",
    "message_delta",
    "message_start",
    "message_stop",
    "2025-01-01",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**20) | st.floats() | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
    ),
    max_leaves=15,
)
PATHS = {OpenRouter: "/api/v1/chat/completions", Anthropic: "/v1/messages"}
quick = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=[OpenRouter, OpenAI, Anthropic])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Table]:
    table = Table()
    return build(request.param, table, tmp_path), table


@quick
@given(st.lists(JSON, max_size=4), st.booleans())
def test_events(made: tuple[Any, Table], chunks: list[Any], whole: bool) -> None:
    provider, table = made
    path = PATHS.get(type(provider), "/v1/chat/completions")
    table.answers[path] = chunks[0] if whole and chunks else events(*chunks, "[DONE]")
    found = []
    try:
        for event in provider.stream(Secret(KEY), ChatRequest("m", [])):
            found.append(event)
    except ApiaryError:
        assert not any(isinstance(event, Done) for event in found)
    assert all(isinstance(event, Delta | Reasoning | Usage | Done) for event in found)


@quick
@given(JSON, st.lists(JSON, max_size=4))
def test_lists_and_checks(made: tuple[Any, Table], one: Any, many: list[Any]) -> None:
    provider, table = made
    for body in (one, {"data": many}, {"data": one, "links": {"next": one}, "has_more": one}):
        for path in ("/api/v1/models", "/v1/models", "/api/v1/key"):
            table.answers[path] = body
        try:
            assert all(isinstance(model, Model) for model in provider.models(Secret(KEY)))
            assert isinstance(provider.check(Secret(KEY)), Facts)
        except ApiaryError:
            pass
