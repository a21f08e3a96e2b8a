"""Several apps in one process, a second mount, and settings that contradict each other."""

import gc
import weakref
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from apiary import Apiary, ConfigError
from tests.foreign.hosts import MakeHost, mount, put_key
from tests.raw import Raw, answer


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


def test_an_app_that_is_gone_leaves_nothing_open(tmp_path: Path) -> None:
    """As each test of a host's may make one."""

    def ask(server: Raw) -> weakref.ref[object]:
        app = Flask("one", instance_path=str(tmp_path))
        app.config.update(SECRET_KEY="only for tests", APIARY_ENDPOINTS=f"bees={server.url}/v1")
        apiary = Apiary(app, owner=lambda: "ann")
        with app.app_context():
            assert apiary.models(None, "bees", api_key="made-up-for-tests") != []
        return weakref.ref(app.extensions["apiary"].http)

    with closing(Raw(answer(b'{"data": [{"id": "one"}]}'))) as server:
        http = ask(server)
        gc.collect()
        assert http() is None
        assert server.closed.wait(10)


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
