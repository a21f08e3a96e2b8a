"""The examples in a real browser: mount, connect at the sandbox, ask from the host's view, end."""

from pathlib import Path

import pytest
from flask import Response
from playwright.sync_api import Page, expect

from tests.browser.conftest import EXAMPLES, Load, free_port, leave
from tests.servers import serve

HOSTS = ["bookshop/app.py", "single_file.py", "factory.py"]
CARD = 'section[data-provider="openrouter"]'


def connect(page: Page) -> None:
    # A click before the scripts have come leads through the whole page, which works too.
    page.wait_for_load_state("networkidle")
    with page.expect_popup() as opened:
        page.click(f'{CARD} [data-action="connect"]')
    window = opened.value
    window.click('[data-action="approve"]', no_wait_after=True)
    expect(page.locator(f'{CARD} [data-role="status"]')).to_contain_text("✓ Connected as user_")
    if not window.is_closed():
        window.wait_for_event("close")


def disconnect(page: Page) -> None:
    # As above; with the page, its script has come.
    page.wait_for_load_state("load")
    page.click(f'{CARD} footer [data-action="disconnect"]')
    page.click(f"{CARD} [data-confirmed]")
    expect(page.locator(f'{CARD} [data-role="status"]')).to_have_text("Not connected.")


def test_bookshop(page: Page, load: Load) -> None:
    with serve(load("bookshop/app.py").app, port=free_port()) as url:
        site = url.replace("127.0.0.1", "localhost")
        page.goto(site)
        page.click("text=Sign in")
        page.click("text=What is it about?")
        expect(page.get_by_role("status")).to_contain_text("OpenRouter is not connected")
        page.click("text=Your models")
        expect(page.locator("nav.navbar")).to_contain_text("Ann")
        expect(page).to_have_title("Your models")
        connect(page)
        page.click("text=Books")
        page.click("text=What is it about?")
        told = page.get_by_role("status")
        expect(told).to_have_text("What is The Life of the Bee about?")
        page.click("text=Your models")
        disconnect(page)
        page.click("text=Books")
        page.click("text=What is it about?")
        expect(page.get_by_role("status")).to_contain_text("OpenRouter is not connected")


def test_the_bookshop_s_limit(page: Page, load: Load) -> None:
    with serve(load("bookshop/app.py").app, port=free_port()) as url:
        page.goto(url.replace("127.0.0.1", "localhost"))
        page.click("text=Sign in")
        page.click("text=Your models")
        page.wait_for_load_state("networkidle")
        status = page.evaluate(
            """async () => {
              const token = document.querySelector("[name=csrf-token]").content;
              const headers = { "X-CSRFToken": token };
              let last;
              for (let i = 0; i < 21; i++)
                last = await fetch("anthropic/key", { method: "POST", headers });
              return last.status;
            }"""
        )
        assert status == 429
        card = page.locator('section[data-provider="anthropic"]')
        card.locator("[name=api_key]").fill("sk-ant-0123456789")
        card.locator('[data-action="save-key"]').click()
        expect(card.locator('[data-role="notice"]')).to_contain_text("too often")
        page.reload()
        expect(card).to_be_visible()


def test_single_file(page: Page, load: Load) -> None:
    with serve(load("single_file.py").app, port=free_port()) as url:
        site = url.replace("127.0.0.1", "localhost")
        page.goto(site)
        connect(page)
        page.fill("[name=question]", "Do bees dance?")
        page.click("text=Ask")
        expect(page.locator("body")).to_have_text("Do bees dance?")
        page.goto(site)
        expect(page.locator(CARD)).to_have_attribute("data-state", "connected")
        disconnect(page)
        page.fill("[name=question]", "Do bees dance?")
        page.click("text=Ask")
        expect(page.locator("body")).to_contain_text("OpenRouter is not connected")
        page.goto(site)
        # The page has no meta tag for the token: cancelling must work all the same.
        page.wait_for_load_state("networkidle")
        with page.expect_popup() as opened:
            page.click(f'{CARD} [data-action="connect"]')
        opened.value.wait_for_selector('[data-action="approve"]')
        page.click(f'{CARD} [data-action="cancel"]')
        expect(page.locator(f'{CARD} [data-role="notice"]')).to_contain_text("was cancelled")


def test_factory(page: Page, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As its docstring says: in the folder where it is started.
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLASK_APIARY_INSTANCE_PATH")
    site = load("factory.py").site()
    with serve(site, port=free_port()) as served:
        url = served.replace("127.0.0.1", "localhost")
        page.goto(url)
        page.click("#in")
        page.click("text=Your models")
        connect(page)
        page.goto(url)
        page.fill("[name=question]", "Do bees dance?")
        page.click("#ask")
        expect(page.locator("body")).to_have_text("Do bees dance?")
        # The other one, in the same process: another login, another flag, nothing connected.
        page.goto(f"{url}/wasps/")
        expect(page.locator("p")).to_have_text("nobody")
        page.click("#in")
        page.goto(f"{url}/wasps/settings/")
        expect(page.locator(CARD)).to_have_attribute("data-state", "none")
        expect(page.locator(f'{CARD} [data-action="connect"]')).to_have_count(0)
        expect(page.locator(f'{CARD} [name="api_key"]')).to_be_visible()
        page.goto(f"{url}/settings/")
        disconnect(page)
    for app in (site.app, *site.mounts.values()):
        leave(app)
    assert {path.name for path in tmp_path.glob("**/*.sqlite3")} == {
        "bees.sqlite3",
        "apiary.sqlite3",
    }


@pytest.mark.parametrize("opener", ["unsafe-none", "same-origin"])
def test_a_host_that_sets_its_own_headers_on_every_page(
    page: Page, load: Load, opener: str
) -> None:
    """As header extensions do: after ours, over ours, on the popup's pages too."""
    app = load("single_file.py").app

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none';"
            " form-action 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
        )
        response.headers["Cross-Origin-Opener-Policy"] = opener
        response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
        return response

    with serve(app, port=free_port()) as url:
        page.goto(url.replace("127.0.0.1", "localhost"))
        connect(page)
        disconnect(page)


def test_a_host_whose_session_cookie_is_strict(
    page: Page, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser keeps it back when OpenRouter leads here."""
    monkeypatch.setenv("FLASK_SESSION_COOKIE_SAMESITE", "Strict")
    with serve(load("single_file.py").app, port=free_port()) as url:
        page.goto(url.replace("127.0.0.1", "localhost"))
        connect(page)


@pytest.mark.parametrize("path", HOSTS)
def test_a_host_is_small_and_writes_little(path: str) -> None:
    source = (EXAMPLES / path).read_text()
    assert len(source.splitlines()) < 100
    code = source.split('"""', 2)[2].splitlines()
    # Links to our files and our classes are looks; without them all works.
    looks = ("url_for", "class=")
    own = [
        line
        for line in code
        if "apiary" in line.lower() and not any(word in line for word in looks)
    ]
    assert len(own) <= 5, own
