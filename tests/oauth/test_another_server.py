"""A second server, of the usual kind: registered client, ``state``, token answer as in RFC 6749."""

import base64
import hashlib
import io
import secrets
import tokenize
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask, jsonify, redirect, request
from flask.testing import FlaskClient

import apiary
from apiary import Apiary, ConfigError, ExchangeLost, ExchangeRefused, Grant, Http, Secret, Settings
from apiary.addresses import Policy
from tests.servers import serve

CALLBACK = "http://localhost/settings/acme/callback"
KEY = "acme-token-0123456789-abcdef"
QUESTION = [{"role": "user", "content": "Hello"}]


class Acme:
    """All that an app has to write to connect at this server."""

    name = "acme"
    label = "Acme"
    one_callback = True

    def __init__(self, settings: Settings, http: Http, url: str) -> None:
        self.origin = url
        self._http = http

    def authorize_url(self, callback: str | None, challenge: str, limit: str = "") -> str:
        redirect_uri, _, state = (callback or "").rpartition("/")
        query = {
            "response_type": "code",
            "client_id": "apiary",
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self.origin}/authorize?{urlencode(query)}"

    def exchange(self, code: str, verifier: str) -> Grant:
        form = {
            "grant_type": "authorization_code",
            "client_id": "apiary",
            "client_secret": "not so secret",
            "redirect_uri": CALLBACK,
            "code": code,
            "code_verifier": verifier,
        }
        try:
            reply = self._http.json(
                "POST",
                f"{self.origin}/token",
                headers={"content-type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
            )
        except apiary.ProviderDown as error:
            raise ExchangeLost from error
        if reply.status != 200:
            raise ExchangeRefused("Acme said no.")
        return Grant(Secret(reply.data["access_token"]), reply.data.get("account"))


def acme_server() -> Flask:
    """Checks what RFC 6749, RFC 7636 and RFC 9207 tell a server to check."""
    server, codes = Flask("acme"), {}

    @server.get("/authorize")
    def authorize():
        asked = request.args
        assert asked["redirect_uri"] == CALLBACK and asked["code_challenge_method"] == "S256"
        answer = {"state": asked["state"], "iss": request.host_url.rstrip("/")}
        if "no" in request.headers.get("X-Says", ""):
            return redirect(f"{CALLBACK}?{urlencode(answer | {'error': 'access_denied'})}")
        code = secrets.token_urlsafe(16)
        codes[code] = asked["code_challenge"]
        return redirect(f"{CALLBACK}?{urlencode(answer | {'code': code})}")

    @server.post("/token")
    def token():
        form = request.form
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if codes.pop(form["code"], None) != challenge or form["redirect_uri"] != CALLBACK:
            return jsonify(error="invalid_grant"), 400
        if server.config.get("ODD"):
            return jsonify(token=KEY)
        return jsonify(access_token=KEY, token_type="bearer", scope="chat", account="bee@acme")

    @server.get("/v1/models")
    def models():
        return jsonify(data=[{"id": "one"}])

    @server.post("/v1/chat/completions")
    def chat():
        if server.config.get("EXPIRED") or request.headers["Authorization"] != f"Bearer {KEY}":
            return jsonify(error={"message": "no"}), 401
        choice = {"message": {"content": "Hello from Acme"}, "finish_reason": "stop"}
        return jsonify(choices=[choice])

    return server


@pytest.fixture
def server() -> Flask:
    return acme_server()


@pytest.fixture
def url(server: Flask) -> Iterator[str]:
    with serve(server) as url:
        yield url


@pytest.fixture
def app(url: str, tmp_path: Path) -> Iterator[Flask]:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="only for tests",
        WTF_CSRF_ENABLED=False,
        APIARY_PUBLIC_URL="http://localhost",
        APIARY_ENDPOINTS=f"acme={url}/v1",
    )
    mounted = Apiary(
        owner=lambda: "ann", auth_servers=lambda settings, http: [Acme(settings, http, url)]
    )
    mounted.init_app(app)
    app.extensions["test_apiary"] = mounted
    yield app
    app.extensions["apiary"].http.dispose()
    app.extensions["apiary"].database.close()


def press(client: FlaskClient) -> str:
    page = client.post("/settings/acme/connect", data={"display": "page"}).text
    return unescape(page.split('content="0;url=')[1].split('"')[0])


def visit(url: str, says: str = "yes") -> str:
    """Be the browser at Acme; returns where it leads back to, path and query."""
    parts = urlsplit(url)
    answer = acme_answers(parts.netloc, f"{parts.path}?{parts.query}", says)
    back = urlsplit(answer)
    return f"{back.path}?{back.query}"


def acme_answers(netloc: str, target: str, says: str) -> str:
    import http.client

    connection = http.client.HTTPConnection(netloc)
    connection.request("GET", target, headers={"X-Says": says})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.headers["Location"]


