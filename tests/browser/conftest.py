"""A real Chromium for the tests. What the browser complains about fails the test."""

import importlib.util
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from flask import Flask
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from apiary.host import create_app
from tests.browser.ground import ground as ground
from tests.conftest import LiveSandbox
from tests.servers import serve
from tests.sqlite import Sqlite

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_NAMES = ["chromium", "chromium-browser", "google-chrome"]
#: The system's Chromium as people have it.
WHOLE = next(filter(None, map(shutil.which, _NAMES)), None)
# It has no windows to paint: with it the tests take half of the processor's time.
_WINDOWLESS = shutil.which("chromium-headless-shell")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: In milliseconds: for what a person would see at once, on a machine that has much else to do.
_PATIENCE = 15_000
_COMPLAINTS = ("Content Security Policy", "Trusted Type", "TrustedHTML", "TrustedScript")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium where there is one, else Playwright's own."""
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        found = _WINDOWLESS or WHOLE
        chromium = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the pages of this test said against their own policy; must end empty."""
    return []


@pytest.fixture
def context(browser: Browser, complaints: list[str]) -> Iterator[BrowserContext]:
    """A browser of its own for each test: no cookie and no storage of another one.

    The context is closed, never a page: closing a page while it navigates can hang.
    """
    made = browser.new_context(viewport={"width": 1280, "height": 800})
    made.set_default_timeout(_PATIENCE)

    def listen(page: Page) -> None:
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and any(word in message.text for word in _COMPLAINTS):
            complaints.append(message.text)

    made.on("page", listen)
    yield made
    made.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@dataclass(frozen=True)
class Site:
    """The chat app behind a real socket, with its sandbox."""

    url: str
    app: Flask
    sandbox: LiveSandbox

    def __truediv__(self, path: str) -> str:
        return f"{self.url}/{path}"


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path, sandbox: LiveSandbox, sqlite: Sqlite) -> Iterator[MakeSite]:
    """Serves chat apps on http://localhost with the flag on; settings are passed as keywords."""
    with ExitStack() as stack:

        def make(**config: object) -> Site:
            port = free_port()
            settings = {
                "TESTING": True,
                "APIARY_LIMITS": False,
                "OPENROUTER_OAUTH": "1",
                "APIARY_PUBLIC_URL": f"http://localhost:{port}",
                "APIARY_INSTANCE_PATH": str(tmp_path / f"site{port}"),
                "APIARY_OPENROUTER_URL": sandbox.url,
                "APIARY_SECRET_KEY": "only for tests, only for tests",
                **config,
            }
            with sqlite.laid(settings):
                app = create_app(settings)
            stack.callback(app.extensions["apiary"].http.dispose)
            stack.enter_context(serve(app, port=port))
            return Site(f"http://localhost:{port}", app, sandbox)

        yield make


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """The chat app with the flag on."""
    return make_site()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: LiveSandbox) -> Iterator[Load]:
    """Runs an example's file with settings of the test in its environment."""
    monkeypatch.setenv("FLASK_APIARY_INSTANCE_PATH", str(tmp_path / "instance"))
    monkeypatch.setenv("FLASK_APIARY_OPENROUTER_URL", sandbox.url)
    monkeypatch.setenv("FLASK_SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path / 'shop.sqlite3'}")
    monkeypatch.setenv("FLASK_MODEL", "sandbox/echo")
    with ExitStack() as stack:

        def run(path: str) -> ModuleType:
            name = "example_" + re.sub(r"\W", "_", path)
            spec = importlib.util.spec_from_file_location(name, EXAMPLES / path)
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
            if isinstance(app := getattr(module, "app", None), Flask):
                stack.callback(leave, app)
            return module

        yield run


def leave(app: Flask) -> None:
    state = app.extensions["apiary"]
    state.http.dispose()
    state.database.close()
    if shop := app.extensions.get("sqlalchemy"):
        with app.app_context():
            shop.engine.dispose()
