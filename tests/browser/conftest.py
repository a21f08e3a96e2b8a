"""A real Chromium for the tests. What the browser complains about fails the test."""

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from apiary.host import create_app
from tests.conftest import LiveSandbox
from tests.servers import serve

_NAMES = ["chromium", "chromium-browser", "google-chrome"]
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_COMPLAINTS = ("Content Security Policy", "Trusted Type", "TrustedHTML", "TrustedScript")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium where there is one, else Playwright's own."""
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, _NAMES)), None)
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
    made.set_default_timeout(15_000)

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
def make_site(tmp_path: Path, sandbox: LiveSandbox) -> Iterator[MakeSite]:
    """Serves chat apps on http://localhost with the flag on; settings are passed as keywords."""
    with ExitStack() as stack:

        def make(**config: object) -> Site:
            port = free_port()
            app = create_app(
                {
                    "TESTING": True,
                    "APIARY_LIMITS": False,
                    "OPENROUTER_OAUTH": "1",
                    "APIARY_PUBLIC_URL": f"http://localhost:{port}",
                    "APIARY_INSTANCE_PATH": str(tmp_path / f"site{port}"),
                    "APIARY_OPENROUTER_URL": sandbox.url,
                    "APIARY_SECRET_KEY": "only for tests, only for tests",
                    **config,
                }
            )
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
