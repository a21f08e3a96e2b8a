"""Text that is written from right to left stands so, beside text that is not."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_answers import entered, quiet, say

ARABIC = """مرحبا بالعالم. What?

- نقطة أولى
- نقطة ثانية

> اقتباس قصير

| الاسم | السعر |
|---|---|
| عسل | 5 |

```python
print("مرحبا")
```

And English."""
DIRECTIONS = """(prose) => [...prose.querySelectorAll("p, ul, blockquote, table, pre")].map(
  (el) => [el.localName, getComputedStyle(el).direction])"""


def test_each_part_has_its_own_direction(page: Page, site: Site, paste_key: str) -> None:
    entered(page, site, paste_key)
    page.fill("#text", ARABIC)
    plain = "(el) => getComputedStyle(el).unicodeBidi"
    assert page.locator("#text").evaluate(plain) == "plaintext"
    say(page, ARABIC)
    quiet(page)
    expected = [
        *(["p", "rtl"], ["ul", "rtl"], ["blockquote", "rtl"], ["p", "rtl"]),
        *(["table", "rtl"], ["pre", "ltr"], ["p", "ltr"]),
    ]
    for _ in range(2):
        prose = page.locator(".answer .prose")
        expect(prose).to_contain_text("And English.")
        assert prose.evaluate(DIRECTIONS) == expected
        # The marks of a list, and the bar of a quotation, stand on the side that is read first.
        ul = "(prose) => getComputedStyle(prose.querySelector('ul')).paddingRight"
        assert prose.evaluate(ul) != "0px"
        bar = "(prose) => getComputedStyle(prose.querySelector('blockquote')).borderRightWidth"
        assert prose.evaluate(bar) == "3px"
        assert page.locator(".asked .text").evaluate(plain) == "plaintext"
        for title in ("#title", "#conversations a"):
            expect(page.locator(title)).to_have_css("direction", "rtl")
        page.reload()
        expect(page.locator(".prose.dressed")).to_be_visible()


def test_words_that_are_found_have_a_direction_of_their_own(
    page: Page, site: Site, paste_key: str
) -> None:
    """Not that of the "You:" before them; and one conversation alone is in no order."""
    entered(page, site, paste_key, "sandbox/markdown")
    say(page, "مرحبا hive؟")
    quiet(page)
    page.fill("#filter", "مرحبا")
    direction = "(el) => getComputedStyle(el).direction + getComputedStyle(el).unicodeBidi"
    expect(page.locator("#hits .hit-text")).to_have_text("You: مرحبا hive؟")
    assert page.locator("#hits .hit-text bdi").evaluate(direction).endswith("isolate")
    page.goto(site / "search?q=مرحبا")
    expect(page.locator(".hit-text")).to_have_text("You: مرحبا hive؟")
    expect(page.locator(".hit-text bdi mark")).to_have_text("مرحبا")
    expect(page.get_by_role("status").filter(has_text="conversation")).to_have_text(
        "1 conversation."
    )
