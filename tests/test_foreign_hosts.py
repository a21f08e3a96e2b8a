"""Apiary in apps that somebody else designed: users, database, CSRF, headers, prefixes, threads."""

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import click
import flask_babel
import httpx
import peewee
import pytest
from flask import Flask, Response, render_template_string, session
from flask.testing import FlaskClient
from flask_login import LoginManager, UserMixin, login_user
from flask_wtf import CSRFProtect
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

import apiary as names
from apiary import Apiary, ConfigError, Facts, NotConnected, Secret
from apiary.sandbox import ACCOUNTS, PASTE_KEY
from tests.conftest import LiveSandbox

CARD = 'data-provider="openrouter"'
QUESTION = [{"role": "user", "content": "Do bees dance?"}]

MakeHost = Callable[..., Flask]


@pytest.fixture
def make_host(tmp_path: Path, sandbox: LiveSandbox) -> Iterator[MakeHost]:
    """Makes bare apps, the sandbox in place of OpenRouter. The test itself mounts Apiary."""
    made: list[Flask] = []

    def make(**config: object) -> Flask:
        folder = tmp_path / f"host{len(made)}"
        app = Flask(__name__, instance_path=str(folder), root_path=str(folder))
        app.config.update(
            SECRET_KEY="only for tests, only for tests",
            TESTING=True,
            OPENROUTER_OAUTH="1",
            APIARY_OPENROUTER_URL=sandbox.url,
            **config,
        )
        made.append(app)
        return app

    yield make
    for app in made:
        if state := app.extensions.get("apiary"):
            state.http.dispose()
            state.database.close()


def put_key(app: Flask, owner: str, provider: str = "openrouter") -> None:
    """Connect an owner as if the key had been pasted."""
    state = app.extensions["apiary"]
    with app.app_context(), names.database.connection_context():
        key = Secret(PASTE_KEY)
        state.vault.put(owner, state.providers[provider], key, source="key", facts=Facts())


def with_login(app: Flask, ids: Callable[[str], object]) -> None:
    class User(UserMixin):
        def __init__(self, id: object) -> None:
            self.id = id

    manager = LoginManager(app)
    manager.user_loader(lambda text: User(ids(text)))

    @app.get("/in/<text>")
    def sign_in(text: str) -> str:
        login_user(User(ids(text)))
        return "in"


def token(client: FlaskClient, path: str = "/settings/") -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


# Users


@pytest.mark.parametrize(
    ("ids", "one"), [(int, "7"), (uuid.UUID, "5e7d8d1e-52a3-4f6c-9d52-6a3f1f3f2d11"), (str, "ann")]
)
def test_ids_of_any_kind(make_host: MakeHost, ids: Callable, one: str) -> None:
    app = make_host()
    with_login(app, ids)
    apiary = Apiary(app)
    client = app.test_client()
    assert client.get("/settings/").status_code == 401
    client.get(f"/in/{one}")
    assert CARD in client.get("/settings/").text
    put_key(app, one)
    assert "Connected as" in client.get("/settings/openrouter").text
    with app.app_context():
        found = apiary.connection(ids(one), "openrouter")
        assert found and found.owner == one
        assert len(apiary.connections(ids(one))) == 1
        answer = apiary.complete(ids(one), "openrouter", model="sandbox/echo", messages=QUESTION)
        assert answer.text == "Do bees dance?"
        assert apiary.models(ids(one), "openrouter")
        apiary.forget_owner(ids(one))
        assert apiary.connection(ids(one), "openrouter") is None


@pytest.mark.parametrize("who", [None, ""])
def test_nobody(make_host: MakeHost, who: str | None) -> None:
    app = make_host(WTF_CSRF_ENABLED=False)
    apiary = Apiary(app, owner=lambda: who)
    app.add_url_rule("/", "home", lambda: render_template_string("[{{ apiary_card('openai') }}]"))
    client = app.test_client()
    for answer in (client.get("/settings/"), client.post("/settings/openrouter/connect")):
        assert answer.status_code == 401
        assert "Sign in to see and change your connections." in answer.text
    assert client.get("/").text == "[]"
    with app.app_context(), pytest.raises(NotConnected):
        apiary.complete(who, "openrouter", model="sandbox/echo", messages=QUESTION)


