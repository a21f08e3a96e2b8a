"""Reachable by everybody: axe in states that one meets seldom, light and dark, wide and narrow."""

import time

from playwright.sync_api import Page, expect

from apiary import database
from apiary.host.tables import Conversation, Message
from tests.browser.conftest import MakeSite
from tests.browser.test_access import examine, view
from tests.browser.test_answers import entered, quiet, say, unlisted
from tests.host.test_host_attachments import PNG

__all__ = ["view"]
TOKEN = "an operator's token of forty characters."
MARKDOWN = """
# Heading

Words, `code`, a [link](https://example.org/), and a task:

- [x] one
- [ ] two

| Flower | Nectar | A long column |
|---|---:|---|
| Clover | 0.2 | a rather long sentence in a cell of a table that is wide |

> A quotation.

```python
def long(): return "a line of code that goes on and on until it fits on no phone at all, and longer"
```
"""


def test_pages_that_one_meets_seldom(view: Page, make_site: MakeSite) -> None:
    page = view
    site = make_site(APIARY_OPERATOR_TOKEN=TOKEN)
    page.goto(site / "sign-in")
    page.fill("#name", "ada")
    page.fill("#password", "wrong horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    examine(page, "a wrong password")
    page.goto(site / "account/delete")
    examine(page, "delete everything")
    page.goto(site / "operator")
    examine(page, "the operator's door")
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#doctor")
    examine(page, "the operator's page")
    for path in ("search", "search?q=zebra", "search?q=%21"):
        page.goto(site / path)
        examine(page, path)
    page.goto(site / "settings/")
    page.fill("#openai [name=api_key]", "sk-or-v1-" + "a" * 64)
    page.keyboard.press("Enter")
    expect(page.locator("#openai").get_by_role("alert")).to_contain_text("a key of OpenRouter")
    examine(page, "a key that is not taken")
    page.goto(site / "account")
    page.set_input_files('input[type="file"]', {"name": "a.json", "mimeType": "", "buffer": PNG})
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator(".error")).to_be_visible()
    examine(page, "an import that failed")


def test_a_chat_that_went_through_much(view: Page, make_site: MakeSite, paste_key: str) -> None:
    site = make_site()
    site.sandbox.state.switches.pace = 4.0
    page = entered(view, site, paste_key)
    unlisted(page, "sandbox/slow")
    say(page, "count")
    expect(page.locator(".prose")).to_contain_text("Counting slowly: 1")
    examine(page, "an answer that grows")
    page.click("#stop")
    quiet(page)
    examine(page, "stopped")
    with site.app.app_context(), database.connection_context():
        owner = Conversation.select().get().owner
        talk = Conversation.create(owner=owner, title="x" * 200, pinned=time.time())
        Message.create(conversation=talk, position=0, role="user", text="x" * 500, state="sent")
        Message.create(
            conversation=talk,
            position=1,
            role="assistant",
            text=MARKDOWN,
            reasoning="Thoughts.",
            state="complete",
        )
    page.goto(site / f"c/{talk.id}")
    page.wait_for_selector(".prose.dressed")
    examine(page, "markdown")
    page.click(".reasoning summary")
    page.click("#instructions-open")
    page.check('#instructions [value="own"]')
    page.fill("#instructions-own", "Be brief.")
    page.keyboard.press("Escape")
    page.click("#instructions-open")
    expect(page.locator('[data-role="unsaved"]')).to_be_visible()
    examine(page, "instructions not saved")
    page.keyboard.press("Escape")
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_contain_text("You are offline")
    say(page, "hello")
    page.wait_for_selector(".trouble:visible .button")
    examine(page, "offline")
    page.context.set_offline(False)
