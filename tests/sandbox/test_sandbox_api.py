"""Keys, credits, models, and the owner's pages."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from apiary.sandbox import PASTE_KEY, create_app, digest
from tests.sandbox.conftest import Live

KEY_FIELDS = {
    "label", "limit", "limit_remaining", "limit_reset", "expires_at", "usage", "usage_daily",
    "usage_weekly", "usage_monthly", "byok_usage", "byok_usage_daily", "byok_usage_weekly",
    "byok_usage_monthly", "include_byok_in_limit", "is_free_tier", "is_management_key",
    "is_provisioning_key", "creator_user_id", "organization_id", "workspace_id",
    "allowed_data_regions", "budgets", "effective_budget", "free_model_daily_requests",
    "rate_limit",
}  # fmt: skip


def headers_of(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_key_has_every_field(live):
    data = live.http.get("/api/v1/key", headers=live.headers).json()["data"]
    assert set(data) == KEY_FIELDS
    assert data["label"] == "sk-or-v1-012...def"
    assert live.http.get("/api/v1/auth/key", headers=live.headers).json()["data"] == data


def test_usage_grows_and_belongs_to_periods(live):
    live.chat("sandbox/echo")
    data = live.http.get("/api/v1/key", headers=live.headers).json()["data"]
    assert data["usage"] > 0
    assert data["usage"] == data["usage_daily"] == data["usage_weekly"] == data["usage_monthly"]
    live.clock.now += 40 * 86400
    later = live.http.get("/api/v1/key", headers=live.headers).json()["data"]
    assert later["usage"] == data["usage"]
    assert later["usage_daily"] == later["usage_weekly"] == later["usage_monthly"] == 0


def test_limit_and_its_reset(live):
    key = live.sandbox.mint(limit=0.00001, limit_reset="daily")
    live.headers.update(headers_of(key))
    assert live.chat("sandbox/echo").status_code == 200
    refused = live.chat("sandbox/echo")
    assert refused.status_code == 403
    assert refused.json()["error"]["message"].startswith("Key limit exceeded (total limit)")
    assert refused.json()["user_id"].startswith("user_")
    data = live.http.get("/api/v1/key", headers=live.headers).json()["data"]
    assert data["limit_remaining"] == 0
    assert data["effective_budget"]["resets_at"] == "2025-11-14T00:00:00Z"
    live.clock.now += 86400
    assert live.chat("sandbox/echo").status_code == 200


def test_bad_keys(live):
    missing = live.http.get("/api/v1/key")
    assert (missing.status_code, missing.json()["error"]) == (
        401,
        {"code": 401, "message": "Missing Authentication header"},
    )
    unknown = live.http.get("/api/v1/key", headers=headers_of("sk-or-v1-" + "0" * 64))
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (401, "User not found.")


def test_expired_key(live):
    moment = dt.datetime.fromtimestamp(live.clock.now + 60, dt.UTC)
    headers = headers_of(live.sandbox.mint(expires_at=moment))
    assert live.http.get("/api/v1/key", headers=headers).status_code == 200
    live.clock.now += 61
    assert live.http.get("/api/v1/key", headers=headers).status_code == 401
    assert live.http.get("/api/v1/models", headers=headers).status_code == 401


def test_revoke_by_page(live):
    path = f"/keys/{digest(PASTE_KEY)}"
    assert 'data-action="revoke"' in live.http.get(path).text
    answer = live.http.post(path + "/revoke")
    assert answer.status_code == 303
    page = live.http.get(path).text
    assert 'data-key-state="revoked"' in page and 'data-action="revoke"' not in page
    assert live.http.get("/api/v1/key", headers=live.headers).status_code == 401
    live.sandbox.reset()
    assert live.http.get("/api/v1/key", headers=live.headers).status_code == 200


def test_unknown_pages(live):
    assert live.http.get("/keys/" + "0" * 64).status_code == 404
    assert live.http.post("/keys/" + "0" * 64 + "/revoke").status_code == 404
    assert "text/html" in live.http.get("/nowhere").headers["Content-Type"]
    assert live.http.get("/api/v1/nowhere").json()["error"]["code"] == 404


@pytest.mark.parametrize(
    "path", ["/settings/keys", "/settings/credits", "/settings/privacy", "/sandbox"]
)
def test_pages_are_plain_and_guarded(live, path):
    answer = live.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src")
    assert "<script" not in answer.text and "style=" not in answer.text


def test_credits(live):
    refused = live.http.get("/api/v1/credits", headers=live.headers)
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "Only management keys can perform this operation"
    live.sandbox.switches.credits = "zeros"
    zeros = live.http.get("/api/v1/credits", headers=live.headers).json()
    assert zeros == {"data": {"total_credits": 0, "total_usage": 0}}


def test_model_list_looks_real(live):
    answer = live.http.get("/api/v1/models")
    body = answer.json()
    models = body["data"]
    assert body["total_count"] == len(models)
    assert body["links"] == {"next": None}
    assert 340 <= len(models) <= 380
    assert 350_000 < len(json.dumps(body, separators=(",", ":"))) < 600_000
    ids = [model["id"] for model in models]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "sandbox/echo"
    assert sum(each.startswith("~") for each in ids) == 8
    prices = [model["pricing"]["prompt"] for model in models]
    assert prices.count("-1") == 3
    assert 20 <= prices.count("0") <= 32
    assert all("E" not in price for price in prices)
    assert models[20:] == sorted(models[20:], key=lambda model: -model["created"])


def test_model_filters(live: Live):
    def ids(**params: str) -> list[str]:
        return [m["id"] for m in live.http.get("/api/v1/models", params=params).json()["data"]]

    assert ids(q="claude")
    assert all("claude" in each for each in ids(q="claude"))
    assert ids(output_modalities="image")
    assert len(ids(input_modalities="image,audio")) < len(ids(input_modalities="image"))
    assert all(each.startswith(("qwen/", "~qwen/")) for each in ids(model_authors="qwen"))


def test_paging(live):
    seen, url = [], "/api/v1/models?limit=100"
    while url:
        page = live.http.get(url).json()
        seen += [model["id"] for model in page["data"]]
        url = page["links"]["next"]
    assert seen == [model["id"] for model in live.http.get("/api/v1/models").json()["data"]]
    assert live.http.get("/api/v1/models?limit=0").status_code == 400
    assert live.http.get("/api/v1/models?offset=x").status_code == 400


def test_models_of_user_count_and_one(live):
    assert live.http.get("/api/v1/models/user").status_code == 401
    mine = live.http.get("/api/v1/models/user", headers=live.headers).json()
    count = live.http.get("/api/v1/models/count").json()["data"]["count"]
    assert mine["total_count"] == count
    alias = live.http.get("/api/v1/model/~openai/gpt-latest").json()["data"]
    assert alias["id"] == "openai/gpt-5.2"
    assert live.http.get("/api/v1/model/no/such").status_code == 404


def test_status_switches(live):
    live.sandbox.switches.key_status = 503
    live.sandbox.switches.models_status = 429
    assert live.http.get("/api/v1/key", headers=live.headers).status_code == 503
    assert live.http.get("/api/v1/models").status_code == 429


def test_switches_by_page(live):
    form = {"sign_in": ["0", "1"], "exchange": "500", "pace": "0.5", "do": "save"}
    assert live.http.post("/sandbox", data=form).status_code == 303
    assert live.sandbox.switches.sign_in is True
    assert live.sandbox.switches.exchange == "500"
    assert live.sandbox.switches.pace == 0.5
    refused = live.http.post("/sandbox", data={"exchange": "no such"})
    assert refused.status_code == 400 and "exchange is one of ok, 400" in refused.text
    assert live.http.post("/sandbox", data={"nonsense": "1"}).status_code == 400
    live.http.post("/sandbox", data={"do": "reset"})
    assert live.sandbox.switches.exchange == "ok"


def test_switches_by_environment(monkeypatch):
    monkeypatch.setenv("SANDBOX_SIGN_IN", "yes")
    monkeypatch.setenv("SANDBOX_EXCHANGE_DELAY", "1.5")
    switches = create_app(exchange_delay=2).extensions["sandbox"].switches
    assert switches.sign_in is True
    assert switches.exchange_delay == 2.0
    monkeypatch.setenv("SANDBOX_SIGN_IN", "maybe")
    with pytest.raises(ValueError, match="sign_in is on or off, not 'maybe'"):
        create_app()


def test_journal_is_bounded_and_holds_no_key(live):
    live.http.get("/api/v1/key", headers=live.headers)
    entry = live.sandbox.journal.last("/api/v1/key")
    assert (entry.bearer, entry.status) == (digest(PASTE_KEY), 200)
    live.chat("sandbox/echo", f"my key is {PASTE_KEY}")
    assert PASTE_KEY not in repr(live.sandbox.journal.entries())
    for _ in range(1100):
        live.sandbox.journal.add(entry)
    assert len(live.sandbox.journal) == 1000
