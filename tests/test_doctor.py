"""The doctor names what is wrong and how to mend it, and tells no secret."""

import json
import os
import time
from collections import namedtuple
from email.utils import formatdate
from pathlib import Path

import psycopg
import pytest
from flask import Flask, Response

from apiary import Apiary, database, db, doctor, rotation
from apiary.crypto import KeyRing, new_key
from apiary.findings import Check
from apiary.models import StoredCanary
from apiary.providers.base import Facts
from apiary.secret import Secret
from apiary.vault import Vault
from tests.raw import answer, talk
from tests.servers import serve

K1, K2 = new_key("k1"), new_key("k2")
_LIMITS = ("max_connections", "superuser_reserved_connections")


def examine(app: Flask, offline: bool = True) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = {}
    with app.app_context():
        for check in doctor.examine(app.extensions["apiary"], app, offline=offline):
            assert check.message.strip() and (check.level == "ok") == (not check.remedy), check
            found.setdefault(check.name, []).append(check)
    return found


def worst(checks: list[Check]) -> Check:
    return max(checks, key=lambda check: ["ok", "warn", "wrong"].index(check.level))


def command(app: Flask, *words: str):
    return app.test_cli_runner().invoke(args=["apiary", "doctor", *words])


def test_all_is_well(app: Flask) -> None:
    told = command(app, "--offline")
    assert told.exit_code == 0, told.output
    assert "OPENROUTER_OAUTH is on" in told.output
    assert "http://localhost/settings/openrouter/callback/FLOW" in told.output
    assert "is up to date" in told.output and "0 wrong" in told.output


def test_it_speaks_to_programs_too(make_app) -> None:
    told = command(make_app(SECRET_KEY="short"), "--offline", "--json")
    found = json.loads(told.stdout)
    assert told.exit_code == 1 and found["ok"] is False
    wrong = [check for check in found["checks"] if check["level"] == "wrong"]
    assert [check["name"] for check in wrong] == ["secrets"]
    assert wrong[0]["message"] and wrong[0]["remedy"]


@pytest.mark.parametrize(
    ("url", "level", "words"),
    [
        ("https://chat.example.org", "ok", "https://chat.example.org."),
        ("http://localhost:3000", "ok", "http://localhost:3000."),
        ("http://127.0.0.1:8000/team", "ok", "127.0.0.1:8000/team"),
        ("http://192.168.1.5:3000", "wrong", "back to https, or to localhost"),
        ("http://chat.example.org", "wrong", "plain http"),
        ("https://chat.example.org:8443", "warn", "port 8443"),
        ("http://[::1]:3000", "warn", "localhost and 127.0.0.1 only"),
        ("", "warn", "on this machine only"),
    ],
)
def test_the_address(make_app, url: str, level: str, words: str) -> None:
    found = examine(make_app(APIARY_PUBLIC_URL=url))
    check = worst(found["address"])
    assert check.level == level and words in check.message
    if url:
        assert found["callback"][0].message.endswith(f"{url}/settings/openrouter/callback/FLOW")


def test_without_the_flag_there_is_no_callback(make_app) -> None:
    found = examine(make_app(OPENROUTER_OAUTH="0", APIARY_PUBLIC_URL=""))
    assert "callback" not in found and worst(found["address"]).level == "ok"
    assert "is off" in found["flags"][0].message


@pytest.mark.parametrize(
    ("hops", "url", "level"),
    [
        ("0", "https://chat.example.org", "warn"),
        ("1", "https://chat.example.org", "ok"),
        ("0", "http://localhost:3000", "ok"),
        ("", "http://localhost:3000", "ok"),
        ("1", "http://localhost:3000", "warn"),
    ],
)
def test_the_proxies(make_app, hops: str, url: str, level: str) -> None:
    found = examine(make_app(APIARY_PUBLIC_URL=url, APIARY_PROXY_HOPS=hops))
    assert worst(found["proxy"]).level == level


def test_a_host_without_that_setting_hears_nothing_of_proxies(make_app) -> None:
    assert "proxy" not in examine(make_app(APIARY_PUBLIC_URL="https://chat.example.org"))


