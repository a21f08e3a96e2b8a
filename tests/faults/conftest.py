"""The machine below the servers under test, the server that is killed, and who reads it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LiveSandbox
from tests.faults.machine import Machine, build
from tests.faults.story import Server, Visitor
from tests.postgres import Postgres


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def machine(tmp_path: Path, library: Path) -> Machine:
    return Machine(tmp_path, library)


@pytest.fixture
def environ() -> dict[str, str]:
    """What the server of a test is started with, beside its settings."""
    return {}


@pytest.fixture
def server(
    tmp_path: Path,
    sandbox: LiveSandbox,
    database_url: str,
    all_postgres: Postgres,
    environ: dict[str, str],
) -> Iterator[Server]:
    made = Server(tmp_path, sandbox, database_url, all_postgres, **environ)
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def visitor(server: Server) -> Iterator[Visitor]:
    made = Visitor(server.url)
    yield made
    made.http.close()
