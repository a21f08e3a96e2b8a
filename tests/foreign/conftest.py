"""Bare apps for the tests of hosts that somebody else designed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.conftest import LiveSandbox
from tests.foreign.hosts import MakeHost


@pytest.fixture
def make_host(tmp_path: Path, sandbox: LiveSandbox) -> Iterator[MakeHost]:
    """Makes bare apps, the sandbox in place of OpenRouter. The test itself mounts Apiary.

    What stands in ``options`` is given to Flask itself.
    """
    made: list[Flask] = []

    def make(options: Mapping[str, Any] | None = None, **config: object) -> Flask:
        folder = tmp_path / f"host{len(made)}"
        folders = {"instance_path": str(folder), "root_path": str(folder)}
        app = Flask(__name__, **{**folders, **(options or {})})
        app.config.update(
            SECRET_KEY="only for tests, only for tests",
            TESTING=True,
            OPENROUTER_OAUTH="1",
            APIARY_OPENROUTER_URL=sandbox.url,
            **config,
        )
        made.append(app)
        return app

    yield make
    for app in made:
        if state := app.extensions.get("apiary"):
            state.http.dispose()
            state.database.close()
