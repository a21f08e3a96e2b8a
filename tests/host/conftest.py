"""The chat app under test, and browsers that visit it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.security import generate_password_hash

from apiary.host import accounts, create_app
from apiary.host.state import Host
from tests.host.browsing import Browser, until

BUILTIN = {
    "APIARY_BUILTIN_PROVIDER": "openrouter",
    "APIARY_BUILTIN_MODEL": "sandbox/echo",
}

MakeHost = Callable[..., Flask]
_QUICK = "scrypt:1024:8:1"


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are slow on purpose; where that is not the matter, they would only be slow."""
    monkeypatch.setattr(
        accounts,
        "generate_password_hash",
        lambda given, method: generate_password_hash(given, _QUICK),
    )
    monkeypatch.setattr(accounts, "_dummy_hash", lambda: generate_password_hash("nobody", _QUICK))


@pytest.fixture
def make_host(tmp_path, sandbox, postgres, sqlite) -> Iterator[MakeHost]:
    """Makes chat apps that talk to the sandbox; settings are passed as keywords."""
    apps: list[Flask] = []

    def make(providers: Any = (), **config: Any) -> Flask:
        settings = {
            "TESTING": True,
            "APIARY_LIMITS": False,
            "APIARY_INSTANCE_PATH": str(tmp_path / f"host{len(apps)}"),
            "APIARY_OPENROUTER_URL": sandbox.url,
            "APIARY_SECRET_KEY": "only for tests, only for tests",
            **config,
        }
        with sqlite.laid(settings):
            app = create_app(settings, providers=providers)

        def upgrade() -> None:
            done = app.test_cli_runner().invoke(args=["apiary", "upgrade"])
            assert done.exit_code == 0, done.output

        url = str(config.get("APIARY_DATABASE_URL", ""))
        if "postgres" in url:
            postgres.migrate(url, "chat app", upgrade)
        apps.append(app)
        return app

    yield make
    for app in apps:
        host: Host = app.extensions["apiary.host"]
        with app.app_context():
            for answer in host.answers.all_running():
                answer.cut()
                assert answer.wait(10)
        # A stream that a test leaves open holds its place, and a thread that looks after it and
        # goes on to do so, and to log, while other tests run.
        assert host.readers.count() == 0, "a stream was not closed"
        state = app.extensions["apiary"]
        state.http.dispose()
        _leave(state.database)


def _leave(pool: Any) -> None:
    """The thread that looks after answers may be at the database still."""
    pool.close()
    until(lambda: not pool._in_use)
    pool.close_all()


@pytest.fixture
def host(make_host: MakeHost, database_url: str) -> Flask:
    """The chat app as it comes, on both databases."""
    return make_host(APIARY_DATABASE_URL=database_url)


@pytest.fixture
def builtin(make_host: MakeHost, database_url: str, paste_key: str) -> Flask:
    """The chat app with a built-in model and three messages a day, on both databases."""
    return make_host(
        APIARY_DATABASE_URL=database_url,
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_DAILY_MESSAGES="3",
        **BUILTIN,
    )


@pytest.fixture
def browser(host: Flask) -> Browser:
    return Browser(host)


@pytest.fixture
def chatter(browser: Browser, paste_key: str) -> Browser:
    """A guest who has connected OpenRouter with a key."""
    browser.connect(paste_key)
    return browser


@pytest.fixture
def slowly(sandbox) -> None:
    """Lets ``sandbox/slow`` take its ten seconds, so that there is time to interrupt it."""
    sandbox.state.switches.pace = 1.0