def test_an_owner_that_is_no_text(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app, owner=lambda: 7)
    put_key(app, "7")
    assert "Connected as" in app.test_client().get("/settings/openrouter").text


def test_neither_login_manager_nor_owner(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app)
    with pytest.raises(RuntimeError, match=r"Set up Flask-Login in this app, or pass Apiary.owner"):
        app.test_client().get("/settings/")


def test_a_login_manager_that_comes_later(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app)
    with_login(app, str)
    client = app.test_client()
    client.get("/in/ann")
    assert CARD in client.get("/settings/").text


def test_the_hosts_sign_in_page(make_host: MakeHost) -> None:
    app = make_host()
    with_login(app, str)
    app.login_manager.login_view = "door"  # type: ignore[attr-defined]
    app.add_url_rule("/door", "door", lambda: "door")
    Apiary(app)
    client = app.test_client()
    assert client.get("/settings/").headers["Location"] == "/door?next=%2Fsettings%2F"
    told = client.get("/settings/openrouter", headers={"Accept": "application/json"})
    assert (told.status_code, told.json["code"]) == (401, "signed_out")


# Forms


def mount(app: Flask) -> None:
    Apiary(app, owner=lambda: "ann")


def before(app: Flask) -> None:
    CSRFProtect(app)
    mount(app)


def after(app: Flask) -> None:
    mount(app)
    CSRFProtect(app)


def exempted(app: Flask) -> None:
    csrf = CSRFProtect(app)
    mount(app)
    csrf.exempt(app.blueprints["apiary"])


@pytest.mark.parametrize("arrange", [mount, before, after, exempted])
def test_tokens_with_and_without_csrf_protect(make_host: MakeHost, arrange: Callable) -> None:
    app = make_host()
    arrange(app)
    client = app.test_client()
    path = "/settings/openrouter/disconnect"
    good = token(client)
    assert client.post(path).status_code == 400
    assert client.post(path, data={"csrf_token": "x"}).status_code == 400
    assert client.post(path, data={"csrf_token": good}).status_code == 303
    assert client.post(path, headers={"X-CSRFToken": good}).status_code == 303


def test_the_hosts_own_forms_are_left_alone(make_host: MakeHost) -> None:
    app = make_host()
    mount(app)
    app.add_url_rule("/order", "order", lambda: "ordered", methods=["POST"])
    assert app.test_client().post("/order").text == "ordered"


def test_protection_switched_off(make_host: MakeHost) -> None:
    app = make_host(WTF_CSRF_ENABLED=False)
    mount(app)
    assert app.test_client().post("/settings/openrouter/disconnect").status_code == 303


def test_another_field_name(make_host: MakeHost) -> None:
    app = make_host(WTF_CSRF_FIELD_NAME="tok")
    before(app)
    client = app.test_client()
    assert (
        client.post(
            "/settings/openrouter/disconnect", headers={"X-CSRFToken": token(client)}
        ).status_code
        == 303
    )


# Headers and languages