def test_connect_and_ask(app: Flask) -> None:
    client = app.test_client()
    assert 'id="connect-acme"' in client.get("/settings/").text
    back = visit(press(client))
    assert back.startswith("/settings/acme/callback?state=")
    step = client.get(back)
    assert step.status_code == 303 and step.headers["Referrer-Policy"] == "no-referrer"
    assert "state=" not in step.headers["Location"]
    done = client.get(step.headers["Location"])
    assert done.headers["Location"].startswith("/settings/acme/done/")
    card = client.get("/settings/acme", headers={"Accept": "application/json"}).json
    assert (card["state"], card["source"]) == ("connected", "oauth")
    assert card["identity"].startswith("bee@acme")
    mounted: Apiary = app.extensions["test_apiary"]
    with app.app_context():
        answer = mounted.complete("ann", "acme", model="one", messages=QUESTION)
    assert answer.text == "Hello from Acme"


def test_a_token_that_ends_is_one_click_away(app: Flask, server: Flask) -> None:
    """What docs/providers.md says of tokens that do not last: there is no refreshing."""
    client = app.test_client()
    client.get(client.get(visit(press(client))).headers["Location"])
    mounted: Apiary = app.extensions["test_apiary"]
    server.config["EXPIRED"] = True
    with app.app_context(), pytest.raises(apiary.KeyRejected) as caught:
        mounted.complete("ann", "acme", model="one", messages=QUESTION)
    assert caught.value.action == "reconnect"
    assert "Reconnect acme" in client.get("/settings/acme").text
    server.config["EXPIRED"] = False
    client.get(client.get(visit(press(client))).headers["Location"])
    with app.app_context():
        answer = mounted.complete("ann", "acme", model="one", messages=QUESTION)
    assert answer.text == "Hello from Acme"


def test_no(app: Flask) -> None:
    client = app.test_client()
    client.get(client.get(visit(press(client), "no")).headers["Location"])
    assert "You declined the request." in client.get("/settings/acme").text


def test_an_exchange_that_fails_in_a_way_of_its_own(app: Flask, server: Flask) -> None:
    """A key may have been made; who waits for it is told at once."""
    server.config["ODD"] = True
    client = app.test_client()
    client.get(client.get(visit(press(client))).headers["Location"])
    assert "A key may exist in your account" in client.get("/settings/acme").text


def test_a_state_of_another_browser(app: Flask) -> None:
    mine, theirs = app.test_client(), app.test_client()
    back = visit(press(theirs))
    answer = mine.get(mine.get(back).headers["Location"])
    assert answer.headers["Location"] == "/settings/acme/trouble/other-browser"
    answer = theirs.get(theirs.get(back).headers["Location"])
    assert "/done/" in answer.headers["Location"]


@pytest.mark.parametrize(
    "query", ["", "code=x", "state=&code=x", "state=../../x&code=x", "state={0}&state={0}&code=x"]
)
def test_no_state_or_an_odd_one(app: Flask, query: str) -> None:
    answer = app.test_client().get(f"/settings/acme/callback?{query.format('a' * 43)}")
    assert answer.headers["Location"] == "/settings/acme/trouble/unknown"


def test_two_codes_or_another_issuer(app: Flask) -> None:
    client = app.test_client()
    for more in ("&code=other", "&iss=https://evil.example"):
        back = visit(press(client)) + more
        client.get(client.get(back).headers["Location"])
        card = client.get("/settings/acme", headers={"Accept": "application/json"}).json
        assert card["state"] == "none"


def test_the_way_with_state_exists_only_where_it_is_needed(tmp_path: Path) -> None:
    app = Flask("plain", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="only for tests", OPENROUTER_OAUTH="1")
    Apiary(app, owner=lambda: "ann")
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert "apiary.callback" in endpoints and "apiary.returned" not in endpoints
    app.extensions["apiary"].database.close()


def test_a_server_without_a_provider(tmp_path: Path) -> None:
    app = Flask("plain", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="only for tests")
    with pytest.raises(ConfigError, match="'acme', which is no provider here"):
        Apiary(app, auth_servers=lambda settings, http: [Acme(settings, http, "http://x")])


def test_a_name_with_a_hyphen(url: str, tmp_path: Path) -> None:
    """As endpoints of the operator may have it."""
    acme = Acme(Settings.from_mapping({}, tmp_path), Http(Policy()), url)
    acme.name = "acme-eu"
    app = Flask("shop", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="only for tests", APIARY_ENDPOINTS=f"acme-eu={url}/v1")
    Apiary(app, owner=lambda: "ann", auth_servers=lambda settings, http: [acme])
    page = app.test_client().get("/settings/")
    assert 'id="connect-acme-eu"' in page.text
    assert app.test_client().get("/settings/acme-eu/ways").status_code == 200
    app.extensions["apiary"].database.close()


def test_nothing_else_knows_openrouter() -> None:
    package = Path(apiary.__file__).parent
    own = package / "oauth" / "openrouter.py"
    modules = [*package.glob("oauth/*.py"), *package.glob("views/*.py")]
    assert own in modules and len(modules) > 8
    for module in modules:
        source = module.read_text()
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            prose = token.type == tokenize.COMMENT or token.string.startswith(('"""', "'''"))
            known = "openrouter" in token.string.lower() and not prose
            assert not known or module == own, f"{module.name}:{token.start[0]}"


def test_the_query_that_acme_gets(app: Flask) -> None:
    query = parse_qs(urlsplit(press(app.test_client())).query)
    assert len(query["state"][0]) == 43 and query["redirect_uri"] == [CALLBACK]
