"""People for the tests with servers of their own."""

import os
import secrets
from contextlib import ExitStack

import pytest

from tests.scale.running import Person, app, upgrade


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
def site(request, tmp_path, sandbox, new_postgres, redis_url):
    """Starts processes of one site. Its keys in Redis are named after its secret.

    Without Redis where the fixture's parameter is false.
    """
    settings = {
        "APIARY_DATABASE_URL": new_postgres(),
        "APIARY_REDIS_URL": redis_url if getattr(request, "param", True) else "",
        "APIARY_SECRET_KEY": secrets.token_hex(20),
    }
    upgrade(tmp_path, sandbox.url, **settings)
    with ExitStack() as stack:

        def start(**more):
            return stack.enter_context(app(tmp_path, sandbox.url, **settings | more))

        start.settings = settings
        yield start