def test_policies_of_the_host(make_host: MakeHost) -> None:
    app = make_host()
    mount(app)
    app.add_url_rule("/", "home", lambda: "home")

    @app.after_request
    def policy(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", "default-src 'self'")
        return response

    client = app.test_client()
    assert client.get("/").headers["Content-Security-Policy"] == "default-src 'self'"
    assert "Cross-Origin-Opener-Policy" not in client.get("/").headers
    ours = client.get("/settings/").headers["Content-Security-Policy"]
    assert "form-action 'self'" in ours and "frame-ancestors 'none'" in ours


def test_a_host_that_insists_on_its_policy(make_host: MakeHost) -> None:
    app = make_host()
    mount(app)

    @app.after_request
    def policy(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    found = app.test_client().get("/settings/").headers.getlist("Content-Security-Policy")
    assert found == ["default-src 'self'"]


@pytest.mark.parametrize("language", [None, "de"])
def test_with_and_without_babel(make_host: MakeHost, language: str | None) -> None:
    app = make_host()
    if language:
        flask_babel.Babel(app, default_locale=language)
    mount(app)
    client = app.test_client()
    assert "Your models" in client.get("/settings/").text
    data = {"csrf_token": token(client), "api_key": "x" * 5000}
    answer = client.post("/settings/anthropic/key", data=data)
    assert answer.status_code == 422 and "too long for a key" in answer.text


# Addresses


def press(client: FlaskClient, path: str = "/settings/") -> str:
    """Press Connect; returns the authorize URL."""
    answer = client.post(
        f"{path}openrouter/connect",
        data={"display": "page", "csrf_token": token(client, path)},
        headers={"Referer": "https://bees.example/"},
    )
    found = re.search(r'content="0;url=([^"]+)"', answer.text)
    assert found, answer.text
    return unescape(found[1])


def approve(url: str) -> str:
    """Say yes at the sandbox; returns the address that it leads back to."""
    with httpx.Client() as browser:
        ticket = re.search(r'name="ticket" value="([^"]+)"', browser.get(url).text)
        assert ticket
        data = {"ticket": ticket[1], "account": ACCOUNTS[0].id, "decision": "approve"}
        return browser.post(url, data=data).headers["Location"]


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


@pytest.mark.parametrize("prefix", ["", "/", "settings"])
def test_a_prefix_that_is_none(make_host: MakeHost, prefix: str) -> None:
    with pytest.raises(ConfigError, match="url_prefix must be a path"):
        Apiary(make_host(), url_prefix=prefix)


# Several apps, one process


def test_two_apps_do_not_mix(make_host: MakeHost) -> None:
    one, two = make_host(), make_host()
    two.config["OPENROUTER_OAUTH"] = "0"
    apiary = Apiary(owner=lambda: "ann")
    apiary.init_app(one)
    apiary.init_app(two)
    put_key(one, "ann")
    for app, connected in ((one, True), (two, False)):
        rules = {rule.endpoint for rule in app.url_map.iter_rules()}
        assert ("apiary.connect" in rules, "apiary.callback" in rules) == (connected, connected)
        page = app.test_client().get("/settings/").text
        assert ("Connected as" in page) == connected
        assert ('data-action="connect"' in page) == connected
        assert app.test_client().get("/settings/openrouter/flows/x").status_code == 404
        with app.app_context():
            assert (apiary.connection("ann", "openrouter") is not None) == connected
    states = [app.extensions["apiary"] for app in (one, two)]
    assert states[0].database.database != states[1].database.database
    rings = [(Path(app.instance_path) / "encryption_keys").read_text() for app in (one, two)]
    assert rings[0] != rings[1]


def test_two_apps_under_one_server(make_host: MakeHost) -> None:
    one, two = make_host(), make_host()
    for app in (one, two):
        mount(app)
    put_key(two, "ann")
    client = Client(DispatcherMiddleware(one, {"/two": two}))
    first, second = client.get("/settings/").text, client.get("/two/settings/").text
    assert "Connected as" not in first and "Connected as" in second
    assert 'data-url="/two/settings/openrouter"' in second and '"/settings' not in second


def test_a_second_time(make_host: MakeHost) -> None:
    app = make_host()
    mount(app)
    with pytest.raises(RuntimeError, match="mounted in this app already"):
        mount(app)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"OPENROUTER_OAUTH": "maybe"}, "OPENROUTER_OAUTH"),
        ({"APIARY_CUSTOM_ENDPOINTS": "off", "APIARY_ENDPOINTS": "a=http://b/v1"}, "APIARY_END"),
        ({"APIARY_OPENROUTER_URL": "http://openrouter.ai"}, "APIARY_OPENROUTER_URL"),
        ({"APIARY_PUBLIC_URL": "chat.example"}, "APIARY_PUBLIC_URL"),
        ({"APIARY_DATABASE_URL": "mysql://x/y"}, "APIARY_DATABASE_URL"),
        ({"APIARY_ENCRYPTION_KEYS": "k1:short"}, "APIARY_ENCRYPTION_KEYS"),
    ],
)
def test_contradictions_are_refused(make_host: MakeHost, config: dict, named: str) -> None:
    app = make_host()
    app.config.update(config)
    with pytest.raises(ConfigError, match=named):
        mount(app)
    assert "apiary" not in app.extensions and "apiary" not in app.blueprints


# The host's own database


