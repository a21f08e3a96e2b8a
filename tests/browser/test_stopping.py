"""Stop, pressed before anything came back."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_answers import entered, quiet, say

SAID = "Stopped before an answer began. Your message is kept."


@pytest.fixture
def chat(page: Page, site: Site, paste_key: str) -> Iterator[Page]:
    yield entered(page, site, paste_key)


@pytest.mark.parametrize("what", ["**/c", "**/messages"])
def test_stop_while_the_request_hangs(chat: Page, site: Site, what: str) -> None:
    chat.route(what, lambda route: None)
    say(chat, "Do bees dance?")
    expect(chat.locator("#stop")).to_be_visible()
    chat.click("#stop")
    trouble = chat.locator(".trouble:visible")
    expect(trouble).to_contain_text(SAID)
    expect(chat.locator("#offline")).to_be_hidden()
    expect(chat.locator("#text")).to_be_focused()
    # Kept over a reload, and sent again it is asked once.
    chat.unroute(what)
    trouble.get_by_role("button", name="Try again").click()
    expect(chat.locator(".prose")).to_have_text("Do bees dance?")
    quiet(chat)
    expect(chat.locator(".asked")).to_have_count(1)
    expect(chat.locator("#conversations a")).to_have_count(1)
    assert len(site.sandbox.state.journal.chats()) == 1
    expect(chat.locator("#text")).to_have_value("")


def test_what_was_stopped_is_there_after_a_reload(chat: Page, site: Site) -> None:
    chat.route("**/messages", lambda route: None)
    say(chat, "Do bees dance?")
    chat.click("#stop")
    expect(chat.locator(".trouble:visible")).to_contain_text(SAID)
    chat.unroute("**/messages")
    chat.goto(site.url)
    expect(chat.locator("#text")).to_have_value("Do bees dance?")
