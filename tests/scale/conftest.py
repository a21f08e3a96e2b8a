"""People for the tests with servers of their own."""

import os

import pytest

from tests.scale.running import Person


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