def test_the_hosts_database_is_opened_and_closed_as_the_host_wants(
    make_host: MakeHost, tmp_path: Path
) -> None:
    app, path = make_host(), str(tmp_path / "host.sqlite3")
    mine = peewee.SqliteDatabase(path)
    mine.connect()
    mine.execute_sql("CREATE TABLE book (title TEXT)")
    Apiary(app, database=mine, owner=lambda: "ann")
    assert not mine.is_closed(), "the host had opened it"
    assert {"book", "apiary_migration"} < set(mine.get_tables())
    mine.close()
    seen: list[bool] = []
    app.teardown_request(lambda _: seen.append(mine.is_closed()))
    client = app.test_client()
    assert client.get("/settings/").status_code == 200
    assert mine.is_closed() and not (Path(app.instance_path) / "apiary.sqlite3").exists()

    # A host that opens before each request and closes afterwards, by itself.
    app = make_host()
    app.before_request(lambda: mine.connect() and None)
    Apiary(app, database=mine, owner=lambda: "ann")
    app.teardown_request(lambda _: seen.append(mine.is_closed()) or mine.close())
    assert app.test_client().get("/settings/").status_code == 200
    assert seen[-1] is False and mine.is_closed()


def test_an_open_database_stays_open(make_host: MakeHost, tmp_path: Path) -> None:
    app = make_host()
    mine = peewee.SqliteDatabase(str(tmp_path / "host.sqlite3"))
    apiary = Apiary(app, database=mine, owner=lambda: "ann")
    put_key(app, "ann")
    assert mine.is_closed()
    with app.app_context():
        apiary.connection("ann", "openrouter")
        assert mine.is_closed()
        with mine.connection_context():
            apiary.complete("ann", "openrouter", model="sandbox/echo", messages=QUESTION)
            assert not mine.is_closed()


