"""People for the tests with servers of their own."""

import os
import secrets
from contextlib import ExitStack

import pytest

from apiary.sandbox import PASTE_KEY
from tests.scale.running import People, Person, app, environ_of
from tests.scale.stage import DAILY, URL, Stage, missing
from tests.upgraded import upgrade


def pytest_collection_modifyitems(config, items):
    """Leave out what takes minutes: ``make stage`` runs it."""
    if os.environ.get("APIARY_TEST_LONG"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def person(paste_key):
    """Makes guests who are connected."""
    made = []

    def make(base: str) -> Person:
        made.append(Person(base, paste_key))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def site(request, tmp_path, sandbox, new_postgres, postgres, redis_url):
    """Starts processes of one site. Its keys in Redis are named after its secret.

    Without Redis where the fixture's parameter is false.
    """
    settings = {
        "APIARY_DATABASE_URL": new_postgres(),
        "APIARY_REDIS_URL": redis_url if getattr(request, "param", True) else "",
        "APIARY_SECRET_KEY": secrets.token_hex(20),
    }
    environ = environ_of(tmp_path, sandbox.url, settings)
    postgres.migrate(settings["APIARY_DATABASE_URL"], "chat app", lambda: upgrade(environ))
    with ExitStack() as stack:

        def start(**more):
            return stack.enter_context(app(tmp_path, sandbox.url, **settings | more))

        start.settings = settings
        yield start


@pytest.fixture(scope="package")
def built(tmp_path_factory):
    if why := missing():
        pytest.skip(why)
    made = Stage(
        tmp_path_factory.mktemp("stage"),
        APIARY_BUILTIN_PROVIDER="openrouter",
        APIARY_BUILTIN_MODEL="sandbox/echo",
        APIARY_BUILTIN_KEY=PASTE_KEY,
        APIARY_BUILTIN_DAILY_MESSAGES=str(DAILY),
    )
    yield made
    made.end()


@pytest.fixture
def stage(built):
    """The stage; the test stands where the browsers are, and finds all in good order."""
    with built["client"].inside():
        built.restore()
        built.sandbox(pace=0.3)
        yield built


@pytest.fixture
def guest(stage):
    """Makes guests, connected if not told otherwise."""
    with ExitStack() as stack:

        def make(base: str = URL, key: str = PASTE_KEY) -> Person:
            http = stack.enter_context(stage.client())
            return Person(base, key, http)

        yield make


@pytest.fixture
def people(stage, guest):
    stage.sandbox(pace=0.4)
    made = People(URL, [guest() for _ in range(6)])
    yield made
    made.leave()
