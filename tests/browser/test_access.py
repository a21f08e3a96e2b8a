"""Reachable by everybody: axe finds nothing in any state, light and dark, wide and narrow."""

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site
from tests.browser.popup import CARD, CONNECT, NOTICE, STATUS, WAITING, answer, approve, gone, press

AXE = Axe()


@pytest.fixture(params=["light-1280", "dark-390"])
def view(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    scheme, _, width = request.param.partition("-")
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": int(width), "height": 800}, reduced_motion="reduce"
    )
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def examine(page: Page, where: str) -> None:
    found = [
        f"{where}: {rule['id']}: {rule['help']}: {[node['html'][:160] for node in rule['nodes']]}"
        for rule in AXE.run(page).response["violations"]
    ]
    assert found == []
    width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert width <= 0, f"{where} is {width} px too wide"


def connect(page: Page) -> None:
    """Connect by whichever way this width takes."""
    if page.viewport_size["width"] < 600:
        page.click(CONNECT)
        answer(page)
        page.wait_for_url("**/settings/#openrouter")
    else:
        approve(page)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_a_planted_fault_is_found(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    page.evaluate("document.querySelector('main').append(document.createElement('img'))")
    assert [rule["id"] for rule in AXE.run(page).response["violations"]] == ["image-alt"]


def test_the_settings_in_every_state(view: Page, site: Site) -> None:
    page = view
    page.goto(site / "settings/")
    examine(page, "not connected")
    page.click(f"{CARD} .cap summary")
    examine(page, "the cap")
    if page.viewport_size["width"] > 600:
        window = press(page)
        page.bring_to_front()
        examine(page, "waiting")
        answer(window, "deny")
        gone(window)
        expect(page.locator(NOTICE)).to_be_visible()
        examine(page, "denied")
    connect(page)
    examine(page, "connected")
    page.click(f'{CARD} [data-action="disconnect"]')
    examine(page, "the question before disconnecting")
    page.click(f"{CARD} [data-confirmed]")
    expect(page.locator(STATUS)).to_have_text("Not connected.")
    examine(page, "the receipt")
    page.click(f'{CARD} [data-action="ways"]')
    page.wait_for_url("**/ways*")
    examine(page, "other ways")
    page.click('[data-action="connect-code"]')
    page.wait_for_selector('input[name="code"]')
    examine(page, "by a code")
    for reason in ["unknown", "other-browser", "cookie", "signed-out"]:
        page.goto(site / f"settings/openrouter/trouble/{reason}")
        examine(page, reason)


def test_the_chat_in_every_state(view: Page, site: Site) -> None:
    page = view
    page.goto(site.url)
    examine(page, "empty")
    page.fill("textarea", "Hello")
    page.keyboard.press("Enter")
    expect(page.locator(CONNECT)).to_be_visible()
    examine(page, "no brain")
    page.goto(site / "settings/")
    connect(page)
    page.goto(site.url)
    examine(page, "connected")
    page.wait_for_selector("#turns >> text=Hello")
    examine(page, "answered")
    for path in ["sign-in", "sign-up", "account", "nowhere"]:
        page.goto(site / path)
        examine(page, path)


def test_the_waiting_dialog_holds_the_focus(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    page.bring_to_front()
    expect(page.locator(f"{WAITING} h2")).to_be_focused()
    inside: Callable[[], bool] = lambda: page.evaluate(  # noqa: E731
        "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
    )
    for key in ["Tab"] * 8 + ["Shift+Tab"] * 8:
        page.keyboard.press(key)
        assert inside()
    spinner = page.locator(f"{WAITING} .spinner")
    page.emulate_media(reduced_motion="reduce")
    assert spinner.evaluate("(e) => getComputedStyle(e).animationName") == "none"
