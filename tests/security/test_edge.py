"""The web edge of both wings: headers, cookies, echoes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.conftest import LiveSandbox, MakeApp
from tests.host.browsing import Browser
from tests.host.conftest import MakeHost
from tests.security.edge import MARKUP, ON_THE_WAY, PARAMETERS, PUBLIC, WORD, Safe
from tests.security.routes import ROWS
from tests.security.world import ATTEMPT, PASSWORD, World, led_to


@pytest.fixture(params=["http://localhost", PUBLIC], ids=["http", "https"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@contextmanager
def kinds(app: Flask, url: str, key: str, sandbox: LiveSandbox) -> Iterator[list[TestResponse]]:
    """One response of each kind that there is."""

    @app.get("/bug")
    def bug() -> str:
        raise RuntimeError(WORD)

    app.testing = app.config["PROPAGATE_EXCEPTIONS"] = False
    ada = Safe(app, url)
    seen = [ada.get(path) for path in ("/", "/sign-in", "/settings/", "/models", "/healthz")]
    ada.sign_up("Ada Hive", PASSWORD)
    seen += [ada.form("/settings/openrouter/key", api_key=key)]
    conversation = ada.conversation()
    seen += [ada.send(f"/c/{conversation}/messages", {"text": "Bees?", "model": "sandbox/echo"})]
    assert seen[-1].mimetype == "text/event-stream"
    seen[-1].get_data()
    begun = ada.form("/settings/openrouter/connect", display="popup", attempt=ATTEMPT)
    back = urlsplit(parse_qs(urlsplit(led_to(begun.text)).query)["callback_url"][0]).path
    seen += [begun, ada.form("/settings/openrouter/connect", display="code", attempt="a" * 20)]
    paths = [
        "/static/chat.css", "/settings/static/apiary.css", "/vendor/VENDOR.txt", "/static/nothing",
        f"/c/{conversation}", f"/c/{conversation}/export.md", "/account", "/account/export",
        "/account/delete", "/payer", "/settings", "/settings/openrouter", "/settings/nobody",
        "/settings/openrouter/ways", f"/settings/openrouter/flows/{ATTEMPT}",
        f"/settings/openrouter/done/{ATTEMPT}", back, back, f"{back}x?code=1",
        "/settings/openrouter/trouble/unknown", "/settings/openrouter/trouble/nothing",
        "/c/nothing", "/nothing", "/bug", f"/c/{conversation}/stream",
    ]  # fmt: skip
    for path in paths:
        for kind in ("text/html", "application/json"):
            seen.append(ada.get(path, headers={"Accept": kind, "Origin": "https://evil.example"}))
    fresh = ada.get("/static/chat.css")
    seen.append(ada.get("/static/chat.css", headers={"If-None-Match": fresh.headers["ETag"]}))
    token = ada.token()
    seen += [
        ada.client.options("/", headers={"Access-Control-Request-Method": "POST"}),
        ada.client.head("/"),
        ada.client.put("/", headers={"X-CSRFToken": token}),
        ada.client.post("/c"),
        ada.client.post("/c", headers={"Origin": "https://evil.example"}),
        ada.client.post("/ask", data=b"x" * 3_000_000, headers={"X-CSRFToken": token}),
        ada.client.get("/", environ_overrides={"HTTP_HOST": "evil.example"}),
        Safe(app, url).get("/account/export"),
        ada.form("/account/sign-out-everywhere"),
    ]
    found = {answer.status_code for answer in seen}
    assert {200, 204, 303, 304, 308, 400, 403, 404, 405, 413, 500} <= found
    try:
        yield seen
    finally:
        for answer in (*seen, fresh):
            answer.close()


def test_headers_of_every_kind(
    make_host: MakeHost, url: str, paste_key: str, sandbox: LiveSandbox
) -> None:
    app = make_host(OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL=url)
    with kinds(app, url, paste_key, sandbox) as seen:
        for answer in seen:
            path, headers = answer.request.path, answer.headers
            what = (answer.request.method, path, answer.status_code)
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'"), what
            assert "unsafe" not in policy and "*" not in policy and "http" not in policy, what
            attached = headers.get("Content-Disposition", "").startswith("attachment")
            assert "frame-ancestors 'none'" in policy or attached, what
            assert headers["X-Content-Type-Options"] == "nosniff", what
            assert headers["Referrer-Policy"] in ("same-origin", "no-referrer"), what
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin", what
            assert not [name for name, _ in headers if name.startswith("Access-Control")], what
            file = path.startswith(("/static", "/settings/static", "/vendor"))
            if not file:
                assert headers["Cache-Control"] == "no-store", what
                assert "Cookie" in headers["Vary"], what
            opener = headers.get("Cross-Origin-Opener-Policy", "unsafe-none")
            if not file and not ON_THE_WAY.match(path):
                assert opener == "same-origin-allow-popups", what
            if path.startswith(("/settings/openrouter/callback", "/settings/openrouter/done")):
                assert opener == "unsafe-none", what
                assert headers["Referrer-Policy"] == "no-referrer", what
            if url == PUBLIC:
                assert "max-age=" in headers["Strict-Transport-Security"], what
            else:
                assert "Strict-Transport-Security" not in headers, what
            if answer.status_code >= 400 and "json" not in str(answer.mimetype):
                assert WORD not in answer.text and "Traceback" not in answer.text
            _cookies(answer, url)


def _cookies(answer: TestResponse, url: str) -> None:
    for line in answer.headers.getlist("Set-Cookie"):
        name, *rest = line.split("=", 1)[0], *line.split("; ")[1:]
        if "Max-Age=0" in rest and line.startswith(f"{name}=;"):
            # It only takes away.
            continue
        assert "HttpOnly" in rest and "SameSite=Lax" in rest, line
        assert not [part for part in rest if part.startswith("Domain")], line
        assert len(line) < 1024
        if url == PUBLIC:
            assert "Secure" in rest, line
            own = name in ("__Host-apiary", "__Host-apiary-device") and "Path=/" in rest
            assert name == "apiary_flow" or own, line
        else:
            assert "Secure" not in rest, line
        if name == "apiary_flow":
            assert "Path=/" not in rest, line


def test_the_plug_in_brings_its_own_headers(make_app: MakeApp) -> None:
    """In a host that sets none."""
    app = make_app()
    client = app.test_client()
    paths = ["/settings/", "/settings/openrouter", "/settings/nobody", "/settings/openrouter/ways"]
    paths += [f"/settings/openrouter/{end}" for end in
              ("callback/x", "done/" + ATTEMPT, "flows/" + ATTEMPT, "trouble/unknown")]  # fmt: skip
    for who in ("", "ann"):
        if who:
            client.post(f"/in/{who}")
        for path in paths:
            answer = client.get(path, headers={"Origin": "https://evil.example"})
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy and "frame-ancestors 'none'" in policy, path
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Cookie" in answer.headers["Vary"]
            assert answer.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
            assert "Access-Control-Allow-Origin" not in answer.headers
            opener = answer.headers["Cross-Origin-Opener-Policy"]
            on_the_way = re.search(r"callback|trouble", path) or ("done" in path and who)
            assert opener == ("unsafe-none" if on_the_way else "same-origin-allow-popups"), path
    with client.get("/settings/static/apiary.css") as file:
        assert file.headers["X-Content-Type-Options"] == "nosniff"


def test_markup_is_never_echoed(world: World) -> None:
    """Not in paths, not in parameters, not in headers; an error says nothing of what was asked."""
    asked = {name: f"{MARKUP}{WORD}" for name in (*PARAMETERS, "conversation", "q", "code")}
    for row in ROWS:
        if row.method != "GET" or row.file:
            continue
        odd = world.path(
            re.sub(r"<any[^>]+>", "openrouter", row.rule),
            **{name: f"{MARKUP}{WORD}" for name in ("id", "attempt", "flow", "reason", "provider")},
        )
        for path in (row.at(world), odd, f"{odd}/{MARKUP}{WORD}"):
            for kind in ("text/html", "application/json", "*/*", MARKUP):
                with world.ada.client.get(
                    path, query_string=asked, headers={"Accept": kind, "User-Agent": MARKUP}
                ) as answer:
                    text = answer.get_data(as_text=True)
                    what = (answer.request.method, path, kind)
                    assert answer.status_code < 500, what
                    if answer.mimetype != "application/json":
                        assert MARKUP not in text and "<svg/onload" not in text, what
                    if answer.status_code >= 400:
                        assert WORD not in text, what
                    if kind == "application/json" and text.startswith("{"):
                        assert answer.mimetype == "application/json", what


def test_odd_bytes_break_nothing(make_host: MakeHost, database_url: str) -> None:
    """NUL and broken UTF-8 wherever text goes to the database."""
    app = make_host(
        OPENROUTER_OAUTH="1",
        APIARY_PUBLIC_URL="http://localhost",
        APIARY_DATABASE_URL=database_url,
    )
    ada = Browser(app)
    ada.sign_up("Ada Hive", PASSWORD)
    conversation = ada.conversation()
    odd = [
        "\0",
        "a\0b",
        "\udc80".encode("utf-8", "surrogatepass").decode("latin-1"),
        "\ud83d",
        "x" * 5000,
    ]
    token = ada.token()
    for text in odd:
        raw = text.encode("utf-8", "surrogatepass").decode("latin-1")
        for path in (f"/c/{raw}", f"/c/{raw}/export.json", f"/settings/{raw}", f"/{raw}",
                     f"/settings/openrouter/callback/{raw}", f"/settings/openrouter/done/{raw}",
                     f"/settings/openrouter/trouble/{raw}"):  # fmt: skip
            with ada.client.get("/", environ_overrides={"PATH_INFO": path}) as answer:
                assert answer.status_code < 500, path
        for path, fields in (
            ("/sign-in", {"name": text, "password": text}),
            ("/sign-up", {"name": text, "password": text}),
            ("/account/password", {"password": text, "new_password": text}),
            (f"/c/{conversation}/rename", {"title": f"t{text}"}),
            ("/settings/openrouter/key", {"api_key": text}),
            ("/settings/openrouter/connect", {"attempt": text, "limit": text, "back": text}),
            ("/payer", {"conversation": text}),
        ):
            headers = {"X-CSRFToken": token, "Accept": "text/html"}
            body = {k: v.encode("utf-8", "surrogatepass") for k, v in fields.items()}
            if path == "/payer":
                answer = ada.client.get(path, query_string=body)
            else:
                answer = ada.client.post(path, data=body, headers=headers)
            with answer:
                assert answer.status_code < 500, (path, text[:9])
            if path in ("/sign-in", "/sign-up"):
                assert answer.status_code == 400
        with ada.send(f"/c/{conversation}/rename", {"title": f"t{text}"}) as answer:
            assert answer.status_code < 500
