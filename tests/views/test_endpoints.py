"""Endpoints of the users' own: judged when saved and at every dial, through the pages.

A resolver of ours answers for names, and a recorder notes which address was dialled before it
leads the connection to a real server of ours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpcore
import pytest
from flask import Flask
from flask.testing import FlaskClient

from apiary import EndpointRefused, database
from apiary.models import StoredConnection
from tests.providers.wires import GOOD, Wire
from tests.servers import serve

JSON = {"Accept": "application/json"}
CORPUS = (Path(__file__).parents[1] / "corpora" / "ssrf.txt").read_text().splitlines()


@dataclass
class Net:
    """Names, and what was dialled."""

    port: int
    names: dict[str, list[str]] = field(default_factory=dict)
    dialled: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    def dial(self, host: str, port: int, **more: object) -> httpcore.NetworkStream:
        self.dialled.append(f"{host}:{port}")
        return httpcore.SyncBackend().connect_tcp("127.0.0.1", self.port, timeout=2)


@pytest.fixture
def wire() -> Wire:
    return Wire("endpoint")


@pytest.fixture
def net(wire: Wire) -> Iterator[Net]:
    with serve(wire) as url:
        yield Net(int(url.rpartition(":")[2]))


@pytest.fixture
def lan(make_app: Callable, net: Net) -> Flask:
    return mount(make_app(APIARY_CUSTOM_ENDPOINTS="lan"), net)


def mount(app: Flask, net: Net) -> Flask:
    http = app.extensions["apiary"].http
    http.resolver, http._dial = net.resolve, net.dial
    return app


def sign_in(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.post("/in/ann")
    return client


def save(client: FlaskClient, url: str, key: str = ""):
    data = {"base_url": url, "api_key": key}
    return client.post("/settings/endpoint/key", data=data, headers=JSON)


def test_a_server_in_the_local_network(lan: Flask, net: Net, wire: Wire) -> None:
    net.names["ollama.lan"] = ["192.168.1.5"]
    client = sign_in(lan)
    saved = save(client, "http://ollama.lan:11434/v1/", GOOD)
    assert saved.status_code == 200, saved.text
    card = saved.get_json()
    assert (card["state"], card["base_url"]) == ("connected", "http://ollama.lan:11434/v1")
    assert card["status"] == "Connected to http://ollama.lan:11434"
    assert set(net.dialled) == {"192.168.1.5:11434"}
    apiary = lan.extensions["test_apiary"]
    with lan.app_context():
        assert [model.id for model in apiary.models("ann", "endpoint")] == ["good", "cut"]
        question = [{"role": "user", "content": "Hello"}]
        answer = apiary.complete("ann", "endpoint", model="good", messages=question)
        assert answer.text
    assert wire.requests[-1].headers["Host"] == "ollama.lan:11434"
    assert wire.key_of(wire.requests[-1]) == GOOD
    assert set(net.dialled) == {"192.168.1.5:11434"}


def test_a_name_that_moves_to_a_forbidden_address_is_not_dialled(lan: Flask, net: Net) -> None:
    net.names["moves.lan"] = ["192.168.1.5"]
    client = sign_in(lan)
    assert save(client, "http://moves.lan:8080/v1", GOOD).status_code == 200
    lan.extensions["apiary"].http.dispose()
    for address in ("127.0.0.1", "169.254.169.254", "::ffff:169.254.169.254"):
        net.names["moves.lan"] = [address]
        net.dialled.clear()
        with lan.app_context(), pytest.raises(EndpointRefused):
            lan.extensions["test_apiary"].complete(
                "ann", "endpoint", model="good", messages=[{"role": "user", "content": "x"}]
            )
        assert net.dialled == []


def test_another_origin_drops_the_key(lan: Flask, net: Net, wire: Wire) -> None:
    net.names |= {"one.lan": ["192.168.1.5"], "two.lan": ["192.168.1.6"]}
    client = sign_in(lan)
    save(client, "http://one.lan:8080/v1", GOOD)
    wire.requests.clear()
    save(client, "http://two.lan:8080/v1")
    assert wire.requests and all(not wire.key_of(request) for request in wire.requests)
    with lan.app_context(), database.connection_context():
        row = StoredConnection.get()
        assert (row.origin, row.base_url) == ("http://two.lan:8080", "http://two.lan:8080/v1")
        # A row whose address is changed behind our back does not give its key away.
        StoredConnection.update(origin="http://one.lan:8080").execute()
    card = client.get("/settings/endpoint", headers=JSON).get_json()
    assert card["state"] == "connected"
    answer = client.post("/settings/endpoint/check", headers=JSON)
    assert answer.status_code in {200, 409}
    assert all(not wire.key_of(request) for request in wire.requests)


@pytest.mark.parametrize("mode", ["public", "lan"])
def test_nothing_of_the_corpus_is_dialled(make_app: Callable, net: Net, mode: str) -> None:
    app = mount(make_app(APIARY_CUSTOM_ENDPOINTS=mode), net)
    net.names |= {"localhost": ["127.0.0.1"], "rebind.example": ["127.0.0.1"]}
    client = sign_in(app)
    lines = [line for line in CORPUS if line and not line.startswith("#")]
    assert len(lines) > 50
    for line in lines:
        url = line.split("\t")[0].encode().decode("unicode_escape", "replace")
        if "://" not in url and not url.startswith("//"):
            url = f"https://{url}/v1"
        answer = save(client, url, GOOD)
        assert answer.status_code in {422, 503}, (url, answer.text)
        assert answer.get_json()["state"] == "none"
    assert net.dialled == []


@pytest.mark.parametrize("mode", ["off", "operator"])
def test_where_users_may_not_there_is_no_card(make_app: Callable, mode: str) -> None:
    client = sign_in(make_app(APIARY_CUSTOM_ENDPOINTS=mode))
    assert save(client, "https://models.example.org/v1").status_code == 404
    assert 'data-provider="endpoint"' not in client.get("/settings/").text


def test_plain_http_to_a_public_address_is_refused(lan: Flask, net: Net) -> None:
    net.names["public.example"] = ["93.184.216.34"]
    client = sign_in(lan)
    assert save(client, "http://public.example/v1").status_code == 422
    net.names["mixed.example"] = ["93.184.216.34", "10.0.0.1"]
    assert save(client, "https://mixed.example/v1").status_code == 422
    assert net.dialled == []


def test_operator_listed_endpoints_have_a_card(make_app: Callable, wire: Wire) -> None:
    with serve(wire) as url:
        app = make_app(APIARY_ENDPOINTS=f"ollama={url}/v1")
        client = sign_in(app)
        data = {"api_key": ""}
        answer = client.post("/settings/ollama/key", data=data, headers=JSON)
        assert answer.status_code == 200, answer.text
        assert answer.get_json()["verified"] is False
        with app.app_context():
            complete = app.extensions["test_apiary"].complete
            question = [{"role": "user", "content": "x"}]
            assert complete("ann", "ollama", model="good", messages=question).text


def test_guests_add_no_endpoint(tmp_path: Path, sandbox, net: Net) -> None:
    from apiary.host import create_app
    from tests.host.browsing import Browser

    app = create_app(
        {
            "TESTING": True,
            "APIARY_LIMITS": False,
            "APIARY_INSTANCE_PATH": str(tmp_path / "host"),
            "APIARY_CUSTOM_ENDPOINTS": "public",
            "APIARY_OPENROUTER_URL": sandbox.url,
        }
    )
    guest = Browser(app)
    data = {"base_url": "https://models.example.org/v1", "csrf_token": guest.token()}
    answer = guest.client.post("/settings/endpoint/key", data=data, headers=JSON)
    assert answer.status_code == 403 and "Sign up" in answer.get_json()["message"]
