"""Connect in a real browser: the popup, its dialog, and every ending a person can meet."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Site
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


def test_connect(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    expect(page.locator(STATUS)).to_have_text("Not connected.")
    window = press(page)
    expect(page.locator(WAITING)).to_be_visible()
    expect(page.locator(f"{WAITING} h2")).to_have_text("Waiting for approval…")
    marker = page.evaluate("window.marker = 'same page'")
    answer(window)
    gone(window)
    expect(page.locator(WAITING)).to_be_hidden()
    expect(page.locator(STATUS)).to_contain_text("✓ Connected as user_2yOP")
    assert page.evaluate("window.marker") == marker
    assert page.evaluate("document.activeElement.dataset.role") == "status"
    assert page.locator(CARD).get_attribute("data-source") == "oauth"
    assert site.sandbox.exchanges == 1
    assert "code=" not in page.url
    page.reload()
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_first_message_connect_answer(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.fill("textarea", "Do bees dance?")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No brain connected yet. Pick a provider.").first).to_be_visible()
    approve(page)
    expect(page.locator("#turns")).to_contain_text(
        re.compile("Do bees dance[?].*Do bees dance[?]", re.S)
    )
    expect(page.get_by_text("Your OpenRouter account pays")).to_be_visible()
    page.reload()
    expect(page.locator("#turns")).to_contain_text(
        re.compile("Do bees dance[?].*Do bees dance[?]", re.S)
    )


@pytest.mark.parametrize(
    "policy", ["same-origin", "same-origin-allow-popups", "noopener-allow-popups"]
)
@pytest.mark.parametrize("sign_in", [False, True], ids=["", "sign-in"])
def test_a_severed_opener(page: Page, site: Site, policy: str, sign_in: bool) -> None:
    site.sandbox.state.switches.coop = policy
    site.sandbox.state.switches.sign_in = sign_in
    page.goto(site / "settings/")
    window = press(page)
    if sign_in:
        answer(window, "sign-in")
    answer(window)
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    expect(page.locator(WAITING)).to_be_hidden()


@pytest.mark.parametrize("deny", ["bare", "error"])
def test_deny(page: Page, site: Site, deny: str) -> None:
    site.sandbox.state.switches.deny = deny
    page.goto(site / "settings/")
    window = press(page)
    answer(window, "deny")
    gone(window)
    expect(page.locator(NOTICE)).to_contain_text("You declined the request. Nothing was saved.")
    expect(page.locator(WAITING)).to_be_hidden()
    expect(page.locator(CONNECT)).to_be_focused()
    page.reload()
    expect(page.locator(NOTICE)).to_contain_text("You declined")
    approve(page)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    expect(page.locator(NOTICE)).to_be_hidden()


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_cancel_and_a_late_approval(page: Page, site: Site, how: str) -> None:
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    page.bring_to_front()
    if how == "button":
        page.click(f'{WAITING} [data-action="cancel"]')
    else:
        page.keyboard.press("Escape")
    expect(page.locator(WAITING)).to_be_hidden()
    expect(page.locator(NOTICE)).to_contain_text("Connecting was cancelled. Nothing was saved.")
    gone(window)
    assert site.sandbox.exchanges == 0


def test_a_closed_window_is_no_cancel(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    window.evaluate("window.close()")
    gone(window)
    page.bring_to_front()
    hint = page.locator(f'{WAITING} [data-role="waiting-hint"]')
    expect(hint).to_be_visible()
    approve(page, f'{WAITING} [data-action="again"]')
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    assert site.sandbox.exchanges == 1


def test_a_double_click_is_one_flow(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    with page.expect_popup() as opened:
        page.dblclick(CONNECT)
    answer(opened.value)
    gone(opened.value)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    assert site.sandbox.exchanges == 1
    assert len(page.context.pages) == 1


def test_a_reload_in_the_middle_goes_on(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    page.reload()
    expect(page.locator(WAITING)).to_be_visible()
    answer(window)
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    expect(page.locator(WAITING)).to_be_hidden()


def test_the_settings_page_closed_meanwhile(context: BrowserContext, site: Site) -> None:
    page = context.new_page()
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    page.evaluate("window.close()")
    page.goto("about:blank")
    answer(window)
    window.wait_for_url("**/settings/#openrouter")
    expect(window.locator(STATUS)).to_contain_text("Connected as")


def test_two_tabs(context: BrowserContext, site: Site) -> None:
    one, two = context.new_page(), context.new_page()
    one.goto(site / "settings/")
    two.goto(site / "settings/")
    first = press(one)
    first.wait_for_selector('[data-action="approve"]')
    second = press(two)
    answer(second)
    gone(second)
    for tab in (one, two):
        expect(tab.locator(STATUS)).to_contain_text("Connected as")
        expect(tab.locator(WAITING)).to_be_hidden()
    assert site.sandbox.exchanges == 1


@pytest.mark.parametrize(
    ("exchange", "words"),
    [
        ("403", "did not accept the approval. Nothing was saved"),
        ("reset-late", "A key may exist"),
        ("html", "A key may exist"),
    ],
)
def test_a_failed_exchange(page: Page, site: Site, exchange: str, words: str) -> None:
    site.sandbox.state.switches.exchange = exchange
    page.goto(site / "settings/")
    approve(page)
    expect(page.locator(NOTICE)).to_contain_text(words)
    link = page.locator(f'{CARD} [data-role="notice-link"]')
    expect(link).to_be_visible(visible=words.startswith("A key"))
    page.reload()
    expect(page.locator(NOTICE)).to_contain_text(words)


def test_a_slow_exchange_says_so(page: Page, site: Site) -> None:
    site.sandbox.state.switches.exchange_delay = 2.5
    page.goto(site / "settings/")
    window = press(page)
    answer(window)
    expect(page.locator(f"{WAITING} h2")).to_have_text("Fetching your key…")
    page.keyboard.press("Escape")
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_nobody_has_to_look_on_while_a_key_is_fetched(page: Page, site: Site) -> None:
    """Where the server died in the middle, the outcome is not known for a minute."""
    site.sandbox.state.switches.exchange_delay = 4
    page.goto(site / "settings/")
    window = press(page)
    answer(window)
    expect(page.locator(f"{WAITING} h2")).to_have_text("Fetching your key…")
    shown = page.locator(f"{WAITING} button:visible")
    expect(shown).to_have_text(["Close"])
    shown.click()
    expect(page.locator(WAITING)).to_be_hidden()
    assert not window.is_closed()
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_another_account_asks_first(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    approve(page)
    question = page.locator(f'{CARD} [data-role="question"]')
    for action, expected in [("keep-old", "user_2yOP"), ("replace", "user_2zHn")]:
        window = press(page)
        window.select_option("select[name=account]", index=1)
        answer(window)
        expect(question).to_be_visible()
        expect(question).to_contain_text("another account")
        expect(page.locator(STATUS)).to_contain_text("user_2yOP")
        gone(window)
        page.click(f'{CARD} [data-action="{action}"]')
        expect(question).to_be_hidden()
        expect(page.locator(STATUS)).to_contain_text(expected)


def test_the_cap(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    page.click(f"{CARD} .cap summary")
    page.fill(f'{CARD} input[name="limit"]', "5")
    window = press(page)
    expect(window.locator("body")).to_contain_text("$5.00")
    answer(window)
    gone(window)
    expect(page.locator(f'{CARD} [data-fact="limit"]')).to_have_text("$5.00, $5.00 left")
    expect(page.locator(f'{CARD} [data-role="meter"]')).to_be_visible()


def test_a_card_that_knows_it_first_lets_the_dialog_close(
    context: BrowserContext, page: Page, site: Site
) -> None:
    """Another tab may tell the card, before the dialog has asked, that it is connected."""
    page.goto(site / "settings/")
    other = context.new_page()
    other.goto(site / "settings/")
    approve_elsewhere_first(page, other)
    expect(page.locator(CARD)).to_have_attribute("data-state", "connected")
    expect(page.locator(WAITING)).to_be_visible()
    page.unroute(ASKING)
    expect(page.locator(WAITING)).to_be_hidden()
    expect(page.locator(STATUS)).to_be_focused()
