"""Much of everything: a long conversation and a long list of them."""

import time

from playwright.sync_api import Page, expect

from apiary import database
from apiary.host.conversations import LISTED
from apiary.host.tables import Conversation, Message
from tests.browser.conftest import Site
from tests.browser.test_conversations import settle, titles

TURNS = 120


def talk(site: Site, owner: str) -> str:
    with site.app.app_context(), database.connection_context():
        made = Conversation.create(owner=owner, title="Long")
        Message.insert_many(
            {
                "id": f"message{number:015d}",
                "conversation": made.id,
                "position": number,
                "role": "assistant" if number % 2 else "user",
                "text": f"**Turn {number}**\n\n" + "and much hay. " * 60,
                "state": "complete" if number % 2 else "sent",
            }
            for number in range(TURNS)
        ).execute()
        found: str = made.id
        return found


def position(page: Page) -> int:
    found: int = page.evaluate("document.scrollingElement.scrollTop")
    return found


def at_end(page: Page) -> bool:
    root = "document.scrollingElement"
    left: int = page.evaluate(f"{root}.scrollHeight - {root}.scrollTop - {root}.clientHeight")
    return left < 5


def test_a_long_conversation_opens_at_its_end_and_scrolls(page: Page, site: Site) -> None:
    address = f"c/{talk(site, settle(page, site))}"
    page.goto(site / address)
    expect(page.locator(".answer .prose").last).to_be_in_viewport()
    page.wait_for_timeout(300)
    assert at_end(page)
    page.mouse.move(700, 400)
    seen = position(page)
    for _ in range(12):
        page.mouse.wheel(0, -300)
        # A page that holds its reader back never gets there.
        page.wait_for_function("(seen) => document.scrollingElement.scrollTop < seen", arg=seen)
        seen = position(page)
    # Whoever reads stays where they are while what stands above gets its height.
    page.wait_for_timeout(600)
    assert position(page) != 0 and not at_end(page)
    expect(page.locator("#jump")).to_be_visible()
    # All of it is dressed in the end, seen or not.
    expect(page.locator(".answer .prose:not(.dressed)")).to_have_count(0)
    page.click("#jump")
    page.wait_for_timeout(200)
    assert at_end(page)
    page.goto(site.url)
    page.goto(site / f"{address}#m-message{61:015d}")
    sought = page.locator(f"#m-message{61:015d}")
    expect(sought).to_be_focused()
    expect(sought.locator("strong")).to_be_in_viewport()
    page.wait_for_timeout(500)
    expect(sought.locator("strong")).to_be_in_viewport()


def test_older_conversations_are_one_click_away(page: Page, site: Site) -> None:
    owner = settle(page, site)
    now = time.time()
    with site.app.app_context(), database.connection_context(), database.atomic():
        for number in range(LISTED + 30):
            Conversation.create(owner=owner, title=f"Talk {number}", updated=now - number)
    page.goto(site.url)
    assert len(titles(page)) == LISTED
    page.fill("#filter", f"Talk {LISTED + 7}")
    expect(page.locator("#hits a")).to_have_text([f"Talk {LISTED + 7}"])
    expect(page.locator("#older")).to_be_hidden()
    page.fill("#filter", "")
    page.focus("#older")
    page.keyboard.press("Enter")
    expect(page.locator("#conversations a").nth(LISTED)).to_be_focused()
    assert titles(page)[LISTED:] == [f"Talk {n}" for n in range(LISTED, LISTED + 30)]
    expect(page.locator("#older")).to_be_hidden()
    row = page.locator("#conversations li").last
    row.hover()
    row.locator(".row-more").click()
    page.click('#row-menu [data-action="pin"]')
    expect(page.locator("#conversations a").first).to_have_text(f"Talk {LISTED + 29}")
