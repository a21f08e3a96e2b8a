"""Fixtures that the whole suite shares: databases, a sandbox behind a socket, a small host."""

import asyncio
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
from flask import Flask, session
from jinja2 import StrictUndefined
from jinja2.bccache import Bucket, BytecodeCache

from apiary import Apiary, database, db
from apiary.sandbox import PASTE_KEY, Sandbox
from apiary.sandbox import create_app as create_sandbox
from tests import certificates
from tests.cable import Cable
from tests.postgres import Postgres
from tests.raw import Tls
from tests.servers import serve
from tests.sqlite import Sqlite


class _Compiled(BytecodeCache):
    """Templates that were compiled for one app are there for the next one."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._kept.get(self._name(bucket)):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[self._name(bucket)] = bucket.bytecode_to_string()

    def _name(self, bucket: Bucket) -> tuple[object, ...]:
        # What is compiled depends on these too.
        env = bucket.environment
        marks = env.trim_blocks, env.lstrip_blocks, env.line_statement_prefix
        return bucket.key, *marks, *sorted(env.extensions)


def _in_memory() -> str:
    """A folder in memory, where there is room: each commit of SQLite waits for a disk."""
    place = Path("/dev/shm")
    if place.is_dir() and os.access(place, os.W_OK):
        found = os.statvfs(place)
        if found.f_bavail * found.f_frsize > 2**31 and not found.f_flag & os.ST_NOEXEC:
            return str(place)
    return tempfile.gettempdir()


# Where pytest makes its folders.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _in_memory())

# Each app of a test would compile the same templates anew: most of what its pages cost.
Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": _Compiled()}

# How long an example takes, or to find one, says more of the machine than of the code.
hypothesis.settings.register_profile(
    "apiary", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("apiary")

#: Tests that drive a browser or processes of their own, and so depend on how busy a machine is.
_REAL_TIME = (
    *("browser", "faults", "scale"),
    *("test_commands.py", "test_packaging.py", "test_proxied.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give those a second chance. make test says at its end which took it."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in _REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=1))


@pytest.fixture(autouse=True)
def no_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Playwright's stays in the thread of the tests, and no other could run beside it."""
    loop = asyncio._get_running_loop()
    if loop is None or request.path.parent.name == "browser":
        yield
        return
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)


POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The URL of a PostgreSQL server where databases may be made; skips loudly without one."""
    try:
        psycopg.connect(POSTGRES, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at {POSTGRES}: {str(error).splitlines()[0]}")
    return POSTGRES


@pytest.fixture(scope="session")
def all_postgres() -> Iterator[Postgres]:
    made = Postgres(POSTGRES)
    yield made
    made.close()


@pytest.fixture
def postgres(all_postgres: Postgres) -> Iterator[Postgres]:
    """Its databases are taken back last, when the apps that used them have ended."""
    yield all_postgres
    all_postgres.take_back()


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    return Sqlite(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture
def new_postgres(postgres_server: str, postgres: Postgres) -> Callable[[], str]:
    """Makes empty PostgreSQL databases that are gone after the test."""
    return postgres.new


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path) -> str:
    """A fresh database: the test runs on SQLite and on PostgreSQL."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("new_postgres")()
        return url
    return f"sqlite:///{tmp_path / 'apiary.sqlite3'}"


REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")


@pytest.fixture
def redis_url() -> str:
    """The URL of a Redis; skips loudly without one."""
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(REDIS, socket_connect_timeout=2) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            pytest.skip(f"no Redis at {REDIS}: {error}")
    return REDIS


@pytest.fixture
def cable(redis_url: str) -> Iterator[Cable]:
    """A way to Redis that can be pulled."""
    made = Cable(int(redis_url.partition("://")[2].partition("/")[0].rpartition(":")[2]))
    yield made
    made.close()


@dataclass
class LiveSandbox:
    """A sandbox behind a real socket."""

    url: str
    app: Flask

    @property
    def state(self) -> Sandbox:
        found: Sandbox = self.app.extensions["sandbox"]
        return found

    @property
    def exchanges(self) -> int:
        return self.state.journal.exchanges()


@pytest.fixture
def sandbox() -> Iterator[LiveSandbox]:
    """A fresh double of OpenRouter."""
    app = create_sandbox(pace=0.02)
    with serve(app) as url:
        yield LiveSandbox(url, app)


@pytest.fixture
def paste_key() -> str:
    return PASTE_KEY


MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(tmp_path, sandbox: LiveSandbox, postgres: Postgres) -> Iterator[MakeApp]:
    """Makes small hosts that somebody else might have written: no Flask-Login, one view.

    Sign in by ``POST /in/<name>``, out by ``POST /out``. Settings are passed as keywords.
    """
    apps: list[Flask] = []

    def make(
        url_prefix: str = "/settings", providers=(), upgrade: bool = True, **config: object
    ) -> Flask:
        app = Flask(__name__, instance_path=str(tmp_path / f"instance{len(apps)}"))
        # Some hosts want every name in a template to be known: ours are read in that way here.
        app.jinja_options = {**app.jinja_options, "undefined": StrictUndefined}
        app.config.update(
            SECRET_KEY="test " * 5,
            TESTING=True,
            WTF_CSRF_ENABLED=False,
            OPENROUTER_OAUTH="1",
            APIARY_OPENROUTER_URL=sandbox.url,
            APIARY_PUBLIC_URL="http://localhost",
        )
        app.config.update(config)
        apiary = Apiary(
            app,
            url_prefix=url_prefix,
            owner=lambda: session.get("who"),
            providers=providers,
            home="home",
        )

        @app.get("/")
        def home() -> str:
            return "home"

        @app.post("/in/<who>")
        def sign_in(who: str) -> str:
            session["who"] = who
            return who

        @app.post("/out")
        def sign_out() -> str:
            session.clear()
            return "out"

        app.extensions["test_apiary"] = apiary
        state = app.extensions["apiary"]
        url = str(config.get("APIARY_DATABASE_URL", ""))
        if "postgres" in url and upgrade:
            postgres.migrate(url, "plug-in", lambda: db.upgrade(state.database, {}))
        apps.append(app)
        return app

    yield make
    for app in apps:
        state = app.extensions["apiary"]
        state.http.dispose()
        if hasattr(state.database, "close_all"):
            state.database.close_all()


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Flask:
    """A small host with the flag on, on both databases."""
    return make_app(APIARY_DATABASE_URL=database_url)


@pytest.fixture
def in_app(app: Flask) -> Iterator[Flask]:
    """The same with an app context and an open database."""
    with app.app_context(), database.connection_context():
        yield app


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A server's and a client's context with a certificate for 127.0.0.1 and llm.example."""
    certificate, key = certificates.write(
        tmp_path_factory.mktemp("tls"), "127.0.0.1", "llm.example"
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))
