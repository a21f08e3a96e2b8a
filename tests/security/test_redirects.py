"""Nothing that a request says leads off the site: parameters, paths, headers."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from apiary.host import accounts
from tests.conftest import LiveSandbox
from tests.host.conftest import MakeHost
from tests.security.edge import HEADERS, PARAMETERS, PLACES
from tests.security.routes import ROWS
from tests.security.world import PASSWORD, World


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
