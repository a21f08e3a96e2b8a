"""How a connection ends in a real browser: disconnected, dead, or a key that is pasted instead."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite, Site
from tests.browser.popup import CARD, CONNECT, NOTICE, STATUS, approve


def test_disconnect(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    approve(page)
    page.click(f'{CARD} [data-action="disconnect"]')
    dialog = page.locator(f'{CARD} dialog[data-role="confirm"]')
    expect(dialog).to_be_visible()
    expect(dialog.locator('[data-action="stay"]')).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    page.click(f'{CARD} [data-action="disconnect"]')
    dialog.locator('[data-action="check-revoked"]').click()
    expect(dialog.locator('[data-role="revoked-text"]')).to_contain_text("still accepts")
    with page.expect_popup() as opened:
        dialog.locator('[data-role="confirm-page"]').click()
    opened.value.click('[data-action="revoke"]')
    opened.value.wait_for_selector('[data-key-state="revoked"]')
    page.bring_to_front()
    dialog.locator('[data-action="check-revoked"]').click()
    expect(dialog.locator('[data-role="revoked-text"]')).to_contain_text("It is revoked")
    dialog.locator("[data-confirmed]").click()
    expect(page.locator(STATUS)).to_have_text("Not connected.")
    expect(page.locator(NOTICE)).to_contain_text("nothing is left to delete")
    expect(page.locator(f'{CARD} [data-role="receipt"]')).to_be_hidden()


def test_the_receipt(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    approve(page)
    page.click(f'{CARD} [data-action="disconnect"]')
    page.click(f"{CARD} [data-confirmed]")
    receipt = page.locator(f'{CARD} [data-role="receipt"]')
    expect(receipt).to_contain_text("Our copy is deleted")
    with page.expect_popup() as opened:
        receipt.locator("a").click()
    opened.value.wait_for_selector('[data-action="revoke"]')
    page.reload()
    expect(receipt).to_contain_text("Our copy is deleted")


def test_a_dead_key_is_noticed_and_the_message_sent_again(
    page: Page, site: Site, revoke: Callable[[Site], None]
) -> None:
    page.goto(site.url)
    page.fill("textarea", "First")
    page.keyboard.press("Enter")
    approve(page)
    expect(page.locator("#turns")).to_contain_text(re.compile("First.*First", re.S))
    revoke(site)
    page.fill("textarea", "Second")
    page.keyboard.press("Enter")
    expect(page.get_by_text("no longer accepts this key").first).to_be_visible()
    page.get_by_role("button", name="Reconnect", exact=True).click()
    approve(page)
    expect(page.locator("#turns")).to_contain_text(re.compile("Second.*Second", re.S))


@pytest.fixture
def revoke() -> Callable[[Site], None]:
    def all_keys(site: Site) -> None:
        records = site.sandbox.state.keys()
        for record in records:
            site.sandbox.state.revoke(record.hash)

    return all_keys


def test_the_flag_off_pastes(page: Page, make_site: MakeSite, paste_key: str) -> None:
    site = make_site(OPENROUTER_OAUTH="0")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site / "settings/")
    assert page.locator(CONNECT).count() == 0
    field = page.locator(f'{CARD} input[name="api_key"]')
    field.fill("sk-or-v1-" + "0" * 64)
    page.click(f'{CARD} [data-action="save-key"]')
    expect(page.locator(NOTICE)).to_contain_text("OpenRouter does not accept this key")
    field.fill(f'  "{paste_key}" ')
    page.click(f'{CARD} [data-action="save-key"]')
    expect(page.locator(STATUS)).to_contain_text("✓ Connected as")
    assert field.input_value() == ""
    assert not any("connect.js" in url or "done.js" in url for url in asked)
    page.fill('section[data-provider="openai"] input[name="api_key"]', paste_key)
    page.click('section[data-provider="openai"] [data-action="save-key"]')
    expect(page.locator('section[data-provider="openai"] [data-role="notice"]')).to_contain_text(
        "looks like a key of OpenRouter"
    )
    page.goto(site.url)
    page.fill("textarea", "Hello")
    page.keyboard.press("Enter")
    expect(page.locator("#turns")).to_contain_text(re.compile("Hello.*Hello", re.S))
