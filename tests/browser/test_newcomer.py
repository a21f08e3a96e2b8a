"""What a newcomer once stumbled over."""

import re

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import MakeSite, Site
from tests.browser.popup import (
    ASKING,
    CARD,
    CONNECT,
    NOTICE,
    STATUS,
    WAITING,
    answer,
    approve,
    approve_elsewhere_first,
    gone,
    press,
)


def test_connect_again_right_after_cancel(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    first = press(page)
    first.wait_for_selector('[data-action="approve"]')
    page.bring_to_front()
    page.keyboard.press("Escape")
    expect(page.locator(CONNECT)).to_be_focused()
    gone(first)
    second = press(page)
    second.wait_for_selector('[data-action="approve"]')
    # Longer than the page takes to help a window that does not close by itself.
    page.wait_for_timeout(2500)
    assert not second.is_closed()
    answer(second)
    gone(second)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_a_cap_that_is_no_amount_opens_no_window(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    page.click(f"{CARD} .cap summary")
    page.fill(f'{CARD} input[name="limit"]', "ten")
    page.click(CONNECT)
    expect(page.locator(WAITING)).to_be_hidden()
    assert len(page.context.pages) == 1
    assert page.locator(f'{CARD} input[name="limit"]').evaluate("(e) => e.validationMessage")
    page.fill(f'{CARD} input[name="limit"]', "10")
    approve(page)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_the_window_says_what_hinders_and_the_page_hears_it(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    # As an old page would send it, or one with its check taken out.
    page.evaluate(
        "document.querySelector('#openrouter [name=limit]').addEventListener('input', (e) =>"
        " e.target.form.addEventListener('formdata', (f) => f.formData.set('limit', 'ten')))"
    )
    page.click(f"{CARD} .cap summary")
    page.fill(f'{CARD} input[name="limit"]', "5")
    window = press(page)
    expect(window.locator("h1")).to_have_text("That is not an amount")
    expect(page.locator(WAITING)).to_be_hidden()
    expect(page.locator(NOTICE)).to_contain_text("an amount in US dollars")


def test_the_focus_after_connecting_in_the_chat(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(page.locator("textarea")).to_be_focused()
    page.keyboard.type("Do bees dance?")
    page.keyboard.press("Enter")
    approve(page)
    expect(page.locator("#turns")).to_contain_text(re.compile("dance.*dance", re.S))
    expect(page.locator("textarea")).to_be_focused()


def test_the_focus_where_the_chat_knew_before_the_dialog(
    context: BrowserContext, page: Page, site: Site
) -> None:
    """Another tab may tell the page of the connection while its dialog still waits."""
    page.goto(site.url)
    other = context.new_page()
    other.goto(site / "settings/")
    page.bring_to_front()
    page.keyboard.type("Do bees dance?")
    page.keyboard.press("Enter")
    approve_elsewhere_first(page, other)
    expect(page.locator("#turns")).to_contain_text(re.compile("dance.*dance", re.S))
    page.unroute(ASKING)
    expect(page.locator("textarea")).to_be_focused()


def test_check_now_keeps_the_focus_and_says_so(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    approve(page)
    page.click(f'{CARD} [data-action="check"]')
    expect(page.locator(NOTICE)).to_contain_text("Checked just now")
    expect(page.locator(f'{CARD} [data-action="check"]')).to_be_focused()


def test_an_answer_that_is_cut_off_on_its_way_changes_no_card(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    approve(page)
    cut = {"status": 200, "content_type": "application/json", "body": '{"state": "conn'}
    page.route("**/settings/openrouter/check", lambda route: route.fulfill(**cut))
    page.click(f'{CARD} [data-action="check"]')
    expect(page.locator(NOTICE)).to_contain_text("Reload it")
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_a_used_up_model_gives_way_to_who_connects(
    page: Page, make_site: MakeSite, paste_key: str
) -> None:
    site = make_site(
        APIARY_BUILTIN_PROVIDER="openrouter",
        APIARY_BUILTIN_MODEL="sandbox/echo",
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_DAILY_MESSAGES="1",
    )
    page.goto(site.url)
    for text in ("First", "Second"):
        page.fill("textarea", text)
        page.keyboard.press("Enter")
        expect(page.locator("#turns")).to_contain_text(text)
        page.wait_for_timeout(700)
    expect(page.locator("body")).to_contain_text("used up")
    page.goto(site / "settings/")
    approve(page)
    page.go_back()
    page.goto(site.url)
    expect(page.locator("#turns")).to_contain_text(re.compile("Second.*Second", re.S))


def test_a_phone_shows_the_way_to_everything_on_the_first_page(
    browser: Browser, site: Site
) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site.url)
    expect(page.get_by_role("button", name="Conversations")).to_be_in_viewport()
    page.fill("textarea", "Hello")
    page.tap('button:has-text("Send")')
    page.tap(CONNECT)
    answer(page)
    expect(page.locator("#turns")).to_contain_text(re.compile("Hello.*Hello", re.S))
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_role("button", name="Conversations")).to_be_in_viewport()
    context.close()


def test_the_menu_of_a_conversation_that_has_just_begun(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.fill("textarea", "Hello")
    page.keyboard.press("Enter")
    expect(page.locator(CONNECT)).to_be_visible()
    page.click("#more summary")
    expect(page.locator('#more a[data-tail="/export.json"]')).to_have_attribute(
        "href", re.compile(r"/c/[\w-]+/export\.json$")
    )
