"""A real Chromium for the tests. What the browser complains about fails the test."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

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
