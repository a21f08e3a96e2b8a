"""Prefixes of the host's own and of a proxy's."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from apiary import Apiary, ConfigError
from tests.foreign.hosts import (
    MakeHost,
    approve,
    mount,
    press,
)


def test_another_prefix(make_host: MakeHost) -> None:
    app = make_host(APIARY_PUBLIC_URL="http://localhost")
    Apiary(app, url_prefix="/my/models/", owner=lambda: "ann")
    client = app.test_client()
    assert client.get("/settings/").status_code == 404
    page = client.get("/my/models/").text
    assert 'href="/my/models/static/apiary.css"' in page and '"/settings' not in page
    back = urlsplit(approve(press(client, "/my/models/")))
    assert back.path.startswith("/my/models/openrouter/callback/")
    done = client.get(f"{back.path}?{back.query}")
    assert done.headers["Location"].startswith("/my/models/openrouter/done/")
    assert "Connected as" in client.get("/my/models/openrouter").text


def test_behind_a_proxy_that_adds_a_prefix(make_host: MakeHost) -> None:
    app = make_host(APIARY_PUBLIC_URL="https://bees.example/team")
    mount(app)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    client = app.test_client()
    for name, value in {
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "bees.example",
        "HTTP_X_FORWARDED_PREFIX": "/team",
    }.items():
        client.environ_base[name] = value
    # The proxy strips the prefix; browsers see it, and the cookie is for what they see.
    session_path = {"base_url": "https://bees.example/"}
    page = client.get("/settings/", **session_path).text
    assert 'href="/team/settings/static/apiary.css"' in page
    assert '"/settings' not in page
    data = {"display": "page", "csrf_token": re.search('csrf-token" content="([^"]+)', page)[1]}  # type: ignore[index]
    answer = client.post("/settings/openrouter/connect", data=data, **session_path)
    [cookie] = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith("apiary_flow")]
    assert "Path=/team/settings/openrouter/callback/" in cookie and "Secure" in cookie
    found = re.search(r'content="0;url=([^"]+)"', answer.text)
    assert found
    [callback] = parse_qs(urlsplit(unescape(found[1])).query)["callback_url"]
    assert callback.startswith("https://bees.example/team/settings/openrouter/callback/")


@pytest.mark.parametrize("prefix", ["", "/", "settings", "/a//b", "/a/../b", "/a?b", "/a b"])
def test_a_prefix_that_is_none(make_host: MakeHost, prefix: str) -> None:
    with pytest.raises(ConfigError, match="url_prefix must be a path"):
        Apiary(make_host(), url_prefix=prefix)
