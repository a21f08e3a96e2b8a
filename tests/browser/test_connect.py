"""Connect in a real browser: the popup, its dialog, and every ending a person can meet."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import MakeSite, Site

CARD = 'section[data-provider="openrouter"]'
CONNECT = f'{CARD} [data-action="connect"]'
WAITING = f'{CARD} dialog[data-role="waiting"]'
NOTICE = f'{CARD} [data-role="notice"]'
STATUS = f'{CARD} [data-role="status"]'


def press(page: Page, selector: str = CONNECT) -> Page:
    """Press Connect and return the window that opens."""
    with page.expect_popup() as opened:
        page.click(selector)
    return opened.value


def answer(window: Page, action: str = "approve") -> None:
    window.click(f'[data-action="{action}"]', no_wait_after=True)


def gone(window: Page) -> None:
    if not window.is_closed():
        window.wait_for_event("close")


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
    window = press(page)
    answer(window)
    gone(window)
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
    window = press(page)
    answer(window)
    gone(window)
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
    window = press(page, f'{WAITING} [data-action="again"]')
    answer(window)
    gone(window)
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
        ("403", "did not accept the sign-in"),
        ("reset-late", "A key may exist"),
        ("html", "A key may exist"),
    ],
)
def test_a_failed_exchange(page: Page, site: Site, exchange: str, words: str) -> None:
    site.sandbox.state.switches.exchange = exchange
    page.goto(site / "settings/")
    window = press(page)
    answer(window)
    gone(window)
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


def test_another_account_asks_first(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    answer_window = press(page)
    answer(answer_window)
    gone(answer_window)
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
    page.route("**/flows/*", lambda route: route.abort())
    page.bring_to_front()
    expect(page.locator(f'{WAITING} [data-role="waiting-text"]')).to_contain_text("Cannot reach")
    page.unroute("**/flows/*")
    answer(window)
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_disconnect(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    answer(window)
    gone(window)
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
    window = press(page)
    answer(window)
    gone(window)
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
    window = press(page)
    answer(window)
    gone(window)
    expect(page.locator("#turns")).to_contain_text(re.compile("First.*First", re.S))
    revoke(site)
    page.fill("textarea", "Second")
    page.keyboard.press("Enter")
    expect(page.get_by_text("no longer accepts this key").first).to_be_visible()
    page.get_by_role("button", name="Reconnect", exact=True).click()
    window = press(page)
    answer(window)
    gone(window)
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
