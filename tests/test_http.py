"""The door to the outside, against servers that do what servers must not."""

import gzip
import json
import logging
import threading
import traceback
from contextlib import closing

import httpx
import pytest

from apiary.addresses import Policy
from apiary.errors import EndpointRefused, ProviderDown
from apiary.http import Http, Unusable
from tests.raw import OK, Raw, answer, talk

KEY = "sk-canary-0123456789abcdef"


def test_a_plain_answer() -> None:
    with talk(answer(b'{"a": [1, "\xc3\xa9"]}', b"X-Thing: 7")) as (server, http):
        reply = http.json(
            "POST", server.url + "/x?y=1", headers={"x-api-key": KEY}, body={"q": "é"}
        )
    assert (reply.status, reply.data, reply.headers["x-thing"]) == (200, {"a": [1, "é"]}, "7")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert f"x-api-key: {KEY}".encode() in head.lower()
    assert b"content-type: application/json" in head.lower()
    assert b"accept-encoding: identity" in head.lower()
    assert b"cookie" not in head.lower()
    assert f"host: 127.0.0.1:{server.port}".encode() in head.lower()
    assert json.loads(body) == {"q": "é"}


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"<!doctype html><p>Welcome to the hotel's network"),
        answer(b""),
        answer(b"null"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        answer(b'{"key": "cut'),
        answer(b'{"a": NaN}'),
        answer(b'{"a": 1, "a": 2}'),
        answer(b"[" * 65 + b"]" * 65),
        answer(b"[" * 30_000),
        answer(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        answer(b"[" + b"1," * 40_000 + b"1]"),
        answer(b"\xff\xfe\x00"),
        answer(gzip.compress(b"[" + b"0," * 1_000_000 + b"0]"), b"Content-Encoding: gzip"),
        answer(b"{}", b"Content-Encoding: br"),
        answer(b"{}", b"Location: https://openrouter.ai/", status=b"301 Moved"),
        answer(b"{}", b"Location: /elsewhere", status=b"307 Moved"),
        OK + b"Content-Length: 100000000000\r\n\r\n" + b"x" * 100_000,
        OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n",
    ],
)
def test_what_cannot_be_used(raw: bytes) -> None:
    with talk(raw) as (server, http), pytest.raises(Unusable) as caught:
        http.json("GET", server.url)
    assert caught.value.reason in {"answer", "broken"}
    assert caught.value.sent
    assert isinstance(caught.value, ProviderDown)
    assert len(server.requests) == 1


def test_brackets_in_text_are_no_nesting() -> None:
    body = json.dumps({"a": '[{"\\' * 500}).encode()
    with talk(answer(body)) as (server, http):
        assert http.json("GET", server.url).data == {"a": '[{"\\' * 500}


@pytest.mark.parametrize("body", [b'{"error": "x"}', b"<html>", b"", b"x" * 200_000, b"\xff"])
def test_an_error_status_is_an_answer_whatever_its_body(body: bytes) -> None:
    with talk(answer(body, status=b"429 Slow down")) as (server, http):
        reply = http.json("GET", server.url)
    assert reply.status == 429
    assert reply.data == ({"error": "x"} if body.startswith(b"{") else None)


def test_a_long_list_fits_a_larger_cap() -> None:
    body = json.dumps([{"id": "x" * 1000}] * 3000).encode()
    with talk(answer(body)) as (server, http):
        assert len(http.json("GET", server.url, cap=8 * 1024 * 1024).data) == 3000


def test_no_cookie_is_kept() -> None:
    raw = answer(b"{}", b"Set-Cookie: session=of-another-user; Path=/")
    with talk(raw) as (server, http):
        http.json("GET", server.url)
        http.json("GET", server.url)
    assert len(server.requests) == 2
    assert all(b"cookie" not in request.lower() for request in server.requests)


def test_nothing_is_sent_where_the_policy_forbids() -> None:
    with closing(Raw(answer(b"{}"))) as server:
        http = Http(Policy())
        for call in (http.json, http.events):
            with pytest.raises(EndpointRefused):
                call("GET", server.url)
    assert server.connections == 0


def test_no_secret_in_errors_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with talk(answer(b"{}")) as (server, http):
        http.json("GET", server.url, headers={"authorization": f"Bearer {KEY}"})
        with pytest.raises(Unusable) as caught:
            http.json("GET", server.url, headers={"authorization": f"Bearer {KEY}\n"})
    error = caught.value
    text = "".join(traceback.format_exception(error)) + repr(error) + str(error.args)
    assert KEY not in text
    assert error.__cause__ is None and error.__context__ is None
    assert KEY not in caplog.text and server.url not in caplog.text


def test_the_first_requests_of_many_threads() -> None:
    with talk(answer(b"{}")) as (server, http):
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(http.json("GET", server.url).status))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert found == [200] * 20


def test_a_transport_of_the_tests() -> None:
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, json={"u": str(request.url)})
    )
    http = Http(Policy(), transport=transport)
    assert http.json("GET", "https://api.example/v1").data == {"u": "https://api.example/v1"}
