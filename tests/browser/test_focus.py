"""By keyboard alone: what had the focus goes away, and the focus stands where one goes on."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Site
from tests.browser.popup import CONNECT, approve
from tests.browser.test_answers import choose, entered, quiet, unlisted


@pytest.fixture
def chat(page: Page, site: Site, paste_key: str) -> Iterator[Page]:
    yield entered(page, site, paste_key)


def press(page: Page, selector: str) -> None:
    """Press a button by keyboard, once it is there: one that is hidden takes no focus."""
    button = page.locator(selector)
    expect(button).to_be_visible()
    button.focus()
    expect(button).to_be_focused()
    page.keyboard.press("Enter")


def say(page: Page, text: str) -> None:
    page.focus("#text")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def answered(page: Page) -> None:
    """The focus is on the newest answer, and Tab goes on among its buttons."""
    quiet(page)
    expect(page.locator(".answer:visible").last).to_be_focused()
    page.keyboard.press("Tab")
    newest = page.locator(".answer:visible").last
    assert newest.evaluate(
        "(el) => el !== document.activeElement && el.contains(document.activeElement)"
    )


def test_stop_leads_back_to_the_box(chat: Page, site: Site) -> None:
    site.sandbox.state.switches.pace = 0.4
    choose(chat, "sandbox/slow")
    say(chat, "count")
    expect(chat.locator(".prose")).to_contain_text("Counting slowly: 1")
    press(chat, "#stop")
    expect(chat.locator("#text")).to_be_focused()
    quiet(chat)
    expect(chat.locator("#text")).to_be_focused()


def test_regenerate_leads_to_the_new_answer(chat: Page) -> None:
    say(chat, "one")
    quiet(chat)
    press(chat, '[data-action="regenerate"]')
    expect(chat.locator(".at:visible")).to_have_text("2 / 2")
    answered(chat)


def test_another_model_leads_to_its_answer(chat: Page) -> None:
    say(chat, "one")
    quiet(chat)
    press(chat, '[data-action="regenerate-with"]')
    chat.keyboard.type("sandbox/reasoning")
    chat.keyboard.press("Enter")
    expect(chat.locator(".answer:visible .prose")).to_contain_text("After some thought")
    answered(chat)


def test_continue_stays_with_its_answer(chat: Page) -> None:
    choose(chat, "sandbox/cut")
    say(chat, "one")
    expect(chat.locator(".trouble")).to_be_visible()
    choose(chat, "sandbox/echo")
    press(chat, '[data-action="continue"]')
    expect(chat.locator(".stats")).to_contain_text("Continued")
    answered(chat)


def test_trying_again_leads_to_the_answer(chat: Page) -> None:
    unlisted(chat, "sandbox/error-503")
    say(chat, "one")
    expect(chat.locator(".trouble .button")).to_be_visible()
    unlisted(chat, "sandbox/echo")
    press(chat, ".trouble .button")
    expect(chat.locator(".prose").last).to_have_text("one")
    answered(chat)


def test_an_edit_leads_to_its_answer_and_the_switch_to_the_version(chat: Page) -> None:
    say(chat, "one")
    quiet(chat)
    press(chat, '[data-action="edit"]')
    expect(chat.locator(".edit textarea")).to_be_focused()
    chat.keyboard.type(" more")
    chat.keyboard.press("Enter")
    expect(chat.locator(".prose").last).to_have_text("one more")
    answered(chat)
    press(chat, '.asked .switch [aria-label="Version before"]')
    expect(chat.locator(".prose.dressed")).to_have_text("one")
    expect(chat.locator(".asked")).to_be_focused()


def test_dialogs_and_menus_give_it_back(chat: Page) -> None:
    press(chat, "#pick")
    expect(chat.locator("#models-search")).to_be_focused()
    chat.keyboard.press("Escape")
    expect(chat.locator("#pick")).to_be_focused()
    press(chat, "#pick")
    chat.keyboard.type("sandbox/slow")
    chat.keyboard.press("Enter")
    expect(chat.locator("#text")).to_be_focused()
    press(chat, "#payer")
    expect(chat.locator(".payer-entry")).to_be_focused()
    chat.keyboard.press("Escape")
    expect(chat.locator("#payer")).to_be_focused()
    press(chat, "#payer")
    expect(chat.locator(".payer-entry")).to_be_focused()
    chat.keyboard.press("Enter")
    expect(chat.locator("#text")).to_be_focused()
    for how in ("Escape", "cancel", "save"):
        press(chat, "#instructions-open")
        expect(chat.locator("#instructions")).to_be_visible()
        if how == "Escape":
            chat.keyboard.press(how)
        else:
            press(chat, f'#instructions [data-action="{how}"]')
        expect(chat.locator("#instructions-open")).to_be_focused()
    press(chat, '[data-action="shortcuts"]')
    chat.keyboard.press("Enter")
    expect(chat.locator('[data-action="shortcuts"]')).to_be_focused()


def test_the_list_at_the_side(chat: Page) -> None:
    say(chat, "one")
    quiet(chat)
    chat.focus("#conversations .row-more")
    for action in ("pin", "rename"):
        press(chat, "#conversations .row-more")
        press(chat, f'#row-menu [data-action="{action}"]')
        if action == "rename":
            chat.keyboard.type("Other")
            chat.keyboard.press("Enter")
            expect(chat.locator("#conversations a")).to_be_focused()
        else:
            expect(chat.locator("#conversations .row-more")).to_be_focused()
    press(chat, "#conversations .row-more")
    press(chat, '#row-menu [data-action="delete"]')
    expect(chat.locator("#toast button")).to_be_focused()
    chat.keyboard.press("Escape")
    expect(chat.locator("#text")).to_be_focused()


def test_the_way_to_the_end(chat: Page) -> None:
    chat.set_viewport_size({"width": 1280, "height": 300})
    for words in ("one", "two"):
        say(chat, words)
        quiet(chat)
    chat.evaluate("scrollTo(0, 0)")
    press(chat, "#jump")
    expect(chat.locator(".answer").last).to_be_focused()


def test_a_favourite_that_is_gone(chat: Page) -> None:
    chat.evaluate(
        "localStorage.setItem('apiary:favourites', JSON.stringify(['openrouter/openai/gpt-lost']))"
    )
    press(chat, "#pick")
    press(chat, ".models-group .mini >> text=Forget it")
    expect(chat.locator("#models-search")).to_be_focused()


def test_the_answer_that_comes_by_itself_shows_no_ring_before_a_key(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(site.url)
    page.fill("#text", "Do bees sleep?")
    page.click("#send")
    page.click(CONNECT)
    page.click('[data-action="approve"]', no_wait_after=True)
    expect(page.locator(".answer .prose")).to_have_text(re.compile("Do bees sleep"))
    quiet(page)
    answer = page.locator(".answer")
    expect(answer).to_be_focused()
    ring = "(el) => getComputedStyle(el).outlineStyle"
    assert answer.evaluate(ring) == "none"
    # Who uses keys sees where they are.
    page.keyboard.press("Shift")
    assert answer.evaluate(ring) == "solid"
    page.mouse.click(5, 400)
    assert answer.evaluate(ring) == "none"
    page.keyboard.press("Tab")


def test_one_connect_takes_the_focus_once(page: Page, site: Site) -> None:
    """Whoever has gone on by then stays there, though the page has yet to ask who pays now."""
    page.goto(site.url)
    held: list[Route] = []
    page.route("**/payer?*", lambda route: held.append(route))
    approve(page)
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#attach")).to_be_focused()
    for request in held:
        request.continue_()
    expect(page.locator("#connect-panel")).to_be_hidden()
    expect(page.locator("#attach")).to_be_focused()


def test_a_connect_in_another_tab_takes_no_focus(page: Page, site: Site, paste_key: str) -> None:
    page.goto(site.url)
    search = page.locator("#filter")
    search.focus()
    other = page.context.new_page()
    other.goto(site / "settings/")
    approve(other)
    expect(page.locator("#connect-panel")).to_be_hidden()
    expect(page.locator("#payer")).to_contain_text("OpenRouter")
    expect(search).to_be_focused()
