"""What is told is in sight, and what is pressed stays where it was."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from apiary import database
from apiary.models import StoredConnection
from apiary.sandbox import PASTE_KEY
from tests.browser.conftest import MakeSite, Site
from tests.browser.popup import CARD, CONNECT, STATUS
from tests.browser.test_answers import paste, quiet


def test_what_became_of_an_import(page: Page, site: Site) -> None:
    page.goto(site / "account")
    for data, words in [(b"{", "holds no JSON"), (json.dumps([]).encode(), "no conversations")]:
        file = {"name": "a.json", "mimeType": "application/json", "buffer": data}
        page.set_input_files('input[type="file"]', file)
        page.get_by_role("button", name="Import", exact=True).click()
        told = page.locator(".error")
        expect(told).to_contain_text(words)
        expect(told).to_be_in_viewport()


def test_send_stays_at_its_side(page: Page, site: Site, paste_key: str) -> None:
    """Also beside a long sentence about who pays."""
    page.goto(site / "settings/")
    paste(page, paste_key)
    page.goto(site.url)

    def from_the_right() -> float:
        gap: float = page.evaluate(
            "document.querySelector('.composer-box').getBoundingClientRect().right"
            " - document.querySelector('#send').getBoundingClientRect().right"
        )
        return gap

    before = from_the_right()
    page.fill("#text", "hello")
    page.eval_on_selector("[name=model]", "(field) => field.value = 'sandbox/error-401'")
    page.click("#send")
    expect(page.locator("#payer")).to_contain_text("no longer accepts your key")
    assert from_the_right() == before


def test_an_answer_that_came_by_itself_takes_no_focus(
    page: Page, site: Site, paste_key: str
) -> None:
    page.goto(site.url)
    page.fill("#text", "hello")
    page.keyboard.press("Enter")
    expect(page.locator("#kept-hint")).to_be_visible()
    page.goto(site / "settings/")
    paste(page, paste_key)
    page.goto(site.url)
    expect(page.locator(".answer .prose")).to_contain_text("hello")
    quiet(page)
    assert page.evaluate("document.activeElement === document.body")


def test_nothing_lies_on_the_place_to_connect(browser: Browser, site: Site) -> None:
    """On a phone whose keyboard takes half of the page."""
    context = browser.new_context(
        viewport={"width": 390, "height": 430}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site.url)
    page.fill("#text", "hello")
    page.tap("#send")
    expect(page.locator("#kept-hint")).to_be_in_viewport()
    page.evaluate("scrollBy(0, -20)")
    page.wait_for_timeout(300)
    assert page.evaluate("innerHeight + scrollY < document.documentElement.scrollHeight - 40")
    expect(page.locator("#jump")).to_be_hidden()
    page.locator('[data-action="connect"]').tap()
    expect(page.locator('[data-action="approve"]')).to_be_visible()
    context.close()


def test_the_way_back_is_one_line_on_a_phone(browser: Browser, site: Site, paste_key: str) -> None:
    context = browser.new_context(
        locale="de-DE", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site / "settings/")
    paste(page, paste_key)
    page.goto(site.url)
    page.fill("#text", "hello")
    page.tap("#send")
    quiet(page)
    page.tap("header .narrow")
    page.tap("#conversations .row-more")
    page.tap('#row-menu [data-action="delete"]')
    toast = page.locator("#toast")
    expect(toast).to_be_visible()
    box, button = toast.bounding_box(), toast.locator("button").bounding_box()
    assert box and button and box["height"] < button["height"] * 1.6
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    context.close()


def test_without_scripts_disconnecting_asks(browser: Browser, site: Site, paste_key: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site / "settings/openrouter/ways")
    page.fill('[name="api_key"]', paste_key)
    page.click('[data-action="paste-key"]')
    card = page.locator("#openrouter")
    for answer, state in [("Keep connected", "connected"), ("Disconnect", "none")]:
        expect(card).to_have_attribute("data-state", "connected")
        card.locator('[data-action="disconnect"]').click()
        expect(page.locator("h1")).to_have_text("Disconnect OpenRouter?")
        page.get_by_text(answer, exact=True).click()
        expect(card).to_have_attribute("data-state", state)
    expect(card).to_contain_text("Our copy is deleted")
    context.close()


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_no_way_lies_on_another(browser: Browser, site: Site, locale: str) -> None:
    """At the top of a page, for guests and for members, who have one less."""
    context = browser.new_context(locale=locale)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site / "account")
    for who in ("guest", "member"):
        if who == "member":
            sign_up(page, site)
        for width in range(320, 560, 10):
            page.set_viewport_size({"width": width, "height": 700})
            ways = [one.bounding_box() for one in page.locator(".top a").all()]
            for n, one in enumerate(ways):
                for other in ways[n + 1 :]:
                    assert one and other
                    beside = one["x"] + one["width"] <= other["x"] + 0.5
                    beside = beside or other["x"] + other["width"] <= one["x"] + 0.5
                    below = one["y"] + one["height"] <= other["y"] + 0.5
                    below = below or other["y"] + other["height"] <= one["y"] + 0.5
                    assert beside or below, (who, width, one, other)
    context.close()


def sign_up(page: Page, site: Site) -> None:
    page.goto(site / "sign-up?next=account")
    page.fill('input[name="name"]', "Maya")
    page.fill('input[name="password"]', "correct horse")
    page.keyboard.press("Enter")
    page.wait_for_url("**/account")


def test_a_price_stands_in_one_line_on_a_phone(
    browser: Browser, site: Site, paste_key: str
) -> None:
    context = browser.new_context(locale="de-DE", viewport={"width": 390, "height": 844})
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site / "settings/")
    paste(page, paste_key)
    page.goto(site.url)
    page.click("#pick")
    told = page.locator('[data-model="sandbox/echo"] .model-facts')
    box = told.bounding_box()
    assert box and box["height"] < 30
    context.close()


def test_an_endpoint_keeps_its_address_for_the_next_key(page: Page, make_site: MakeSite) -> None:
    site = make_site(APIARY_CUSTOM_ENDPOINTS="lan")
    page.goto(site / "settings/")
    expect(page.locator("#endpoint")).to_contain_text("Guests cannot add endpoints. Sign up first.")
    expect(page.locator("#endpoint input:visible, #endpoint button:visible")).to_have_count(0)
    page.goto(site / "account")
    sign_up(page, site)
    page.goto(site / "settings/")
    expect(page.locator("#endpoint")).to_contain_text("or one in its local network")
    address = f"{site.sandbox.url}/api/v1"
    page.fill("#endpoint [name=base_url]", address)
    page.fill("#endpoint [name=api_key]", PASTE_KEY)
    page.click("#endpoint [data-action=save-key]")
    expect(page.locator("#endpoint")).to_have_attribute("data-state", "connected")
    expect(page.locator("#endpoint [name=base_url]")).to_have_value(address)
    expect(page.locator("#endpoint [name=api_key]")).to_have_value("")


def test_the_button_for_the_model_says_all_of_it(page: Page, site: Site, paste_key: str) -> None:
    """Also beside a long sentence about who pays, which has a second line."""
    page.goto(site / "settings/")
    paste(page, paste_key)
    with site.app.app_context(), database.connection_context():
        StoredConnection.update(kid="gone").execute()
    page.goto(site.url)
    expect(page.locator("#payer")).to_contain_text("cannot be read")
    for width in (600, 800, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.locator("#pick").evaluate("(el) => el.scrollWidth <= el.clientWidth"), width


def test_a_wrong_password_is_told_where_it_was_written(page: Page, site: Site) -> None:
    page.goto(site / "account")
    sign_up(page, site)
    page.set_viewport_size({"width": 390, "height": 600})
    page.fill("#password", "wrong horse")
    page.fill("#new_password", "battery staple")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_in_viewport()
    expect(page.locator("#password")).to_be_focused()
    expect(page.locator(".top [aria-current]")).to_have_text("Account")


def test_an_import_that_takes_its_time_says_so(page: Page, site: Site) -> None:
    page.goto(site / "account")
    # Playwright looks at no page that is about to be left.
    page.evaluate("addEventListener('submit', (event) => event.preventDefault())")
    file = {"name": "a.json", "mimeType": "application/json", "buffer": b"[]"}
    page.set_input_files('input[type="file"]', file)
    told = page.locator("#import").get_by_role("status")
    expect(told).to_be_empty()
    page.click("#import button")
    expect(told).to_have_text("Importing. A large file takes a while.")


def test_a_file_that_is_too_large_is_not_sent(page: Page, site: Site, tmp_path: Path) -> None:
    """The browser would be cut off while it sends, and say that the site cannot be reached."""
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(20 * 1024 * 1024 + 1)
    page.goto(site / "account")
    page.set_input_files('input[type="file"]', large)
    page.click("#import button")
    told = page.locator("#import").get_by_role("status")
    expect(told).to_have_text("The file is larger than 20 MB. Split it into smaller ones.")
    # Another one can be taken at once.
    page.set_input_files(
        'input[type="file"]', {"name": "a.json", "mimeType": "application/json", "buffer": b"[]"}
    )
    expect(told).to_be_empty()
    with page.expect_navigation():
        page.click("#import button")


def test_a_refused_field_has_the_focus(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto(site / "sign-up")
    page.fill("#name", "Maya")
    # Browsers differ in what they count; here the server refuses it.
    page.locator("#password").evaluate("(el) => { el.minLength = 0; el.value = 'short'; }")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("alert")).to_contain_text("A password has")
    expect(page.locator("#password")).to_be_focused()
    page.fill("#name", " \u200b ")
    page.fill("#password", "correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("A name")
    expect(page.locator("#name")).to_be_focused()
    page.fill("#name", "Maya")
    page.fill("#password", "correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Welcome, Maya")).to_be_visible()
    page.goto(site / "account")
    page.fill("#password", "correct horse")
    page.locator("#new_password").evaluate("(el) => { el.minLength = 0; el.value = 'short'; }")
    page.locator("#new_password").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("A password has")
    expect(page.locator("#new_password")).to_be_focused()


def test_a_key_is_named_in_one_piece(browser: Browser, site: Site, paste_key: str) -> None:
    """It would break behind `sk-`, by the server's page and by the script's."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(site / "settings/")
    with page.expect_popup() as opened:
        page.evaluate("matchMedia = () => ({ matches: false })")
        page.click(CONNECT)
    opened.value.click('[data-action="approve"]', no_wait_after=True)
    expect(page.locator(CARD)).to_have_attribute("data-state", "connected")
    for place, address in [(STATUS, None), (STATUS, "settings/"), ("#brains ~ ul li", "account")]:
        if address:
            page.goto(site / address)
        told = page.locator(place)
        expect(told).to_contain_text(re.compile(r"user_\S+ · sk-or-v1-\S+$"))
        key = told.locator(".whole")
        expect(key).to_have_text(re.compile(r"^sk-or-v1-\S+$"))
        assert key.evaluate("(el) => el.getClientRects().length") == 1
        line = "(el) => parseFloat(getComputedStyle(el).lineHeight)"
        box = key.bounding_box()
        assert box and box["height"] <= key.evaluate(line) * 1.2
        assert box["x"] + box["width"] <= 390
    context.close()


