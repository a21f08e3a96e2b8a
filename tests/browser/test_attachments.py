"""Images and text files that go with a message, in the page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_answers import attach, choose, entered, quiet
from tests.host.test_host_attachments import PNG


@pytest.fixture
def chat(page: Page, site: Site, paste_key: str) -> Iterator[Page]:
    """A guest who has pasted a key, in a new chat with the echoing model."""
    yield entered(page, site, paste_key)


def edit(page: Page, text: str) -> None:
    """Ask the only question in other words."""
    page.click('[data-action="edit"]')
    page.fill(".edit textarea", text)
    page.keyboard.press("Enter")
    expect(page.locator(".asked:visible .at")).to_have_text("2 / 2")


def test_an_image_and_a_text_file(chat: Page, site: Site) -> None:
    attach(chat, ("bee.png", PNG), ("notes.txt", b"honey"))
    expect(chat.locator("#files .file")).to_have_count(2)
    # The model reads text only: that is said before anything is sent.
    expect(chat.locator("#blind")).to_contain_text("sandbox/echo cannot see images.")
    chat.fill("#text", "what is this?")
    chat.wait_for_timeout(400)
    chat.reload()
    expect(chat.locator("#files .file")).to_have_count(2)
    expect(chat.locator("#blind")).to_be_visible()
    chat.click("#send")
    again = chat.locator(".trouble").get_by_role("button", name="Pick another model")
    again.click()
    expect(chat.locator('[data-filter="image"]')).to_have_attribute("aria-pressed", "true")
    expect(chat.locator('#models [data-model="sandbox/echo"]')).to_be_hidden()
    chat.fill("#models-search", "openai/gpt-4o")
    chat.click('#models [data-model="openai/gpt-4o"]')
    expect(chat.locator(".answer .prose")).to_contain_text("what is this?")
    quiet(chat)
    sent = site.sandbox.state.journal.chats()[-1].body["messages"][0]["content"]
    assert [part["type"] for part in sent] == ["text", "image_url", "text"]
    expect(chat.locator(".asked .file img")).to_have_js_property("naturalWidth", 1)
    chat.reload()
    expect(chat.locator(".asked .file img")).to_have_js_property("naturalWidth", 1)
    expect(chat.locator("#files .file")).to_have_count(0)
    edit(chat, "and this?")
    expect(chat.locator(".asked:visible .file")).to_have_count(2)


def test_an_image_needs_no_words(chat: Page, site: Site) -> None:
    choose(chat, "openai/gpt-4o")
    attach(chat, ("bee.png", PNG))
    expect(chat.locator("#files .file")).to_have_count(1)
    chat.click("#send")
    quiet(chat)
    expect(chat.locator("#title")).to_have_text("bee.png")
    expect(chat.locator(".asked .file img")).to_be_visible()
    expect(chat.locator(".asked > .text")).to_be_hidden()
    chat.reload()
    expect(chat.locator("#conversations a")).to_have_text("bee.png")
    edit(chat, "What is it?")
    quiet(chat)
    assert site.sandbox.state.journal.chats()[-1].body["messages"][0]["content"][1]


def test_files_that_are_not_taken(chat: Page) -> None:
    attach(chat, ("noise.bin", b"\0\1\2\3"))
    expect(chat.locator("#file-trouble")).to_contain_text("noise.bin: This is no PNG")
    attach(chat, ("a.txt", b"words"))
    expect(chat.locator("#file-trouble")).to_be_hidden()
    chat.get_by_label("Remove a.txt").click()
    expect(chat.locator("#files")).to_be_hidden()
    expect(chat.locator("#text")).to_be_focused()


def test_pasting_and_dropping(chat: Page) -> None:
    for event, field in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        chat.evaluate(
            """([event, field]) => {
              const data = new DataTransfer();
              data.items.add(new File(["words"], `${event}.txt`, {type: "text/plain"}));
              const sent = new Event(event, {bubbles: true, cancelable: true});
              Object.defineProperty(sent, field, {value: data});
              document.getElementById("text").dispatchEvent(sent);
            }""",
            [event, field],
        )
        expect(chat.locator("#files")).to_contain_text(f"{event}.txt")
