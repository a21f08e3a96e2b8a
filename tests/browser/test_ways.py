"""Connect where no popup opens: blocked, on a phone, without scripts, by the other ways."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Site
from tests.browser.popup import ASKING, CARD, CONNECT, NOTICE, STATUS, WAITING, answer, gone, press


def blocked(context: BrowserContext) -> Page:
    """A page whose browser opens no windows."""
    context.add_init_script("window.open = () => null")
    return context.new_page()


def test_a_blocked_popup_goes_on_in_the_same_tab(context: BrowserContext, site: Site) -> None:
    page = blocked(context)
    page.goto(site / "settings/")
    page.click(CONNECT)
    answer(page)
    page.wait_for_url("**/settings/#openrouter")
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    assert len(context.pages) == 1


def narrow(browser, **more: object) -> BrowserContext:
    context = browser.new_context(viewport={"width": 390, "height": 800}, **more)
    context.set_default_timeout(15_000)
    return context


def test_a_phone_uses_the_same_tab(browser, site: Site) -> None:
    context = narrow(browser, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(site / "settings/")
    page.tap(CONNECT)
    answer(page)
    page.wait_for_url("**/settings/#openrouter")
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_a_phone_comes_back_to_the_chat_and_the_message_is_sent(browser, site: Site) -> None:
    context = narrow(browser, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(site.url)
    page.fill("textarea", "Do bees sleep?")
    page.tap('button:has-text("Send")')
    page.tap(CONNECT)
    answer(page)
    expect(page.locator("#turns")).to_contain_text(
        re.compile("Do bees sleep[?].*Do bees sleep[?]", re.S)
    )
    context.close()


def test_without_scripts(browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site / "settings/")
    page.click(CONNECT)
    page.wait_for_selector('[data-action="approve"]')
    answer(page)
    page.wait_for_url("**/settings/#openrouter")
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    page.click(f'{CARD} [data-action="disconnect"]')
    expect(page.locator("h1")).to_have_text("Disconnect OpenRouter?")
    page.click('[data-action="disconnect"]')
    expect(page.locator(STATUS)).to_have_text("Not connected.")
    page.click(CONNECT)
    page.wait_for_selector('[data-action="deny"]')
    answer(page, "deny")
    expect(page.locator(NOTICE)).to_contain_text("You declined")
    context.close()


@pytest.mark.parametrize("way", ["connect-tab", "connect-page", "connect-code", "paste-key"])
def test_every_other_way(page: Page, site: Site, way: str, paste_key: str) -> None:
    page.goto(site / "settings/")
    page.click(f'{CARD} [data-action="ways"]')
    button = page.locator(f'[data-action="{way}"]')
    if way == "connect-tab":
        with page.expect_popup() as opened:
            button.click()
        tab = opened.value
        answer(tab)
        tab.wait_for_url("**/settings/#openrouter")
        expect(tab.locator(STATUS)).to_contain_text("Connected as")
        return
    if way == "paste-key":
        page.fill('input[name="api_key"]', paste_key)
    button.click()
    if way == "connect-code":
        with page.expect_popup() as opened:
            page.click('[data-action="open-provider"]')
        answer(opened.value)
        code = opened.value.locator('[data-role="code"]').inner_text()
        page.fill('input[name="code"]', f" {code}\n")
        page.click('[data-action="send-code"]')
    elif way == "connect-page":
        answer(page)
    page.wait_for_url("**/settings/#openrouter")
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_back_from_the_provider(page: Page, site: Site, context: BrowserContext) -> None:
    page = blocked(context)
    page.goto(site / "settings/")
    page.click(CONNECT)
    page.wait_for_selector('[data-action="approve"]')
    page.go_back()
    expect(page.locator(CONNECT)).to_be_enabled()
    assert page.locator(CONNECT).get_attribute("aria-disabled") is None
    page.click(CONNECT)
    answer(page)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_the_site_away_for_a_while(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    page.route(ASKING, lambda route: route.abort())
    page.bring_to_front()
    expect(page.locator(f'{WAITING} [data-role="waiting-text"]')).to_contain_text("Cannot reach")
    page.unroute(ASKING)
    answer(window)
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
