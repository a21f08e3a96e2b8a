"""The chat app over a database that fails: its own calm page, on the plug-in's pages too."""

import sqlite3
from pathlib import Path

import pytest

from tests.host.browsing import Browser

HTML = {"Accept": "text/html"}


@pytest.fixture
def locked(make_host, tmp_path: Path):
    """A guest who has been here, and another program that holds the file."""
    app = make_host(APIARY_DATABASE_URL=f"sqlite:///{tmp_path / 'x.sqlite3'}")
    browser = Browser(app)
    browser.conversation()
    app.extensions["apiary"].database.timeout = 0.2
    other = sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield browser
    other.close()


def test_the_plug_ins_pages_fail_in_the_hosts_dress(locked: Browser) -> None:
    with locked.get("/settings/", headers=HTML) as page:
        assert page.status_code == 200
    with locked.form("/settings/openrouter/disconnect") as page:
        assert page.status_code == 503
        assert "The database cannot be used right now" in page.text
        assert "Just a moment" in page.text and "Traceback" not in page.text
    with locked.send("/settings/openrouter/disconnect", Accept="application/json") as answer:
        assert answer.status_code == 503 and answer.json["code"] == "database"


def test_the_hosts_own_pages_too(locked: Browser) -> None:
    with locked.send("/c", Accept="application/json") as answer:
        assert answer.status_code == 503 and answer.json["code"] == "database"
    with locked.get("/healthz") as health:
        assert health.status_code == 200