def test_a_database_in_memory(
    make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app, mine = make_host(), peewee.SqliteDatabase(":memory:")
    mine.connect()
    apiary = Apiary(app, database=mine, owner=lambda: "ann")
    with app.app_context():
        assert apiary.connections("ann") == []
    mine.close()
    assert not list(tmp_path.glob(":memory:*"))


# Without a request


def test_a_background_thread_a_command_and_a_generator(make_host: MakeHost) -> None:
    app = make_host()
    apiary = Apiary(app, owner=lambda: session.get("who"))
    put_key(app, "ann")
    question = {"model": "sandbox/echo", "messages": QUESTION}

    told: list[str] = []

    def work() -> None:
        with app.app_context():
            told.append(apiary.complete("ann", "openrouter", **question).text)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(20)
    assert told == ["Do bees dance?"]

    @app.cli.command("ask")
    @click.argument("owner")
    def ask(owner: str) -> None:
        click.echo(apiary.complete(owner, "openrouter", **question).text)

    runner = app.test_cli_runner()
    assert runner.invoke(args=["ask", "ann"]).output == "Do bees dance?\n"
    failed = runner.invoke(args=["ask", "bob"])
    assert isinstance(failed.exception, NotConnected)

    @app.get("/ask")
    def view() -> Response:
        stream = apiary.stream("ann", "openrouter", **question)
        # It runs after the view, where there is no app and no request any more.
        return Response(event.text for event in stream if isinstance(event, names.Delta))

    assert app.test_client().get("/ask").text == "Do bees dance?"
    with pytest.raises(RuntimeError):
        apiary.complete("ann", "openrouter", **question)


def test_not_mounted(make_host: MakeHost) -> None:
    app = make_host()
    with app.app_context(), pytest.raises(RuntimeError, match="not mounted in this app"):
        Apiary().connection("ann", "openrouter")
    with pytest.raises(RuntimeError, match="application context"):
        Apiary().connection("ann", "openrouter")


# Before a question is sent


def test_before_send(make_host: MakeHost, sandbox: LiveSandbox) -> None:
    app, seen = make_host(), []

    def add_a_system_prompt(owner: str | None, provider: str, messages: names.Messages):
        seen.append((owner, provider, list(messages)))
        if messages[-1]["content"] == "as it is":
            return None
        return [*messages, {"role": "user", "content": "And wasps?"}]

    apiary = Apiary(app, owner=lambda: "ann", before_send=add_a_system_prompt)
    put_key(app, "7")
    with app.app_context():
        question = {"model": "sandbox/echo", "messages": QUESTION}
        assert apiary.complete(7, "openrouter", **question).text == "And wasps?"
        assert seen == [("7", "openrouter", QUESTION)]
        question["messages"] = [{"role": "user", "content": "as it is"}]
        assert apiary.complete(7, "openrouter", **question).text == "as it is"
        assert len(QUESTION) == 1


def test_before_send_that_refuses(make_host: MakeHost, sandbox: LiveSandbox) -> None:
    def refuse(*_: object) -> None:
        raise names.Forbidden("Not on Sundays.")

    app = make_host()
    apiary = Apiary(app, owner=lambda: "ann", before_send=refuse)
    put_key(app, "ann")
    with app.app_context(), pytest.raises(names.Forbidden, match="Sundays"):
        apiary.stream("ann", "openrouter", model="sandbox/echo", messages=QUESTION)


# Pages and signals


def write(app: Flask, name: str, text: str) -> None:
    path = Path(app.root_path) / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_card_in_a_page_of_the_hosts_own(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app, owner=lambda: session.get("who"), home="profile")
    write(app, "profile.html", "<h1>Me</h1>{{ apiary_card('openrouter', back='home') }}")

    @app.get("/profile")
    def profile() -> str:
        session["who"] = "ann"
        from flask import render_template

        return render_template("profile.html")

    client = app.test_client()
    page = client.get("/profile").text
    assert page.count("<section") == 1 and CARD in page and "&lt;" not in page
    assert 'name="back" value="home"' in page and "<html" not in page
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    data = {"csrf_token": found[1], "back": "home"}
    answer = client.post("/settings/openrouter/disconnect", data=data)
    assert answer.headers["Location"] == "/profile"


def test_templates_page_by_page_and_block_by_block(make_host: MakeHost) -> None:
    plain, framed, own, part = (make_host() for _ in range(4))
    write(framed, "layout.html", "<nav>Shop</nav>{% block content %}{% endblock %}")
    write(
        framed,
        "apiary/base.html",
        '{% extends "layout.html" %}{% block content %}<title>{% block title %}{% endblock %}'
        "</title>{% block head %}{% endblock %}{% block main %}{% endblock %}{% endblock %}",
    )
    write(own, "apiary/settings/index.html", "{% for c in cards %}{{ c.name }} {% endfor %}")
    write(
        part,
        "apiary/settings/index.html",
        '{% extends "apiary/settings/_index.html" %}{% block intro %}<p>Ours</p>{% endblock %}',
    )
    pages = []
    for app in (plain, framed, own, part):
        mount(app)
        pages.append(app.test_client().get("/settings/").text)
    assert "<nav>" not in pages[0] and "<title>Your models</title>" in pages[0]
    assert pages[1].startswith("<nav>Shop</nav><title>Your models</title>") and CARD in pages[1]
    assert pages[2] == "openrouter anthropic openai "
    assert "<p>Ours</p>" in pages[3] and CARD in pages[3] and "Keys are kept" not in pages[3]
    assert "Keys are kept encrypted" in pages[0]


def test_signals(make_host: MakeHost) -> None:
    one, two = make_host(WTF_CSRF_ENABLED=False), make_host(WTF_CSRF_ENABLED=False)
    for app in (one, two):
        app.config["OPENROUTER_OAUTH"] = "0"
        mount(app)
    heard: list[tuple[str, Flask, dict]] = []
    receivers = {
        name: lambda sender, _name=name, **data: heard.append((_name, sender, data))
        for name in ("connected", "rejected", "disconnected")
    }
    for name, receiver in receivers.items():
        getattr(names, name).connect(receiver, one)
    for app in (one, two):
        client = app.test_client()
        assert (
            client.post("/settings/openrouter/key", data={"api_key": PASTE_KEY}).status_code == 303
        )
        client.post("/settings/openrouter/disconnect")
    assert [(name, sender) for name, sender, _ in heard] == [
        ("connected", one),
        ("disconnected", one),
    ]
    assert heard[0][2] == {"owner": "ann", "provider": "openrouter", "version": 1, "source": "key"}
    assert heard[1][2] == {"owner": "ann", "provider": "openrouter", "version": 2}
    assert PASTE_KEY not in str(heard)
