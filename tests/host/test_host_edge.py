"""Proxies, host names, cookies, headers and requests that another site sends."""

import re

import peewee
import pytest

from apiary.host import edge
from tests.host.browsing import Browser, rows

HTML = {"Accept": "text/html"}
PUBLIC = "https://chat.example.org"


def test_headers_of_every_kind_of_response(browser):
    browser.get("/").close()
    for path in ("/", "/nowhere", "/payer", "/static/hive.svg", "/healthz", "/sign-in"):
        with browser.get(path) as answer:
            headers = answer.headers
            assert headers["X-Content-Type-Options"] == "nosniff", path
            assert headers["Referrer-Policy"] == "same-origin", path
            assert headers["Content-Security-Policy"] == edge.POLICY, path
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"
            assert "Strict-Transport-Security" not in headers
            assert not [name for name, _ in headers if name.startswith("Access-Control")]
            if not path.startswith("/static"):
                assert headers["Cache-Control"] == "no-store", path
                assert "Cookie" in headers["Vary"], path


def test_the_plug_ins_pages_keep_their_own_policy(browser):
    with browser.get("/settings/") as answer:
        assert "trusted-types 'none'" in answer.headers["Content-Security-Policy"]


def test_the_cookie_on_http_and_on_https(make_host):
    with Browser(make_host()).get("/") as page:
        cookie = page.headers["Set-Cookie"]
    assert cookie.startswith("apiary_session=") and "Secure" not in cookie
    secure = make_host(APIARY_PUBLIC_URL=PUBLIC)
    with secure.test_client().get("/", base_url=PUBLIC) as page:
        cookie = page.headers["Set-Cookie"]
        assert page.headers["Strict-Transport-Security"].startswith("max-age=")
    assert cookie.startswith("__Host-apiary=")
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in cookie
    assert "Domain" not in cookie and len(cookie) < 1000


@pytest.mark.parametrize(
    "host", ["evil.example", "chat.example.org.evil.example", "[::2]", "a b", "10.0.0.1", "x@y"]
)
def test_an_unknown_host_is_refused_with_a_sentence(make_host, host):
    app = make_host(APIARY_PUBLIC_URL=PUBLIC)
    with app.test_client().get("/", headers={"Host": host, **HTML}) as answer:
        assert answer.status_code == 400
        assert "<h1>" in answer.get_data(as_text=True)
        assert answer.headers["Content-Security-Policy"]
    for good in ("chat.example.org", "localhost:8000", "127.0.0.1", "[::1]:80"):
        with app.test_client().get("/healthz", headers={"Host": good}) as answer:
            assert answer.status_code == 200, good


def test_forwarded_headers_are_believed_by_count_only(make_host):
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "1.2.3.4"}
    seen = []

    def look(app):
        app.before_request(lambda: seen.append(_seen()))
        app.test_client().get("/healthz", headers=forged).close()
        return seen.pop()

    assert look(make_host()) == ("localhost", "127.0.0.1")
    assert look(make_host(APIARY_PROXY_HOPS="1")) == ("evil.example", "1.2.3.4")


def _seen():
    from flask import request

    return request.host, request.remote_addr


@pytest.mark.parametrize("stripped", [True, False])
def test_below_a_path(make_host, stripped):
    app = make_host(APIARY_PUBLIC_URL=f"{PUBLIC}/team")
    client = app.test_client()
    prefix = "" if stripped else "/team"
    with client.get(f"{prefix}/sign-in", base_url=PUBLIC, headers=HTML) as page:
        assert page.status_code == 200
        body = page.get_data(as_text=True)
    assert 'action="/team/sign-in"' in body
    assert re.search(r'href="/team/static/', body)
    with client.get(f"{prefix}/static/hive.svg", base_url=PUBLIC) as file:
        assert file.status_code == 200


def test_the_other_names_of_this_machine(make_host):
    app = make_host(APIARY_PUBLIC_URL="http://localhost:3000")
    client = app.test_client()

    def ask(path, host, headers=HTML):
        return client.get(path, headers={"Host": host, **headers})

    with ask("/c/x?a=b%20c", "127.0.0.1:3000") as answer:
        assert answer.status_code == 302
        assert answer.location == "http://localhost:3000/c/x?a=b%20c"
    assert ask("/", "localhost:3000").status_code == 200
    assert ask("/healthz", "127.0.0.1:3000").status_code == 200
    assert ask("/payer", "127.0.0.1:3000", {"Accept": "application/json"}).status_code == 200
    assert ask("/", "127.0.0.1:8000").status_code == 200, "nothing may listen there"
    with ask("/static/hive.svg", "127.0.0.1:3000") as answer:
        assert answer.status_code == 200
    with ask("//evil.example/", "127.0.0.1:3000") as answer:
        assert not (answer.location or "").startswith("//")


