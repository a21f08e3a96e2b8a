"""What machines ask: may requests come, and what was counted."""

import re

import pytest
from flask import Flask

from apiary import db
from apiary.crypto import new_key
from apiary.host import create_app
from tests.host.browsing import Browser

TOKEN = "operator " * 3 + "token"


def metrics(app: Flask) -> dict[str, float]:
    """The samples by name and labels, without the label of the process."""
    with app.test_client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as page:
        assert page.status_code == 200
        assert page.content_type.startswith("text/plain; version=0.0.4")
        assert "Set-Cookie" not in page.headers
        text = page.get_data(as_text=True)
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = re.sub(r',?process="\d+"', "", line).rsplit(" ", 1)
            found[name.replace("{}", "")] = float(value)
    return found


def test_it_is_not_there_without_a_token(make_host):
    app = make_host()
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        with app.test_client().get("/metrics", headers=headers) as page:
            assert page.status_code == 404


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer é"]
)
def test_it_is_for_the_operator(make_host, given):
    app = make_host(APIARY_OPERATOR_TOKEN=TOKEN)
    with app.test_client().get("/metrics", headers={"Authorization": given}) as page:
        assert page.status_code == 401
        assert page.headers["WWW-Authenticate"] == "Bearer"
        assert "apiary_" not in page.get_data(as_text=True)


def test_what_is_counted(make_host, database_url, paste_key):
    app = make_host(APIARY_DATABASE_URL=database_url, APIARY_OPERATOR_TOKEN=TOKEN)
    browser = Browser(app)
    browser.connect(paste_key)
    conversation = browser.conversation()
    browser.ask("Bees?", conversation, model="sandbox/echo")
    browser.ask("Bees?", conversation, model="sandbox/error-429")
    with browser.form("/settings/openrouter/disconnect"), browser.get("/nowhere"):
        pass
    found = metrics(app)
    route = 'method="POST",route="/c/<id>/messages",status="200"'
    assert found[f"apiary_requests_total{{{route}}}"] == 2
    assert found['apiary_requests_total{method="GET",route="-",status="404"}'] == 1
    assert found['apiary_request_seconds_total{route="/c/<id>/messages"}'] > 0
    assert found['apiary_answers_total{state="complete"}'] == 1
    assert found['apiary_answers_total{state="failed"}'] == 1
    assert found['apiary_upstream_errors_total{code="rate_limited"}'] == 1
    assert found['apiary_connections_total{outcome="connected",source="key"}'] == 1
    assert found['apiary_connections_total{outcome="disconnected",source=""}'] == 1
    assert found["apiary_answers_running"] == 0
    pool = 'apiary_database_connections{state="in use"}'
    assert pool in found


def test_attempts_to_connect(make_host):
    app = make_host(
        APIARY_OPERATOR_TOKEN=TOKEN, OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost"
    )
    browser = Browser(app)
    attempt = "attempt-0123456789"
    fields = {"display": "page", "attempt": attempt}
    with browser.form("/settings/openrouter/connect", **fields) as hop:
        assert hop.status_code == 200
    browser.form(f"/settings/openrouter/flows/{attempt}/cancel").close()
    assert metrics(app)['apiary_connect_attempts_total{outcome="cancelled"}'] == 1


def test_two_apps_count_for_themselves(make_host, paste_key):
    apps = [make_host(APIARY_OPERATOR_TOKEN=TOKEN) for _ in range(2)]
    Browser(apps[0]).connect(paste_key)
    name = 'apiary_connections_total{outcome="connected",source="key"}'
    assert [name in metrics(app) for app in apps] == [True, False]


def test_an_odd_method_makes_no_series_of_its_own(make_host):
    app = make_host(APIARY_OPERATOR_TOKEN=TOKEN)
    app.test_client().open("/", method='X"\n').close()
    assert not [name for name in metrics(app) if "X" in name]


def test_ready(host):
    for address in ("localhost", "10.0.0.7:3000"):
        with host.test_client().get("/readyz", headers={"Host": address}) as page:
            assert page.status_code == 200
            assert page.json == {"status": "ready", "reasons": []}
            assert "Set-Cookie" not in page.headers


def test_not_ready_before_the_upgrade(tmp_path, sandbox, new_postgres):
    app = create_app(
        {
            "TESTING": True,
            "APIARY_INSTANCE_PATH": str(tmp_path),
            "APIARY_OPENROUTER_URL": sandbox.url,
            "APIARY_DATABASE_URL": new_postgres(),
        }
    )
    with app.test_client().get("/readyz") as page:
        assert page.status_code == 503
        assert page.json["reasons"] == ["The database is not up to date. Run: flask apiary upgrade"]
    app.test_cli_runner().invoke(args=["apiary", "upgrade"])
    with app.test_client().get("/readyz") as page:
        assert page.status_code == 200
    app.extensions["apiary"].database.close_all()


def test_not_ready_without_a_database(tmp_path, sandbox):
    app = create_app(
        {
            "TESTING": True,
            "APIARY_INSTANCE_PATH": str(tmp_path),
            "APIARY_OPENROUTER_URL": sandbox.url,
            "APIARY_DATABASE_URL": "postgresql://inside:secret@127.0.0.1:9/inside",
        }
    )
    with app.test_client().get("/readyz") as page:
        assert page.status_code == 503
        assert page.json["reasons"] == ["The database cannot be reached."]


def test_not_ready_with_another_key_ring(make_host, database_url, paste_key):
    Browser(make_host(APIARY_DATABASE_URL=database_url)).connect(paste_key)
    other = make_host(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=new_key("k1"))
    with other.test_client().get("/readyz") as page:
        assert page.status_code == 503
        assert page.json["reasons"] == [
            "The key ring does not open every stored key. Run: flask apiary doctor"
        ]
    with other.test_client().get("/healthz") as page:
        assert page.status_code == 200, "it is alive, and everything else works"


def test_doctor_for_the_host(host):
    with host.app_context():
        checks = host.extensions["apiary.host"].apiary.doctor(offline=True)
        assert {"flags", "database", "vault"} <= {check.name for check in checks}
        assert db.pending(host.extensions["apiary"].database, {}) == []
