"""What an app may have got wrong is said when Apiary is mounted, and costs other pages nothing."""

import re
import sys
from pathlib import Path

import peewee
import pytest
from flask import Blueprint, Flask

from apiary import Apiary, ConfigError
from tests.foreign.hosts import MakeHost, mount


def test_a_blueprint_that_has_our_name(make_host: MakeHost) -> None:
    app = make_host()
    app.register_blueprint(Blueprint("apiary", __name__))
    with pytest.raises(ConfigError, match='a blueprint named "apiary"'):
        mount(app)


def test_a_page_that_stands_where_ours_would(make_host: MakeHost) -> None:
    app = make_host()
    settings = Blueprint("settings", __name__, url_prefix="/settings")
    settings.add_url_rule("/", "mine", lambda: "the host's own settings")
    app.register_blueprint(settings)
    with pytest.raises(ConfigError, match=re.escape("/settings/ is settings.mine already")):
        mount(app)


def test_a_page_that_matches_what_ours_would(make_host: MakeHost) -> None:
    app = make_host()
    app.add_url_rule("/settings/<section>", "mine", lambda section: section)
    with pytest.raises(ConfigError, match="/settings/<provider> is mine already"):
        mount(app)


def test_a_page_that_comes_later_and_would_never_be_seen(make_host: MakeHost) -> None:
    """Most hosts add their blueprints after their extensions."""
    app = make_host()
    mount(app)
    app.add_url_rule("/settings/", "mine", lambda: "the host's own settings")
    app.add_url_rule("/", "home", lambda: "home")
    client = app.test_client()
    assert client.get("/").text == "home"
    with pytest.raises(ConfigError, match="/settings/ is mine already"):
        client.get("/settings/")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"autoescape": False}, "does not escape"),
        ({"variable_start_string": "[[", "variable_end_string": "]]"}, "other marks"),
    ],
)
def test_templates_that_cannot_be_ours(make_host: MakeHost, options: dict, told: str) -> None:
    app = make_host()
    app.jinja_options = options
    with pytest.raises(ConfigError, match=told):
        mount(app)


def test_templates_in_another_style(make_host: MakeHost) -> None:
    app = make_host()
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "line_statement_prefix": "#"}
    mount(app)
    page = app.test_client().get("/settings/").text
    assert 'data-provider="openrouter"' in page and "{%" not in page and "{{" not in page


@pytest.mark.parametrize("static", [{"static_url_path": ""}, {"static_folder": None}])
def test_static_files_of_the_host_s_own(make_host: MakeHost, static: dict) -> None:
    app = make_host(static)
    mount(app)
    with app.test_client().get("/settings/static/apiary.css") as sheet:
        assert sheet.status_code == 200 and sheet.mimetype == "text/css"


def test_static_files_in_the_place_of_ours(make_host: MakeHost) -> None:
    with pytest.raises(ConfigError, match="is static already"):
        mount(make_host({"static_url_path": "/settings/static"}))


def test_beside_a_blueprint_named_settings(make_host: MakeHost) -> None:
    app = make_host()
    settings = Blueprint("settings", __name__, url_prefix="/settings")
    settings.add_url_rule("/", "mine", lambda: "the host's own settings")
    app.register_blueprint(settings)
    Apiary(app, owner=lambda: "ann", url_prefix="/settings/models")
    client = app.test_client()
    assert client.get("/settings/").text == "the host's own settings"
    assert "Your models" in client.get("/settings/models/").text


def test_a_setting_that_is_misspelt(make_host: MakeHost) -> None:
    """A key ring that is not read would be replaced by a generated one, unseen."""
    with pytest.raises(ConfigError, match="APIARY_ENCRYPTION_KEYS"):
        mount(make_host(APIARY_ENCRYPTION_KEY="k1:x"))


@pytest.mark.parametrize(
    ("database", "told"),
    [
        ("sqlite:///mine.sqlite3", "APIARY_DATABASE_URL"),
        (Path("mine.sqlite3"), "APIARY_DATABASE_URL"),
        (peewee.DatabaseProxy(), "initialize"),
        (peewee.SqliteDatabase(None), "initialize"),
    ],
)
def test_what_is_no_database_yet(make_host: MakeHost, database: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Apiary(make_host(), owner=lambda: "ann", database=database)  # type: ignore[arg-type]


def test_a_proxy_that_leads_to_a_database(make_host: MakeHost, tmp_path: Path) -> None:
    proxy = peewee.DatabaseProxy()
    proxy.initialize(peewee.SqliteDatabase(tmp_path / "mine.sqlite3", lock_type="IMMEDIATE"))
    app = make_host()
    Apiary(app, owner=lambda: "ann", database=proxy)
    assert app.test_client().get("/settings/").status_code == 200


def test_a_driver_that_is_not_installed(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=re.escape("flask-apiary[postgres]")):
        mount(make_host(APIARY_DATABASE_URL="postgresql://nobody@127.0.0.1:9/none"))


@pytest.mark.parametrize("port", ["9", "5432"])
def test_a_database_that_is_away_or_old_stops_our_pages_only(
    make_host: MakeHost, port: str, request: pytest.FixtureRequest
) -> None:
    url = "postgresql://nobody@127.0.0.1:9/none"
    if port == "5432":
        url = request.getfixturevalue("new_postgres")()
    app = make_host(APIARY_DATABASE_URL=url)
    mount(app)
    app.add_url_rule("/", "home", lambda: "the host's own page")
    client = app.test_client()
    assert client.get("/").text == "the host's own page"
    assert client.get("/settings/").status_code == 503
    app.extensions["apiary"].database.close_all()


def test_a_home_that_is_no_endpoint(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app, owner=lambda: "ann", home="profil")
    app.add_url_rule("/me", "profile", lambda: "me")
    client = app.test_client()
    assert client.get("/me").text == "me"
    with pytest.raises(ConfigError, match="'profil' is no endpoint"):
        client.get("/settings/")
    later = make_host()
    Apiary(later, owner=lambda: "ann", home="profile")
    later.add_url_rule("/me", "profile", lambda: "me")
    assert later.test_client().get("/settings/").status_code == 200


def test_a_guard_of_the_host_s_own(make_host: MakeHost) -> None:
    """It stands before our pages as before all others."""
    app = make_host()

    @app.before_request
    def nobody_comes_in() -> tuple[str, int]:
        return "closed", 403

    mount(app)
    assert app.test_client().get("/settings/").text == "closed"


def test_error_pages_of_the_host_s_own(make_host: MakeHost) -> None:
    app = make_host()
    app.register_error_handler(404, lambda error: ("the host's own 404", 404))
    app.register_error_handler(400, lambda error: (f"the host's own 400: {error.name}", 400))
    mount(app)
    client = app.test_client()
    assert client.get("/settings/openrouter/nothing/here").text == "the host's own 404"
    assert client.post("/settings/openrouter/check").text.startswith("the host's own 400")


def test_under_a_script_name(make_host: MakeHost) -> None:
    app: Flask = make_host(APPLICATION_ROOT="/team")
    mount(app)
    page = app.test_client().get("/settings/", base_url="http://localhost/team")
    assert 'href="/team/settings/static/apiary.css"' in page.text
    assert "Path=/team" in page.headers["Set-Cookie"]
