"""What the attacks share: chat apps to attack, and a place worth stealing from."""

import pytest

from tests.host.conftest import MakeHost, make_host
from tests.security.world import World, found

__all__ = ["make_host"]


@pytest.fixture
def world(make_host: MakeHost, paste_key: str) -> World:
    """The chat app with the flag on, and Ada in it, with one of everything."""
    app = make_host(OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost")
    return found(app, paste_key)
