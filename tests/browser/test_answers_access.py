"""Reachable by everybody: axe in every state of an answer, light and dark, wide and narrow."""

from playwright.sync_api import Page

from tests.browser.conftest import Site
from tests.browser.test_access import examine, view
from tests.browser.test_answers import attach, choose, entered, quiet, say, unlisted
from tests.host.test_host_attachments import PNG

__all__ = ["view"]


def test_answers_in_every_state(view: Page, site: Site, paste_key: str) -> None:
    page = entered(view, site, paste_key)
    attach(page, ("bee.png", PNG), ("notes.txt", b"honey"))
    page.wait_for_selector("#blind:visible")
    examine(page, "files")
    attach(page, ("noise.bin", b"\0\1"))
    page.wait_for_selector("#file-trouble:visible")
    examine(page, "a file that is not taken")
    choose(page, "openai/gpt-4o")
    say(page, "one")
    quiet(page)
    page.click('[data-action="edit"]')
    examine(page, "edit")
    page.fill(".edit textarea", "two")
    page.keyboard.press("Enter")
    page.wait_for_selector(".asked .switch:visible")
    quiet(page)
    examine(page, "branches")
    unlisted(page, "sandbox/error-402-afford")
    say(page, "three")
    page.wait_for_selector(".trouble .button")
    examine(page, "out of credit")
    choose(page, "sandbox/cut")
    say(page, "four")
    page.wait_for_selector(".answer[data-cut] .trouble .button")
    examine(page, "cut")
    page.click("#payer")
    page.wait_for_selector(".payer-entry")
    examine(page, "who pays")
    page.keyboard.press("Escape")
    page.click("#instructions-open")
    page.check('#instructions [value="own"]')
    examine(page, "instructions")
    page.click('#instructions [data-action="cancel"]')
    page.click("#pick")
    page.click('[data-filter="free"]')
    examine(page, "picker")