def test_every_change_needs_a_token(host, browser):
    from apiary.host.tables import Account, Conversation

    browser.get("/").close()
    unsafe = [
        rule
        for rule in host.url_map.iter_rules()
        if "POST" in rule.methods and not rule.endpoint.endswith("static")
    ]
    assert len(unsafe) >= 14
    for rule in unsafe:
        path = re.sub(r"<[^>]+>", "openrouter", rule.rule)
        for sent in ({"json": {}}, {"data": {}}, {"data": "{}", "content_type": "text/plain"}):
            with browser.client.post(path, **sent) as refused:
                assert refused.status_code == 400, path
        with browser.client.post(path, json={}, headers={"X-CSRFToken": "wrong"}) as refused:
            assert refused.status_code == 400, path
            assert refused.json["message"].endswith(".")
    assert rows(host, Account) == rows(host, Conversation) == 0


def test_a_strangers_token_is_no_use(host, browser):
    token = Browser(host).token()
    browser.get("/").close()
    with browser.client.post("/c", json={}, headers={"X-CSRFToken": token}) as refused:
        assert refused.status_code == 400
        assert refused.json["code"] == "csrf"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
    ],
)
def test_another_site_is_refused_even_with_a_token(browser, headers):
    with browser.send("/c", **headers) as refused:
        assert refused.status_code == 403
        assert "another site" in refused.json["message"]


def test_our_own_site_is_not(browser):
    with browser.send(
        "/c", **{"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    ) as ok:
        assert ok.status_code == 201


def test_a_page_that_is_out_of_date(browser):
    browser.get("/").close()
    with browser.client.post("/sign-in", data={"csrf_token": "old"}, headers=HTML) as page:
        assert page.status_code == 400
        said = page.get_data(as_text=True)
    assert "out of date" in said
    # It was turned away before there was a database to say who it is.
    assert 'name="viewport"' in said and "base.css" in said and "Back to the chat" in said
    assert 'class="brand"' in said and "– Apiary</title>" in said


def test_too_large(browser):
    browser.get("/").close()
    with browser.client.post(
        "/ask", data={"text": "x" * (edge.LARGEST_BODY + 1)}, headers=HTML
    ) as refused:
        assert refused.status_code in (400, 413)


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/c/nothing", 404), ("/ask", 405)]
)
def test_errors_are_pages_for_people_and_json_for_scripts(browser, path, status):
    browser.get("/").close()
    with browser.get(path, headers=HTML) as page:
        assert page.status_code == status
        body = page.get_data(as_text=True)
        assert "Back to the chat" in body and "Traceback" not in body
    with browser.get(path, headers={"Accept": "application/json"}) as answer:
        assert answer.status_code == status
        assert set(answer.json) == {"code", "message", "action"}


def test_a_bug_shows_no_traceback(make_host):
    app = make_host(TESTING=False)
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    with app.test_client().get("/bug", headers=HTML) as page:
        assert page.status_code == 500
        body = page.get_data(as_text=True)
    assert "ZeroDivision" not in body and "Something went wrong" in body


def test_a_database_that_is_away(make_host, monkeypatch):
    app = make_host()
    browser = Browser(app)
    browser.get("/").close()

    def away(*_, **__):
        raise peewee.OperationalError("connection refused: postgresql://user:secret@db/x")

    monkeypatch.setattr(app.extensions["apiary"].database, "connect", away)
    with browser.get("/", headers=HTML) as page:
        assert page.status_code == 503
        body = page.get_data(as_text=True)
        assert "database cannot be used" in body and "secret" not in body
    with browser.get("/healthz") as answer:
        assert answer.status_code == 503
        assert "secret" not in answer.get_data(as_text=True)


def test_vendor_files(make_host):
    with make_host().test_client().get("/vendor/marked/marked.esm.js") as file:
        assert file.status_code in (200, 404)
    with make_host().test_client().get("/vendor/..%2f..%2fsetup.cfg") as file:
        assert file.status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:3000", 200),
        ("127.0.0.1", 200),
        ("[::1]:3000", 200),
        ("192.168.1.5:3000", 200),
        ("rebound.example", 400),
        ("rebound.example:3000", 400),
    ],
)
def test_without_a_public_url_no_foreign_name_is_answered(make_host, host, status):
    client = make_host().test_client()
    with client.get("/", headers={**HTML, "Host": host}) as page:
        assert page.status_code == status
        assert (status == 200) or b"APIARY_PUBLIC_URL" in page.data
    with client.get("/healthz", headers={"Host": host}) as health:
        assert health.status_code == 200
