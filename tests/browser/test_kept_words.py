"""Words that could not be sent or saved are where their writer looks for them."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_answers import attach, choose, entered, quiet, say
from tests.host.test_host_attachments import PNG


@pytest.fixture
def chat(page: Page, site: Site, paste_key: str) -> Iterator[Page]:
    yield entered(page, site, paste_key)


def elsewhere(page: Page, path: str) -> None:
    """As another tab would do it."""
    status = page.evaluate(
        """async (path) => {
          const token = document.querySelector('meta[name="csrf-token"]').content;
          const headers = {"X-CSRFToken": token, Accept: "application/json"};
          return (await fetch(path, {method: "POST", headers})).status;
        }""",
        path,
    )
    assert status == 204


def test_a_first_message_that_is_refused_comes_back_in_a_new_chat(chat: Page, site: Site) -> None:
    chat.click("#instructions-open")
    chat.get_by_label("Only these").check()
    chat.get_by_label("Instructions for this conversation").fill("Be brief.")
    chat.click('#instructions [data-action="save"]')
    attach(chat, ("bee.png", PNG))
    say(chat, "what is this?")
    expect(chat.get_by_role("button", name="Pick another model")).to_be_visible()
    chat.get_by_role("link", name="New chat").click()
    chat.wait_for_url(site / "")
    expect(chat.locator("#text")).to_have_value("what is this?")
    expect(chat.locator("#files .file")).to_have_count(1)
    expect(chat.locator("#instructions-open")).to_have_attribute("data-set", "")
    choose(chat, "openai/gpt-4o")
    chat.click("#send")
    quiet(chat)
    expect(chat.locator(".prose")).to_contain_text("what is this?")
    sent = site.sandbox.state.journal.chats()[-1].body["messages"]
    assert sent[0]["content"] == "Be brief."
    assert [part["type"] for part in sent[1]["content"]] == ["text", "image_url"]
    chat.get_by_role("link", name="New chat").click()
    chat.wait_for_url(site / "")
    expect(chat.locator("#text")).to_have_value("")
    expect(chat.locator("#files .file")).to_have_count(0)


def test_a_first_message_that_arrived_does_not_come_back(chat: Page, site: Site) -> None:
    def swallow(route) -> None:  # type: ignore[no-untyped-def]
        route.fetch()
        route.abort()

    chat.route("**/messages", swallow, times=1)
    say(chat, "only once")
    expect(chat.get_by_role("button", name="Try again")).to_be_visible()
    chat.goto(site.url)
    expect(chat.locator("#conversations a")).to_have_text("only once")
    expect(chat.locator("#text")).to_have_value("")


def test_a_conversation_deleted_elsewhere_gives_the_words_back(chat: Page, site: Site) -> None:
    say(chat, "one")
    quiet(chat)
    elsewhere(chat, f"{chat.url}/delete")
    say(chat, "do not lose me")
    expect(chat.locator(".trouble:visible")).to_contain_text("This conversation was deleted.")
    expect(chat.locator("#text")).to_have_value("do not lose me")
    expect(chat.locator("#text")).to_be_focused()
    chat.get_by_role("button", name="Start a new chat").click()
    chat.wait_for_url(site / "")
    expect(chat.locator("#text")).to_have_value("do not lose me")
    chat.click("#send")
    expect(chat.locator(".prose")).to_have_text("do not lose me")


def test_a_refused_message_stands_in_the_box_to_be_changed(chat: Page) -> None:
    attach(chat, ("a.txt", b"words"))
    file = chat.locator("#files .file").get_attribute("data-id")
    elsewhere(chat, f"/attachments/{file}/delete")
    say(chat, "read this")
    expect(chat.locator(".trouble")).to_contain_text("A file is not here any more.")
    expect(chat.locator("#text")).to_have_value("read this")
    chat.get_by_label("Remove a.txt").click()
    chat.click("#send")
    expect(chat.locator(".prose").last).to_have_text("read this")
    expect(chat.locator(".turn")).to_have_count(2)


def test_an_edit_that_is_refused_is_open_again(chat: Page) -> None:
    say(chat, "one")
    quiet(chat)
    body = {"code": "http_400", "message": "The message is longer than that.", "action": ""}
    refuse = lambda route: route.fulfill(status=400, json=body)  # noqa: E731
    chat.route("**/messages", refuse, times=1)
    chat.click('[data-action="edit"]')
    chat.fill(".edit textarea", "another")
    chat.keyboard.press("Enter")
    expect(chat.locator(".trouble:visible")).to_contain_text("longer than that")
    expect(chat.locator(".edit textarea")).to_have_value("another")
    expect(chat.locator(".edit textarea")).to_be_focused()
    chat.keyboard.press("Enter")
    expect(chat.locator(".prose").last).to_have_text("another")
    expect(chat.locator(".turn:visible")).to_have_count(2)


def test_instructions_typed_and_not_saved_are_kept_as_a_draft(chat: Page, site: Site) -> None:
    own = chat.get_by_label("Instructions for this conversation")
    note = chat.locator('[data-role="unsaved"]')
    chat.click("#instructions-open")
    expect(note).to_be_hidden()
    chat.get_by_label("Only these").check()
    own.fill("A long and careful text.")
    chat.keyboard.press("Escape")
    expect(chat.locator("#instructions")).to_be_hidden()
    expect(chat.locator("#status")).to_contain_text("Not saved.")
    expect(chat.locator("#instructions-open")).not_to_have_attribute("data-set", "")
    chat.reload()
    chat.click("#instructions-open")
    expect(note).to_be_visible()
    expect(own).to_have_value("A long and careful text.")
    chat.keyboard.press("Escape")
    # It is a draft: nothing is told to a model before it is saved.
    say(chat, "hello")
    quiet(chat)
    assert "careful" not in json.dumps(site.sandbox.state.journal.chats()[-1].body)
    chat.goto(site.url)
    chat.click("#instructions-open")
    expect(own).to_have_value("A long and careful text.")
    chat.click('#instructions [data-action="cancel"]')
    chat.click("#instructions-open")
    expect(note).to_be_hidden()
    expect(own).to_be_hidden()