def test_the_question_stands_whole_above_the_place_to_connect(browser: Browser, site: Site) -> None:
    """On a phone, also after a reload; a question that is too long for it makes way."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    tops = """() => {
      const top = (what) => document.querySelector(what).getBoundingClientRect();
      return [top(".chat-top").bottom, top(".asked .text").top,
              top(".composer-box").top, top('[data-action="connect"]').bottom];
    }"""
    # With a short one the end of the page is near, and is not followed.
    short, longer = "What do bees do in winter?", "Do bees sleep, and if so, where? " * 4
    for words, seen in [(short, True), (longer, True), ("hello\n" * 40, False)]:
        page.goto(site.url)
        page.fill("#text", words)
        page.tap("#send")
        expect(page.locator("#kept-hint")).to_be_in_viewport()
        for again in (False, True):
            if again:
                page.goto("about:blank")
                page.go_back()
            page.wait_for_timeout(400)  # for what still moves
            head, question, box, button = page.evaluate(tops)
            assert button < box
            assert (question >= head) == seen
            expect(page.locator("#jump")).to_be_hidden()
    context.close()


def test_guests_are_not_led_to_what_they_cannot_have(page: Page, make_site: MakeSite) -> None:
    site = make_site(APIARY_CUSTOM_ENDPOINTS="public")
    page.goto(site.url)
    expect(page.locator(".others")).to_have_text(
        re.compile(r"^\s*Or use\s+Anthropic,\s+OpenAI\s*$")
    )
    sign_up(page, site)
    page.goto(site.url)
    expect(page.locator(".others")).to_contain_text("Your own endpoint")
    # The field that was refused is the one to mend.
    page.goto(site / "settings/")
    address = page.locator("#endpoint [name=base_url]")
    address.fill("http://192.168.1.5:11434/v1")
    page.click("#endpoint [data-action=save-key]")
    expect(page.locator("#endpoint [data-role=notice]")).to_contain_text("Nothing was saved.")
    expect(address).to_be_focused()
    expect(address).to_have_value("http://192.168.1.5:11434/v1")
