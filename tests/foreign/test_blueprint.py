"""Hosts that match host names or subdomains, and prefixes with variables in them."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Blueprint, Flask, g, render_template_string
from flask.testing import FlaskClient

from apiary import Apiary, ConfigError, doctor
from tests.foreign.hosts import MakeHost, approve, press

AT_HOSTS = {"host_matching": True, "static_host": "www.bees.example"}


def connect(client: FlaskClient, page: str, base: str) -> None:
    """Press Connect, say yes, come back, and see the card."""
    url = press(client, page, base)
    [callback] = parse_qs(urlsplit(url).query)["callback_url"]
    assert callback.startswith(f"{base}{page}openrouter/callback/")
    back = urlsplit(approve(url))
    done = client.get(f"{back.path}?{back.query}", base_url=base)
    assert done.headers["Location"].startswith(f"{page}openrouter/done/")
    assert "Connected as" in client.get(f"{page}openrouter", base_url=base).text


def told(app: Flask) -> dict[str, str]:
    with app.app_context():
        checks = doctor.examine(app.extensions["apiary"], app, offline=True)
        return {check.name: f"{check.level}: {check.message}" for check in checks}


def test_an_app_that_matches_hosts(make_host: MakeHost) -> None:
    """The pages are at every host, as they are in an app that does not look at hosts."""
    app = make_host(AT_HOSTS, APIARY_PUBLIC_URL="https://www.bees.example:3000")
    Apiary(app, owner=lambda: "ann")
    card = "{{ apiary_card('openrouter') }}"
    app.add_url_rule("/", "home", lambda name: render_template_string(card), host="<name>")
    client = app.test_client()
    connect(client, "/settings/", "https://www.bees.example:3000")
    for base in ("https://www.bees.example:3000", "http://WWW.wasps.example"):
        page = client.get("/settings/", base_url=base).text
        assert 'href="/settings/static/apiary.css"' in page
        assert 'action="/settings/openrouter/connect"' in client.get("/", base_url=base).text
        with client.get("/settings/static/apiary.css", base_url=base) as sheet:
            assert sheet.status_code == 200
    assert told(app)["callback"].startswith("ok: ")


def test_one_host_of_several(make_host: MakeHost) -> None:
    app = make_host(AT_HOSTS, APIARY_PUBLIC_URL="https://my.bees.example")
    app.add_url_rule("/settings/", "mine", lambda: "the shop's", host="www.bees.example")
    Apiary(app, owner=lambda: "ann", host="my.bees.example")
    client = app.test_client()
    connect(client, "/settings/", "https://my.bees.example")
    assert client.get("/settings/", base_url="http://www.bees.example").text == "the shop's"
    assert client.get("/settings/", base_url="http://bees.example").status_code == 404
    assert told(app)["callback"].startswith("ok: ")


def test_a_page_that_would_hide_ours_at_one_host(make_host: MakeHost) -> None:
    app = make_host(AT_HOSTS)
    app.add_url_rule("/settings/", "mine", lambda: "mine", host="www.bees.example")
    with pytest.raises(ConfigError, match=re.escape("/settings/ is mine already")):
        Apiary(app, owner=lambda: "ann")


def test_a_subdomain(make_host: MakeHost) -> None:
    app = make_host(
        {"subdomain_matching": True},
        SERVER_NAME="bees.example",
        APIARY_PUBLIC_URL="https://my.bees.example",
    )
    api = Blueprint("api", __name__, subdomain="api")
    api.add_url_rule("/settings/", "mine", lambda: "the API's own")
    app.register_blueprint(api)
    Apiary(app, owner=lambda: "ann", subdomain="my")
    client = app.test_client()
    connect(client, "/settings/", "https://my.bees.example")
    assert client.get("/settings/", base_url="https://api.bees.example").text == "the API's own"
    assert client.get("/settings/", base_url="https://bees.example").status_code == 404


def test_the_main_domain_where_subdomains_are_matched(make_host: MakeHost) -> None:
    app = make_host(
        {"subdomain_matching": True},
        SERVER_NAME="bees.example",
        APIARY_PUBLIC_URL="https://bees.example",
    )
    Apiary(app, owner=lambda: "ann")
    connect(app.test_client(), "/settings/", "https://bees.example")


def test_with_a_server_name_only(make_host: MakeHost) -> None:
    """Since Flask 3.1 it keeps no other host out."""
    app = make_host(SERVER_NAME="bees.example", APIARY_PUBLIC_URL="https://my.bees.example")
    Apiary(app, owner=lambda: "ann")
    connect(app.test_client(), "/settings/", "https://my.bees.example")


@pytest.mark.parametrize("place", [{"host": "bees.example"}, {"subdomain": "my"}])
def test_a_place_that_the_app_does_not_look_at(make_host: MakeHost, place: dict) -> None:
    with pytest.raises(ConfigError, match="needs an app that matches"):
        Apiary(make_host(), owner=lambda: "ann", **place)


def test_the_doctor_sees_an_address_without_our_pages(make_host: MakeHost) -> None:
    app = make_host(AT_HOSTS, APIARY_PUBLIC_URL="http://www.bees.example")
    Apiary(app, owner=lambda: "ann", host="my.bees.example")
    assert told(app)["callback"] == (
        "wrong: OpenRouter leads users back to"
        " http://www.bees.example/settings/openrouter/callback/FLOW, where this app has no page."
    )


def test_a_variable_in_the_prefix(make_host: MakeHost) -> None:
    app = make_host(APIARY_PUBLIC_URL="http://localhost")
    Apiary(app, url_prefix="/<team>/models", owner=lambda: "ann", home="team")
    card = "{{ apiary_card('openrouter', back='home') }}"
    app.add_url_rule("/<team>/", "team", lambda team: render_template_string(card))
    client = app.test_client()
    connect(client, "/red/models/", "http://localhost")
    assert 'action="/blue/models/openrouter/connect"' in client.get("/blue/").text
    assert "/TEAM/models/openrouter/callback/FLOW" in told(app)["callback"]


def test_a_language_in_the_prefix_that_the_host_takes_out_itself(make_host: MakeHost) -> None:
    """As Flask's own documentation has it."""
    app = make_host(APIARY_PUBLIC_URL="http://localhost")

    @app.url_defaults
    def add_language(endpoint: str, values: dict) -> None:
        if "lang" not in values and app.url_map.is_endpoint_expecting(endpoint, "lang"):
            values["lang"] = g.lang

    @app.url_value_preprocessor
    def take_language(endpoint: str | None, values: dict | None) -> None:
        g.lang = (values or {}).pop("lang", "en")

    Apiary(app, url_prefix="/<lang>/models", owner=lambda: "ann")
    connect(app.test_client(), "/de/models/", "http://localhost")
