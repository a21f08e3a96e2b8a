"""The web edge of both wings: headers, cookies, sessions, redirects, echoes."""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from apiary.host import accounts
from tests.conftest import LiveSandbox, MakeApp
from tests.host.browsing import Browser
from tests.host.conftest import MakeHost
from tests.security.routes import ROWS
from tests.security.world import ATTEMPT, PASSWORD, World, begin, call, led_to

CORPORA = Path(__file__).parents[1] / "corpora"
PUBLIC = "https://bees.example.org"
#: Ends of a popup: a policy of their own would cut them off from the page that opened it.
ON_THE_WAY = re.compile(r"/settings/openrouter/(connect|callback|done|trouble)\b")
MARKUP = """<svg/onload=alert(1)>"'><img src=x>"""
WORD = "zebra-echo"


def lines(name: str) -> list[str]:
    found = (CORPORA / name).read_text().splitlines()
    return [line for line in found if line and not line.startswith("#")]


PLACES = [codecs.decode(line, "unicode_escape") for line in lines("next.txt")]
HEADERS = [tuple(line.split(": ", 1)) for line in lines("headers.txt")]


class Safe(Browser):
    """A browser at the site's public address, https or not."""

    def __init__(self, app: Flask, url: str) -> None:
        super().__init__(app)
        true = self.client.open
        parts = urlsplit(url)

        def open_there(*args: Any, **more: Any) -> TestResponse:
            more.setdefault("base_url", f"{parts.scheme}://{parts.netloc}")
            return true(*args, **more)

        self.client.open = open_there  # type: ignore[method-assign]


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


# Sessions


