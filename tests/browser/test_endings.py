"""The rarer endings of Connect, as a person meets them: each has a sentence and a way on."""

import time
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, expect

from apiary import database
from apiary.models import StoredFlow
from apiary.sandbox import Ask
from tests.browser.conftest import WHOLE, MakeSite, Site
from tests.browser.popup import CONNECT, NOTICE, STATUS, WAITING, answer, approve, gone, press


def way_back(window: Page, site: Site) -> str:
    """The address that the provider would lead to after an approval."""
    window.wait_for_selector('[data-action="approve"]')
    query = parse_qs(urlsplit(window.url).query)
    [callback], [challenge] = query["callback_url"], query["code_challenge"]
    return f"{callback}?code={site.sandbox.state.issue(Ask(callback, challenge, 'S256'))}"


def test_another_browser_with_another_guest(page: Page, browser: Browser, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    link = way_back(window, site)
    other = browser.new_context()
    stranger = other.new_page()
    stranger.goto(site / "settings/")
    stranger.goto(link)
    expect(stranger.locator("h1")).to_contain_text("account while connecting")
    stranger.click("a.button")
    expect(stranger.locator(STATUS)).to_have_text("Not connected.")
    other.close()
    assert site.sandbox.exchanges == 0
    answer(window)
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_the_cookie_is_gone(context: BrowserContext, page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    context.clear_cookies(name="apiary_flow")
    answer(window)
    expect(window.locator("h1")).to_contain_text("cookie of this attempt is gone")
    expect(window.locator("body")).to_contain_text("Allow cookies")
    assert site.sandbox.exchanges == 0
    # The page that waits does not wait for what cannot come.
    expect(page.locator(NOTICE)).to_contain_text("did not send the cookie")
    expect(page.locator(WAITING)).to_be_hidden()


def test_another_account_in_the_same_browser_meanwhile(
    context: BrowserContext, page: Page, site: Site
) -> None:
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    # Whoever visits next in this browser is another guest.
    context.clear_cookies(name="apiary_session")
    other = context.new_page()
    other.goto(site / "settings/")
    answer(window)
    expect(window.locator("h1")).to_contain_text("account while connecting")
    assert site.sandbox.exchanges == 0


def test_too_late(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    with site.app.app_context(), database.connection_context():
        StoredFlow.update(started=time.time() - 301).execute()
    expect(page.locator(WAITING)).to_be_hidden()
    expect(page.locator(NOTICE)).to_contain_text("took longer than five minutes")
    expect(page.locator(CONNECT)).to_be_focused()
    answer(window)
    gone(window)
    assert site.sandbox.exchanges == 0
    approve(page)
    expect(page.locator(STATUS)).to_contain_text("Connected as")


def test_superseded(context: BrowserContext, site: Site) -> None:
    one, two = context.new_page(), context.new_page()
    one.goto(site / "settings/")
    two.goto(site / "settings/")
    with two.expect_popup() as opened:
        two.click(CONNECT)
    late = opened.value
    link = way_back(late, site)
    # A window of its own: in one browser the two tabs would share it.
    with one.expect_popup() as opened:
        one.click(CONNECT)
    first = opened.value
    answer(first)
    gone(first)
    expect(one.locator(STATUS)).to_contain_text("Connected as")
    expect(two.locator(STATUS)).to_contain_text("Connected as")
    # Nobody listens any more, so the last page stays long enough to be read.
    for page in (one, two):
        page.goto("about:blank")
    reader = context.new_page()
    reader.route("**/done.js", lambda route: route.abort())
    reader.goto(link)
    expect(reader.locator("h1")).to_have_text("Already done")
    expect(reader.locator("body")).to_contain_text("Another window finished connecting first")
    assert site.sandbox.exchanges == 1


def sign_up(page: Page, site: Site, name: str) -> None:
    page.goto(site / "sign-up")
    page.fill('input[name="name"]', name)
    page.fill('input[name="password"]', "correct horse")
    page.click('main button:has-text("Sign up")')
    page.wait_for_url(lambda url: "sign-up" not in url)


def test_the_same_member_in_another_browser(page: Page, browser: Browser, site: Site) -> None:
    sign_up(page, site, "Maya")
    page.goto(site / "settings/")
    link = way_back(press(page), site)
    other = browser.new_context()
    second = other.new_page()
    second.goto(site / "sign-in")
    second.fill('input[name="name"]', "Maya")
    second.fill('input[name="password"]', "correct horse")
    second.click('main button:has-text("Sign in")')
    second.wait_for_url(lambda url: "sign-in" not in url)
    second.goto(link)
    expect(second.locator("h1")).to_have_text("This was started in another browser")
    assert site.sandbox.exchanges == 0
    other.close()


def test_signed_out_where_nobody_is_a_guest(
    context: BrowserContext, page: Page, make_site: MakeSite
) -> None:
    site = make_site(APIARY_GUESTS="0")
    sign_up(page, site, "Maya")
    page.goto(site / "settings/")
    window = press(page)
    window.wait_for_selector('[data-action="approve"]')
    context.clear_cookies(name="apiary_session")
    answer(window)
    expect(window.locator("h1")).to_have_text("You were signed out while connecting")
    assert site.sandbox.exchanges == 0


def test_enter_twice_is_one_flow(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    page.focus(CONNECT)
    with page.expect_popup() as opened:
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
    window = opened.value
    answer(window)
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    assert site.sandbox.exchanges == 1 and len(page.context.pages) == 1


def test_cookies_are_blocked(context: BrowserContext, site: Site) -> None:
    context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'cookieEnabled', { get: () => false })"
    )
    page = context.new_page()
    page.goto(site / "settings/")
    page.click(CONNECT)
    expect(page.locator(NOTICE)).to_contain_text("Your browser blocks cookies")
    expect(page.locator(WAITING)).to_be_hidden()
    assert len(context.pages) == 1


def test_a_replayed_link(page: Page, site: Site) -> None:
    page.goto(site / "settings/")
    window = press(page)
    link = way_back(window, site)
    window.evaluate("(url) => location.assign(url)", link)
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    # Back, reload or a link from the history: the outcome, and no second exchange.
    page.goto(link)
    page.wait_for_url("**/settings/#openrouter")
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    assert site.sandbox.exchanges == 1


def test_back_from_the_provider_out_of_the_back_forward_cache(site: Site, browser: Browser) -> None:
    kind = browser.browser_type
    # Playwright switches this cache off, and where there are no windows it does not exist.
    cached = kind.launch(
        executable_path=WHOLE,
        args=["--no-sandbox"],
        ignore_default_args=["--disable-back-forward-cache"],
    )
    context = cached.new_context(viewport={"width": 390, "height": 800})
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site / "settings/")
    page.evaluate("addEventListener('pageshow', (event) => { window.restored = event.persisted; })")
    page.click(CONNECT)
    page.wait_for_selector('[data-action="approve"]')
    # A page that comes out of the cache fires no load event.
    page.go_back(wait_until="commit")
    page.wait_for_function("window.restored === true")
    assert page.locator(CONNECT).get_attribute("aria-disabled") is None
    page.click(CONNECT)
    answer(page)
    page.wait_for_url("**/settings/#openrouter")
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    cached.close()


def test_the_page_around_is_told_of_every_end(page: Page, site: Site) -> None:
    """By an event, after the dialog has closed and the card has said how it ended."""
    page.goto(site / "settings/")
    page.evaluate("""() => {
      window.told = [];
      document.addEventListener("apiary:settled", ({ detail }) => {
        const open = document.querySelector("dialog:modal") !== null;
        const inside = document.activeElement.closest("section")?.dataset.provider;
        told.push({ ...detail, open, inside });
      });
    }""")
    window = press(page)
    answer(window, "deny")
    expect(page.locator(NOTICE)).to_contain_text("You declined")
    approve(page)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    end = {"provider": "openrouter", "open": False, "inside": "openrouter"}
    assert page.evaluate("told") == [end | {"state": "none"}, end | {"state": "connected"}]