def test_secrets_and_files(make_app) -> None:
    app = make_app(SECRET_KEY="s" * 15)
    folder = app.extensions["apiary"].settings.instance_path
    assert "15 characters" in worst(examine(app)["secrets"]).message
    app.config["SECRET_KEY"] = "s" * 16
    assert worst(examine(app)["secrets"]).level == "ok"
    (folder / "encryption_keys").chmod(0o644)
    check = worst(examine(app)["secrets"])
    assert check.level == "wrong" and check.remedy == f"Run: chmod 600 {folder}/encryption_keys"
    folder.chmod(0o777)
    assert worst(examine(app)["instance"]).remedy == f"Run: chmod 700 {folder}"


def test_one_secret_for_two_ends(make_app) -> None:
    app = make_app(APIARY_ENCRYPTION_KEYS=K1, SECRET_KEY=K1.partition(":")[2])
    check = worst(examine(app)["secrets"])
    assert check.level == "wrong" and K1.partition(":")[2] not in check.message


def test_a_folder_that_a_web_server_gives_away(make_app, tmp_path: Path) -> None:
    app = make_app(APIARY_INSTANCE_PATH=str(tmp_path / "public_html" / "instance"))
    assert "gives to everybody" in worst(examine(app)["instance"]).message


@pytest.mark.parametrize(("free", "level"), [(50, "wrong"), (500, "warn"), (5000, "ok")])
def test_the_disk(make_app, monkeypatch, free: int, level: str) -> None:
    app, usage = make_app(), namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**12, 0, free * 1024 * 1024))
    assert worst(examine(app)["disk"]).level == level


def test_a_folder_that_cannot_be_written(make_app, monkeypatch) -> None:
    app, access = make_app(), os.access
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK and access(path, mode))
    assert "not writable" in worst(examine(app)["instance"]).message


def test_the_vault(make_app, database_url: str) -> None:
    app = make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=K2)
    lost, provider = KeyRing.parse(K1), app.extensions["apiary"].providers["openrouter"]
    with app.app_context(), database.connection_context():
        rotation.look(lost)
    check = worst(examine(app)["vault"])
    assert check.level == "warn" and f"keys retire {lost.kids[0]}" in check.remedy
    with app.app_context(), database.connection_context():
        Vault(lost).put("ann", provider, Secret("sk-or-v1-x"), source="key", facts=Facts())
    check = worst(examine(app)["vault"])
    assert check.level == "wrong" and "cannot be read: 1." in check.message
    assert f"sealed with {lost.kids[0]}" in check.message
    both = make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=f"{K2},{K1}")
    assert worst(examine(both)["vault"]).remedy == "Run: flask apiary keys rotate"
    with app.app_context(), database.connection_context():
        StoredCanary.update(sealed=b"?" * 29).execute()
    assert "does not open" in worst(examine(both)["vault"]).message


def test_pending_migrations(new_postgres, make_app) -> None:
    app = make_app(APIARY_DATABASE_URL=new_postgres(), upgrade=False)
    check = worst(examine(app)["database"])
    assert check.level == "wrong" and check.remedy == "Run: flask apiary upgrade"


def test_connections_for_all_processes(new_postgres, make_app, monkeypatch) -> None:
    url = new_postgres()
    with psycopg.connect(url) as server:
        shown = [server.execute(f"SHOW {n}").fetchone() for n in _LIMITS]
    room = int(shown[0][0]) - int(shown[1][0])
    app = make_app(APIARY_DATABASE_URL=url, APIARY_DATABASE_CONNECTIONS=room // 2)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    check = worst(examine(app)["database"])
    assert check.level == "ok"
    [told] = [c.message for c in examine(app)["database"] if "takes" in c.message]
    assert f"{room} connections" in told and "fit: 2." in told
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert worst(examine(app)["database"]).level == "ok"
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    check = worst(examine(app)["database"])
    assert check.level == "warn" and f"ask for {room // 2 * 3}" in check.message
    assert f"APIARY_DATABASE_CONNECTIONS to {room // 3} or less" in check.remedy


def test_a_database_that_is_gone(make_app) -> None:
    url = "postgresql://somebody:s3cretword@127.0.0.1:1/nothing"
    app = make_app(OPENROUTER_OAUTH="0")
    # Made with SQLite; then the database is another one, that nobody answers for.
    object.__setattr__(app.extensions["apiary"], "database", db.open_url(url))
    told = command(app, "--offline")
    assert told.exit_code == 1 and "PostgreSQL cannot be used" in told.output
    assert "s3cretword" not in told.output and "Traceback" not in told.output


# Dialling.


def server(status: int = 200) -> Flask:
    app = Flask("provider")

    @app.get("/")
    def root() -> Response:
        return Response("hello", status)

    return app


def test_the_sandbox_answers_and_the_clock_agrees(make_app, sandbox, monkeypatch) -> None:
    app = make_app()
    providers = app.extensions["apiary"].providers
    for name in set(providers) - {"openrouter"}:
        del providers[name]
    found = examine(app, offline=False)
    assert [check.level for check in found["provider"]] == ["ok"]
    assert worst(found["clock"]).level == "ok"
    asked = sandbox.state.journal.entries()
    assert all("authorization" not in str(entry).lower() for entry in asked)


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [(-600, "wrong", "seconds ahead"), (600, "wrong", "behind"), (-60, "warn", "ahead")],
)
def test_a_clock_that_is_off(make_app, monkeypatch, ahead: float, level: str, words: str) -> None:
    monkeypatch.setattr(
        "http.server.BaseHTTPRequestHandler.date_time_string",
        lambda *_: formatdate(time.time() + ahead, usegmt=True),
    )
    with serve(server()) as url:
        app = make_app(APIARY_ENDPOINTS=f"near={url}/v1")
        only(app, "near")
        check = worst(examine(app, offline=False)["clock"])
    assert check.level == level and words in check.message


