"""People for the tests with servers of their own."""

import pytest

from tests.scale.running import Person


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
