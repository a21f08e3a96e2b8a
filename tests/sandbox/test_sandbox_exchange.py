"""The exchange, its refusals, and every staged deviation."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.sandbox import pkce
from apiary.sandbox.switches import EXCHANGE
from tests.sandbox.conftest import VERIFIER


def refusal(answer):
    return answer.status_code, answer.json()["error"]["message"]


def test_code_becomes_a_key_once(live):
    code = live.code()
    answer = live.exchange(code)
    assert answer.status_code == 200
    assert set(answer.json()) == {"key", "user_id"}
    assert re.fullmatch(r"sk-or-v1-[a-f0-9]{64}", answer.json()["key"])
    assert answer.json()["user_id"] == "user_2yOPcMpKoQhcd4bVgSMlELRaIah"
    assert refusal(live.exchange(code)) == (403, "Invalid code or code_verifier")
    assert answer.json()["key"] not in str(live.sandbox.journal.entries())


def test_only_one_of_many_gets_the_key(live):
    code = live.code()
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(live.exchange(code).status_code))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [200] + [403] * 7


def test_wrong_verifier_burns_the_code(live):
    code = live.code()
    wrong = "w" * 43
    assert refusal(live.exchange(code, code_verifier=wrong)) == (
        403,
        "Invalid code or code_verifier",
    )
    assert live.exchange(code).status_code == 403


def test_wrong_method_does_not(live):
    code = live.code()
    for method in ("plain", None):
        assert refusal(live.exchange(code, code_challenge_method=method)) == (
            400,
            "Invalid code_challenge_method",
        )
    assert live.exchange(code).status_code == 200


def test_codes_live_ten_minutes(live):
    code = live.code()
    other = live.code()
    live.clock.now += 599
    assert live.exchange(code).status_code == 200
    live.clock.now += 2
    assert refusal(live.exchange(other)) == (403, "Authorization code expired")


def test_plain_and_no_challenge(live):
    plain = live.code(code_challenge=VERIFIER, code_challenge_method="plain")
    assert live.exchange(plain, code_challenge_method="plain").status_code == 200
    free = live.code(code_challenge=None, code_challenge_method=None)
    assert live.http.post("/api/v1/auth/keys", json={"code": free}).status_code == 200


def test_delays_are_as_long_as_they_say(live):
    live.sandbox.switches.auth_delay = live.sandbox.switches.exchange_delay = 0.1
    began = time.monotonic()
    assert live.exchange(live.code()).status_code == 200
    assert time.monotonic() - began > 0.2


def test_lenient_ignores_the_verifier(live):
    live.sandbox.switches.lenient = True
    assert live.exchange(live.code(), code_verifier="w" * 43).status_code == 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"code": 5}', b'{"code_verifier"'])
def test_bad_bodies(live, body):
    headers = {"Content-Type": "application/json"}
    answer = live.http.post("/api/v1/auth/keys", content=body, headers=headers)
    assert refusal(answer) == (400, "Invalid request parameters")


def test_only_post(live):
    answer = live.http.get("/api/v1/auth/keys")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == 405


def test_key_details_follow_the_question(live):
    code = live.code(
        limit="2.5", usage_limit_type="daily", expires_at="2030-01-01T00:00:00Z", key_label="Mine"
    )
    key = live.exchange(code).json()["key"]
    data = live.http.get("/api/v1/key", headers={"Authorization": f"Bearer {key}"}).json()["data"]
    assert data["limit"] == data["limit_remaining"] == 2.5
    assert data["limit_reset"] == "daily"
    assert data["expires_at"] == "2030-01-01T00:00:00Z"
    assert data["label"] == f"{key[:12]}...{key[-3:]}"
    assert live.sandbox.keys()[-1].name == "Mine"


STATUS = {
    "400": 400, "403": 403, "expired": 403, "404": 404, "405": 405, "408": 408, "429": 429,
    "500": 500, "204": 204, "redirect": 302,
}  # fmt: skip
BREAKS = {"reset", "reset-late", "huge-header"}
ENDLESS = {"huge", "endless"}


@pytest.mark.parametrize("name", [name for name in EXCHANGE if name not in BREAKS | ENDLESS])
def test_every_deviation_answers(live, name):
    code = live.code()
    before = len(live.sandbox.keys())
    live.sandbox.switches.exchange = name
    body = {"code": code, "code_verifier": VERIFIER, "code_challenge_method": "S256"}
    with live.http.stream("POST", "/api/v1/auth/keys", json=body) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.status_code == STATUS.get(name, 200)
    minted = len(live.sandbox.keys()) - before
    assert live.sandbox.journal.exchanges() == 1
    if name == "bomb":
        assert len(raw) < 200_000 and len(gzip.decompress(raw)) > 60_000_000
    elif name == "slow-loris":
        assert json.loads(raw)["key"]
    elif name == "deep":
        with pytest.raises(RecursionError):
            json.loads(raw)
    elif name == "key-newline":
        assert "\n" in json.loads(raw)["key"]
    elif name == "429":
        assert answer.headers["Retry-After"] == "7"
    before_mint = {"html", "empty", "array", "deep", "bomb", *STATUS}
    assert minted == (0 if name in before_mint else 1)


@pytest.mark.parametrize(("name", "minted"), [("reset", 0), ("reset-late", 1)])
def test_resets(live, name, minted):
    code = live.code()
    before = len(live.sandbox.keys())
    live.sandbox.switches.exchange = name
    with pytest.raises(httpx.TransportError):
        live.exchange(code)
    assert len(live.sandbox.keys()) - before == minted


@pytest.mark.parametrize("name", sorted(ENDLESS))
def test_endless_answers_can_be_left(live, name):
    live.sandbox.switches.exchange = name
    with live.http.stream("POST", "/api/v1/auth/keys", json={}) as answer:
        assert next(answer.iter_raw())


def test_huge_header(live):
    live.sandbox.switches.exchange = "huge-header"
    with pytest.raises(httpx.RemoteProtocolError):
        live.exchange("x" * 20)


@given(st.from_regex(r"[A-Za-z0-9._~-]{43,128}", fullmatch=True), st.sampled_from(pkce.METHODS))
def test_pkce_accepts_its_own_verifier_only(verifier, method):
    challenge = pkce.challenge_of(verifier, method)
    assert pkce.well_formed(challenge, method)
    assert pkce.matches(verifier, challenge, method)
    assert not pkce.matches(verifier + "x", challenge, method)
    assert not pkce.matches("", challenge, method)


def test_pkce_by_the_example_of_the_standard():
    # RFC 7636 appendix B.
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce.matches(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "S256")