@pytest.mark.parametrize("date", ["", "soon", "Mon, 01 Jan 2029 00:00:00 +" + "9" * 20])
def test_a_clock_that_tells_nonsense(make_app, date: str) -> None:
    with talk(answer(b"", b"Date: " + date.encode())) as (server, _):
        app = make_app(APIARY_ENDPOINTS=f"near={server.url}/v1")
        only(app, "near")
        found = examine(app, offline=False)
    assert "clock" not in found and [check.level for check in found["provider"]] == ["ok"]


def only(app: Flask, name: str) -> None:
    providers = app.extensions["apiary"].providers
    for other in set(providers) - {name}:
        del providers[other]


@pytest.mark.parametrize("status", [200, 302, 401, 404, 500])
def test_any_answer_is_an_answer(make_app, status: int) -> None:
    with serve(server(status)) as url:
        app = make_app(APIARY_ENDPOINTS=f"near={url}/v1")
        only(app, "near")
        assert worst(examine(app, offline=False)["provider"]).level == "ok"


def test_a_provider_that_is_away(make_app) -> None:
    app = make_app(APIARY_ENDPOINTS="near=http://127.0.0.1:1/v1")
    only(app, "near")
    check = worst(examine(app, offline=False)["provider"])
    assert check.level == "wrong" and "cannot be reached" in check.message


def test_a_provider_that_nobody_uses_may_be_away(make_app, monkeypatch) -> None:
    app = make_app(APIARY_ENDPOINTS="near=http://127.0.0.1:1/v1")
    only(app, "near")
    monkeypatch.setattr("apiary.reach._needed", lambda _: frozenset())
    assert worst(examine(app, offline=False)["provider"]).level == "warn"


def test_a_provider_that_the_policy_refuses(make_app) -> None:
    app = make_app(APIARY_ENDPOINTS="cloud=http://169.254.169.254/v1")
    only(app, "cloud")
    check = worst(examine(app, offline=False)["provider"])
    assert check.level == "wrong" and "policy refuses" in check.message


def test_no_secret_in_its_output(make_app) -> None:
    secrets = {
        "SECRET_KEY": "cookie-secret-" + "q" * 20,
        "APIARY_ENCRYPTION_KEYS": f"{K2},{K1}",
        "APIARY_REDIS_URL": "redis://:redispassword@127.0.0.1:1/0",
        "APIARY_BUILTIN_KEY": "sk-or-v1-operatorskey",
    }
    app = make_app(**secrets)
    said = command(app, "--offline").output + command(app, "--offline", "--json").output
    for word in (*secrets.values(), *(e.partition(":")[2] for e in (K1, K2)), "redispassword"):
        assert word not in said


def test_an_app_that_does_not_say_who_is_asking(tmp_path) -> None:
    app = Flask(__name__, instance_path=str(tmp_path))
    app.secret_key = "long enough for a test"
    apiary = Apiary(app)
    with app.app_context():
        found = [check for check in apiary.doctor(offline=True) if check.name == "owner"]
    assert [check.level for check in found] == ["wrong"] and "owner=" in found[0].remedy
