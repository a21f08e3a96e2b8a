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