@pytest.mark.parametrize("door", ["sign-in", "sign-up", "upgrade"])
def test_a_planted_cookie_is_worth_nothing_afterwards(
    make_host: MakeHost, paste_key: str, door: str
) -> None:
    """The attacker's own session stands in the victim's browser before the victim signs in."""
    app = make_host(OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost")
    if door == "sign-in":
        Browser(app).sign_up("Ada Hive", PASSWORD)
    attacker = Browser(app)
    old_token = attacker.token()
    if door == "upgrade":
        # A guest with a row of their own, not only a cookie.
        attacker.conversation()
    planted = dict(attacker.client._cookies)
    victim = Browser(app)
    victim.client._cookies = dict(planted)
    if door == "sign-in":
        victim.sign_in("Ada Hive", PASSWORD)
    else:
        victim.sign_up("Ada Hive", PASSWORD)
    assert victim.client._cookies != planted
    victim.connect(paste_key)
    begin(victim, ATTEMPT)
    conversation = victim.conversation()
    attacker.client._cookies = planted
    for path in ("/account", "/settings/", "/account/export", f"/c/{conversation}"):
        with attacker.get(path) as answer:
            assert "Ada Hive" not in answer.text and "sk-or-v1" not in answer.text, path
    with call(victim, "POST", "/c", token=old_token) as answer:
        assert answer.status_code == 400, "the token of before is dead too"


@pytest.mark.parametrize("how", ["everywhere", "password", "delete"])
def test_saved_cookies_are_dead(world: World, how: str) -> None:
    saved = Browser(world.app)
    saved.client._cookies = dict(world.ada.client._cookies)
    token = saved.token()
    match how:
        case "everywhere":
            world.ada.form("/account/sign-out-everywhere")
        case "password":
            world.ada.form("/account/password", password=PASSWORD, new_password="battery staple")
        case "delete":
            world.ada.form("/account/delete", password=PASSWORD, sure="y")
    kept = dict(saved.client._cookies)
    for row in ROWS:
        saved.client._cookies = dict(kept)
        if row.who == "anyone":
            continue
        with call(
            saved, row.method, row.at(world), row.send, token=token, Accept="application/json"
        ) as answer:
            text = answer.get_data(as_text=True)
            assert "Ada Hive" not in text and "Of bees" not in text, row
            assert row.method == "GET" or answer.status_code == 401, (row, answer.status_code)


def test_the_flow_does_not_outlive_the_login(world: World, sandbox: LiveSandbox) -> None:
    world.ada.form("/account/sign-out-everywhere")
    world.ada.sign_in("Ada Hive", PASSWORD)
    path = world.path("/settings/openrouter/callback/<flow>")
    with world.ada.get(f"{path}?code=abc") as answer:
        assert answer.headers["Location"].endswith("/trouble/other-browser")
    assert sandbox.exchanges == 0


# Redirects

PARAMETERS = [
    "next", "back", "url", "to", "target", "redirect", "redirect_uri", "redirect_to",
    "redirect_url", "return", "return_to", "returnUrl", "continue", "dest", "destination",
    "_target_url", "callback", "callback_url", "goto", "home", "r", "u", "from", "origin",
    "error", "error_description", "state", "iss", "display", "attempt", "provider", "limit",
]  # fmt: skip


def stays_here(answer: TestResponse, sandbox: str, what: object) -> None:
    """No redirect of any kind leads off the site, but the hop page to OpenRouter itself."""
    place = answer.headers.get("Location")
    if place is not None:
        path = place.removeprefix("http://localhost")
        assert re.match(r"/(?![/\\])[\x21-\x7e]*\Z", path), (what, place)
        assert "\\" not in path and "evil" not in urlsplit(place).netloc, (what, place)
    assert "Refresh" not in answer.headers and "X-Evil" not in answer.headers, what
    assert not [c for c in answer.headers.getlist("Set-Cookie") if c.startswith("evil")], what
    if answer.mimetype == "text/html" and answer.data:
        for led in re.findall(r'http-equiv="refresh" content="0;url=([^"]+)"', answer.text):
            asked = urlsplit(unescape(led))
            assert f"{asked.scheme}://{asked.netloc}{asked.path}" == f"{sandbox}/auth", what
            [back] = parse_qs(asked.query)["callback_url"]
            assert back.startswith("http://localhost/settings/openrouter/callback/"), what
        for link in re.findall(r'(?:href|action|src)="([^"]*)"', answer.text):
            assert not re.match(r"\s*(//|\\\\|\w*script:|data:text)", unescape(link), re.I), (
                what,
                link,
            )
            assert "evil" not in urlsplit(unescape(link)).netloc, (what, link)


def test_no_parameter_leads_away(
    world: World, sandbox: LiveSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Slow on purpose; here it would only be slow.
    monkeypatch.setattr(accounts, "check_password_hash", lambda _, given: given == PASSWORD)
    monkeypatch.setattr(accounts, "generate_password_hash", lambda given, **_: given)
    monkeypatch.setattr(accounts, "_dummy_hash", lambda: "nobody has this one")
    kept = world.save()
    token = world.ada.token()
    for number, place in enumerate(PLACES):
        for index, row in enumerate(ROWS):
            # Every place at every door, and in turn at all the others.
            door = row.rule == "/sign-in" or row.rule.endswith("/connect")
            if row.file or not (door or (number + index) % 24 == 0):
                continue
            asked = {name: place for name in PARAMETERS}
            send = {**asked, **row.send}
            if row.rule.endswith("/connect"):
                send = {"next": place, "callback_url": place, "back": place} if number % 2 else {}
            with world.ada.client.open(
                row.at(world),
                method=row.method,
                query_string=asked,
                headers={"X-CSRFToken": token, "Accept": "text/html"},
                **({"data": send} if row.method == "POST" else {}),
            ) as answer:
                stays_here(answer, sandbox.url, (row, place))
                assert answer.status_code < 500, (row, place)
            if row.method == "POST":
                world.restore(kept)


def test_no_path_leads_away(world: World, sandbox: LiveSandbox) -> None:
    for place in PLACES:
        raw = place.encode().decode("latin-1")
        for path in (raw, f"/{raw}", f"/settings{raw}", f"/settings/openrouter/done/{raw}",
                     f"/c/{raw}", f"/settings/{raw}/..", f"{raw}/settings"):  # fmt: skip
            with world.ada.client.get(
                "/", environ_overrides={"PATH_INFO": path}, headers={"Accept": "text/html"}
            ) as answer:
                stays_here(answer, sandbox.url, path)
                assert answer.status_code < 500, path


def test_the_other_name_of_this_machine_leads_to_ours_only(make_host: MakeHost) -> None:
    """What the redirect from 127.0.0.1 to localhost makes of paths."""
    app = make_host(APIARY_PUBLIC_URL="http://localhost:3000")
    client = app.test_client()
    for place in PLACES:
        with client.get(
            "/",
            environ_overrides={
                "PATH_INFO": place.encode().decode("latin-1"),
                "HTTP_HOST": "127.0.0.1:3000",
            },
            headers={"Accept": "text/html"},
        ) as answer:
            if "Location" in answer.headers:
                assert urlsplit(answer.headers["Location"]).netloc == "localhost:3000", place
                assert "\\" not in answer.headers["Location"]


# Headers that lie


def test_headers_that_lie(world: World, sandbox: LiveSandbox) -> None:
    token = world.ada.token()
    for number, (name, value) in enumerate(HEADERS):
        sent = {"Accept": "text/html", "X-CSRFToken": token, name: value}
        for path in ("/", "/settings", "/sign-in", "/nothing", "/settings/openrouter/trouble/used"):
            with world.stranger().get(path, headers={**sent}) as answer:
                assert answer.status_code in (200, 308, 404), (name, value, path)
                stays_here(answer, sandbox.url, (name, value))
                text = answer.get_data(as_text=True)
                assert "evil.example" not in text and "<svg onload" not in text, (name, path)
                assert "Ada Hive" not in text
        fields = {"attempt": f"attempt-of-header-{number}"}
        with world.ada.client.post(
            "/settings/openrouter/connect", data=fields, headers=sent
        ) as answer:
            assert answer.status_code == (403 if name == "Origin" else 200), (name, value)
            stays_here(answer, sandbox.url, (name, value))
            for cookie in answer.headers.getlist("Set-Cookie"):
                assert "Secure" not in cookie and "evil" not in cookie


# Echoes


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
