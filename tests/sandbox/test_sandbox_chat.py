"""Chat: streams, faults, money, and clients that go away."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from tests.sandbox.conftest import Live


def stream(live: Live, model: str, **extra) -> bytes:
    answer = live.chat(model, stream=True, **extra)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["X-Generation-Id"].startswith("gen-")
    return answer.content


def chunks(raw: bytes) -> list[dict]:
    lines = raw.decode().replace("\r\n", "\n").split("\n")
    return [
        json.loads(line[6:]) for line in lines if line.startswith("data: ") and "[DONE]" not in line
    ]


def text(raw: bytes) -> str:
    return "".join(
        choice["delta"].get("content") or "" for c in chunks(raw) for choice in c["choices"]
    )


def test_stream_has_the_documented_parts_in_order(live):
    raw = stream(live, "sandbox/echo", text="Hello dear bees")
    assert raw.startswith(b": OPENROUTER PROCESSING\n\n")
    assert raw.endswith(b"data: [DONE]\n\n")
    got = chunks(raw)
    assert got[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert text(raw) == "Hello dear bees"
    assert len(got) == 1 + 3 + 1 + 1
    assert got[-2]["choices"][0]["finish_reason"] == "stop"
    assert got[-1]["choices"] == []
    usage = got[-1]["usage"]
    assert usage["cost"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert set(usage["cost_details"]) == {
        "upstream_inference_cost",
        "upstream_inference_prompt_cost",
        "upstream_inference_completions_cost",
    }
    assert len({each["id"] for each in got}) == 1
    assert live.sandbox.journal.chats()[-1].outcome == "finished"


def test_usage_chunk_can_carry_a_choice(live):
    live.sandbox.switches.usage_choices = "one"
    last = chunks(stream(live, "sandbox/echo"))[-1]
    assert last["usage"] and last["choices"][0]["delta"]["content"] == ""


def test_whole_answer(live):
    answer = live.chat("sandbox/reasoning").json()
    message = answer["choices"][0]["message"]
    assert message["content"] == "After some thought: Hello bees"
    assert message["reasoning"].startswith("The user wrote 10 characters.")
    assert answer["system_fingerprint"] is None
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 4


def test_reasoning_comes_apart_from_the_text(live):
    got = chunks(stream(live, "sandbox/reasoning"))
    thoughts = [c["choices"][0]["delta"] for c in got if c["choices"]]
    assert thoughts[1]["reasoning"] == "The user wrote "
    assert thoughts[1]["reasoning_details"][0]["type"] == "reasoning.text"


def test_length_limit(live):
    got = chunks(stream(live, "sandbox/long", max_completion_tokens=5))
    assert got[-2]["choices"][0]["finish_reason"] == "length"
    assert got[-1]["usage"]["completion_tokens"] == 5


def test_long_and_markdown_and_slow_and_silent_and_empty(live):
    assert chunks(stream(live, "sandbox/long"))[-1]["usage"]["completion_tokens"] == 4000
    assert "<script>" in text(stream(live, "sandbox/markdown"))
    assert text(stream(live, "sandbox/slow")).endswith("39 40")
    assert stream(live, "sandbox/silent").count(b": OPENROUTER PROCESSING") == 600
    assert text(stream(live, "sandbox/empty")) == ""
    assert stream(live, "sandbox/stall") == b""


def test_split_cuts_characters_and_still_reads_well(live):
    body = {
        "model": "sandbox/split",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
    }
    url = "/api/v1/chat/completions"
    with live.http.stream("POST", url, json=body, headers=live.headers) as answer:
        pieces = list(answer.iter_raw())
    raw = b"".join(pieces)
    assert "🐝" in text(raw) and "日本語" in text(raw)
    assert b"\r\n" in raw and b": a comment" in raw


def test_alias_variant_router_and_real_looking_models(live):
    assert live.chat("~openai/gpt-latest").json()["model"] == "openai/gpt-5.2"
    assert live.chat("openai/gpt-4o:nitro").json()["model"] == "openai/gpt-4o"
    assert live.chat("openrouter/auto").json()["usage"]["cost"] == 0
    assert live.chat("sandbox/echo:free").json()["usage"]["cost"] == 0
    key = live.http.get("/api/v1/key", headers=live.headers).json()["data"]
    assert key["free_model_daily_requests"] == {"limit": 1000, "remaining": 999, "used": 1}


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 408, 413, 418, 422, 429, 500, 502, 529]
)
def test_any_status(live, status):
    answer = live.chat(f"sandbox/error-{status}", stream=True)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status
    assert answer.json()["error"]["metadata"]["error_type"]


def test_particular_faults(live):
    afford = live.chat("sandbox/error-402-afford")
    assert "but can only afford 3919" in afford.json()["error"]["message"]
    assert live.chat("sandbox/error-402-afford", max_tokens=100).status_code == 200
    moderation = live.chat("sandbox/error-403-moderation").json()["error"]["metadata"]
    assert moderation["reasons"] and moderation["flagged_input"]
    limit = live.chat("sandbox/error-403-limit").json()["error"]["message"]
    assert limit.startswith("Key limit exceeded")
    slow_down = live.chat("sandbox/error-429")
    assert slow_down.headers["Retry-After"] == "7"
    assert slow_down.headers["X-RateLimit-Remaining"] == "0"
    away = live.chat("sandbox/error-503")
    assert away.status_code == 503 and away.headers["Retry-After"] == "40"
    assert "code" not in away.json()["error"]
    assert away.json()["error"]["availability"]["retryable"] is True
    gone = live.chat("no/such-model")
    assert gone.status_code == 400
    assert gone.json()["error"]["availability"]["code"] == "model_not_found"
    assert live.chat("sandbox/html").headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("model", "code"), [("mid-error", 502), ("mid-error-text", "server_error")]
)
def test_error_inside_a_stream(live, model, code):
    raw = stream(live, f"sandbox/{model}")
    last = chunks(raw)[-1]
    assert last["error"]["code"] == code
    assert last["choices"][0]["finish_reason"] == "error"
    assert b"[DONE]" not in raw
    whole = live.chat(f"sandbox/{model}").json()["choices"][0]
    assert whole["finish_reason"] == "error" and whole["error"]["code"] == code


def test_cut(live):
    with pytest.raises(httpx.RemoteProtocolError):
        live.chat("sandbox/cut", stream=True)
    with pytest.raises(httpx.TransportError):
        live.chat("sandbox/cut")
    live.sandbox.journal.wait(lambda entry: entry.outcome == "cut")
    raw = stream(live, "sandbox/cut-clean")
    assert b"[DONE]" not in raw and b'"finish_reason":"' not in raw


def test_no_key_and_no_messages(live):
    assert live.http.post("/api/v1/chat/completions", json={}).status_code == 401
    live.sandbox.revoke(live.sandbox.keys()[0].hash)
    assert live.chat("sandbox/echo").json()["error"]["message"] == "User not found."
    live.sandbox.reset()
    answer = live.http.post("/api/v1/chat/completions", content=b"[]", headers=live.headers)
    assert answer.status_code == 400


def test_attribution_is_noted(live):
    live.headers |= {"HTTP-Referer": "https://chat.example", "X-OpenRouter-Title": "Apiary"}
    live.chat("sandbox/echo", metadata={"a": 1})
    entry = live.sandbox.journal.chats()[-1]
    assert entry.headers["HTTP-Referer"] == "https://chat.example"
    assert entry.headers["X-OpenRouter-Title"] == "Apiary"
    assert entry.body["metadata"] == {"a": 1}


@pytest.mark.parametrize("model", ["slow", "silent", "stall"])
def test_a_client_that_goes_away_is_noticed_at_once_and_billed(live, model):
    live.sandbox.switches.pace = 1
    body = {"model": f"sandbox/{model}", "messages": [{"role": "user", "content": "x"}]}
    url = "/api/v1/chat/completions"
    with live.http.stream("POST", url, json=body | {"stream": True}, headers=live.headers):
        began = time.monotonic()
    entry = live.sandbox.journal.wait(lambda entry: entry.outcome == "gone")
    assert time.monotonic() - began < 1
    assert entry.status == 200
    assert live.sandbox.keys()[0].usage(live.sandbox.now()) > 0
