"""The official OpenRouter SDK as client of the sandbox: what it accepts is faithful.

Its models are strict, so a missing or misshapen field is a ResponseValidationError.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from flask import Flask

pytest.importorskip("openrouter")

from openrouter import OpenRouter, errors

from apiary.sandbox import ACCOUNTS, PASTE_KEY, Ask, create_app, digest
from apiary.sandbox.pkce import challenge_of
from tests.servers import serve

# The SDK marks fields of /key as deprecated and then reads them itself while validating.
pytestmark = pytest.mark.filterwarnings(r"ignore:warning. \*\* DEPRECATED:DeprecationWarning")

VERIFIER = "v" * 43
QUESTION = [{"role": "user", "content": "Hello from the SDK"}]


@pytest.fixture
def app() -> Flask:
    return create_app(pace=0)


@pytest.fixture
def sdk(app: Flask) -> Iterator[OpenRouter]:
    with serve(app) as base, httpx.Client(timeout=10, verify=False) as http:
        yield OpenRouter(
            api_key=PASTE_KEY,
            server_url=f"{base}/api/v1",
            http_referer="https://chat.example",
            x_open_router_title="Apiary",
            # The default goes on for up to an hour after a 5xx.
            retry_config=None,
            client=http,
        )


def code(app: Flask) -> str:
    ask = Ask("http://localhost/cb", challenge_of(VERIFIER, "S256"), "S256", limit=5.0)
    made: str = app.extensions["sandbox"].issue(ask)
    return made


def exchange(sdk: OpenRouter, made: str, verifier: str = VERIFIER, method: str = "S256"):
    return sdk.o_auth.exchange_auth_code_for_api_key(
        code=made, code_verifier=verifier, code_challenge_method=method
    )


def test_exchange(app, sdk):
    made = code(app)
    answer = exchange(sdk, made)
    assert answer.key.startswith("sk-or-v1-")
    assert answer.user_id == ACCOUNTS[0].id
    with pytest.raises(errors.ForbiddenResponseError, match="Invalid code or code_verifier"):
        exchange(sdk, made)
    with pytest.raises(errors.BadRequestResponseError, match="Invalid code_challenge_method"):
        exchange(sdk, code(app), method="plain")


def test_key_of_the_exchange(app, sdk):
    key = exchange(sdk, code(app)).key
    sandbox = app.extensions["sandbox"]
    sandbox.charge(sandbox.by_hash(digest(key)), 1.5, free=False)
    http = {"Authorization": f"Bearer {key}"}
    data = sdk.api_keys.get_current_key_metadata(http_headers=http).data
    assert (data.limit, data.limit_remaining, data.usage) == (5.0, 3.5, 1.5)
    assert data.effective_budget.scope == "key_limit"
    assert data.creator_user_id == ACCOUNTS[0].id
    sandbox.revoke(key)
    with pytest.raises(errors.UnauthorizedResponseError, match="User not found"):
        sdk.api_keys.get_current_key_metadata(http_headers=http)


def test_key_without_a_limit(sdk):
    data = sdk.api_keys.get_current_key_metadata().data
    assert data.limit is None and data.effective_budget is None and data.budgets == []


def test_models_and_paging(sdk):
    everything = sdk.models.list()
    assert everything.result.total_count == len(everything.result.data) > 300
    page, seen = sdk.models.list(limit=100), []
    while page is not None:
        seen += [model.id for model in page.result.data]
        page = page.next()
    assert seen == [model.id for model in everything.result.data]
    assert sdk.models.count().data.count == len(seen)
    assert sdk.models.list_for_user(security={"bearer": PASTE_KEY}).result.total_count == len(seen)


def test_credits_are_refused(sdk):
    with pytest.raises(errors.ForbiddenResponseError, match="Only management keys"):
        sdk.credits.get_credits()


def test_chat(app, sdk):
    answer = sdk.chat.send(model="sandbox/echo", messages=QUESTION)
    assert answer.choices[0].message.content == "Hello from the SDK"
    assert answer.usage.cost > 0
    entry = app.extensions["sandbox"].journal.chats()[-1]
    assert entry.headers["HTTP-Referer"] == "https://chat.example"
    assert entry.headers["X-OpenRouter-Title"] == "Apiary"


@pytest.mark.parametrize("choices", ["empty", "one"])
@pytest.mark.parametrize("model", ["echo", "split", "slow"])
def test_stream(app, sdk, model, choices):
    app.extensions["sandbox"].switches.usage_choices = choices
    with sdk.chat.send(model=f"sandbox/{model}", messages=QUESTION, stream=True) as stream:
        got = list(stream)
    said = "".join(c.choices[0].delta.content or "" for c in got if c.choices)
    assert said
    assert got[-1].usage.cost_details.upstream_inference_completions_cost > 0
    if model == "split":
        assert "🐝" in said


def test_reasoning(sdk):
    with sdk.chat.send(model="sandbox/reasoning", messages=QUESTION, stream=True) as stream:
        thoughts = [c.choices[0].delta.reasoning for c in stream if c.choices]
    assert "The user wrote " in thoughts


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("error-401", errors.UnauthorizedResponseError),
        ("error-402", errors.PaymentRequiredResponseError),
        ("error-402-afford", errors.PaymentRequiredResponseError),
        ("error-403", errors.ForbiddenResponseError),
        ("error-403-moderation", errors.ForbiddenResponseError),
        ("error-404", errors.NotFoundResponseError),
        ("error-429", errors.TooManyRequestsResponseError),
        ("error-500", errors.InternalServerResponseError),
        ("error-502", errors.BadGatewayResponseError),
        ("error-503-plain", errors.ServiceUnavailableResponseError),
        ("error-529", errors.ProviderOverloadedResponseError),
    ],
)
def test_errors(sdk, model, error):
    with pytest.raises(error) as caught:
        sdk.chat.send(model=f"sandbox/{model}", messages=QUESTION)
    assert caught.value.status_code == int(model.split("-")[1])
    if model == "error-429":
        assert caught.value.headers["Retry-After"] == "7"


def test_availability_form_is_too_much_for_the_sdk(sdk):
    # Documented by OpenRouter and all the same unreadable for its SDK: the double keeps it.
    with pytest.raises(errors.ResponseValidationError):
        sdk.chat.send(model="sandbox/error-503", messages=QUESTION)


def test_errors_inside_a_stream(sdk):
    with sdk.chat.send(model="sandbox/mid-error", messages=QUESTION, stream=True) as stream:
        last = list(stream)[-1]
    assert last.error.code == 502
    with (
        sdk.chat.send(model="sandbox/mid-error-text", messages=QUESTION, stream=True) as stream,
        pytest.raises(errors.ResponseValidationError),
    ):
        list(stream)


def test_cut(sdk):
    with (
        sdk.chat.send(model="sandbox/cut", messages=QUESTION, stream=True) as stream,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        list(stream)
