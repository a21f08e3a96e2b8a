"""A card in somebody else's page: neither sheet changes what the other one styles."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Load, free_port
from tests.servers import serve

#: What comes out of layout, and so depends on the neighbours.
MEASURED = (
    "height|width|block-size|inline-size|perspective-origin|transform-origin"
    "|(min-|inset|top|right|bottom|left|grid-template).*"
)
#: Gives window.look(inside): every computed value of every element inside or outside of our own.
LOOK = """measured => {
  const laidOut = new RegExp(`^(${measured})$`);
  window.look = (inside) => {
    const found = new Map();
    const all = [...document.querySelectorAll("body, body *")];
    const wanted = all.filter((element) => !!element.closest(".apiary") === inside);
    wanted.forEach((element, number) => {
      for (const pseudo of ["", "::before", "::after"]) {
        const style = getComputedStyle(element, pseudo);
        for (const name of style) {
          // A custom property matters only to the sheet that reads it.
          if (name.startsWith("--") || laidOut.test(name)) continue;
          const where = `${number} ${element.tagName}.${element.className}${pseudo} ${name}`;
          found.set(where, style.getPropertyValue(name));
        }
      }
    });
    return found;
  };
}"""
#: The plainest host there is: it says what every heading and every button looks like, and it
#: likes the names that we like.
BLUNT = """
  html { font-size: 62.5% }
  body { font: 1.6rem/2 Georgia, serif; text-align: center; letter-spacing: 1px; --card: red }
  #content p, h1, h2 { color: purple; text-transform: uppercase; margin: 3em }
  header, footer, section, form, dl, dt, dd, label, summary, dialog, meter {
    background: gold; padding: 2em; position: relative; float: left; border: 3px dotted }
  button, input[type=password], a { background: black; color: lime; text-decoration: overline }
  a[target]::after { content: " (opens in a new window)" }
  .card, .row, .row > *, .button, .field, .notice, .hint, .status, .facts, .primary, .column {
    width: 90%; display: flex; flex-direction: column; box-shadow: 0 0 9px red; font-weight: 900 }
  .content .card p:not(:last-child) { margin-bottom: 5em }
  :focus { outline: 9px solid red }
"""


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, load: Load) -> Iterator[Page]:
    """The profile page of the bookshop, which says light or dark itself."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    with serve(load("bookshop/app.py").app, port=free_port()) as url:
        page = context.new_page()
        page.goto(url.replace("127.0.0.1", "localhost"))
        page.click("text=Sign in")
        page.click("text=Ann")
        expect(page.locator(".apiary")).to_be_visible()
        scheme = f"document.documentElement.dataset.bsTheme = {request.param!r}"
        page.evaluate(scheme)
        # A transition would be seen half-way.
        page.add_style_tag(content="*, ::before, ::after { transition: none !important }")
        yield page
    context.close()


def keep(page: Page, *, inside: bool) -> None:
    """Remember how all looks now, inside of what is ours or outside."""
    page.evaluate(LOOK, MEASURED)
    count = page.evaluate("inside => (window.kept = look(inside)).size", inside)
    assert count > 5000


def changed(page: Page, *, inside: bool) -> list[str]:
    found: list[str] = page.evaluate(
        "inside => [...look(inside)].filter(([name, value]) => kept.get(name) !== value)"
        ".map(([name, value]) => `${name}: ${kept.get(name)} | ${value}`)",
        inside,
    )
    return found


def switch_off(page: Page, sheet: str) -> None:
    off = page.evaluate(
        "name => [...document.styleSheets].filter((sheet) => sheet.href?.includes(name))"
        ".map((sheet) => (sheet.disabled = true)).length",
        sheet,
    )
    assert off == 1


def own_inheritance(page: Page) -> None:
    """Hold still what a card takes over on purpose: the page's font, and whether it is dark."""
    page.evaluate(
        "document.querySelector('.apiary').style.cssText = 'font: 16px/1.55 serif;"
        " text-size-adjust: auto; -webkit-tap-highlight-color: transparent; color-scheme: '"
        " + getComputedStyle(document.documentElement).colorScheme"
    )


def test_our_sheet_leaves_the_page_alone(page: Page) -> None:
    keep(page, inside=False)
    switch_off(page, "apiary.css")
    assert changed(page, inside=False) == []


def test_bootstrap_does_not_reach_into_the_card(page: Page) -> None:
    own_inheritance(page)
    keep(page, inside=True)
    switch_off(page, "bootstrap")
    assert changed(page, inside=True) == []


def test_a_blunt_host_does_not_reach_into_the_card(page: Page) -> None:
    own_inheritance(page)
    keep(page, inside=True)
    page.evaluate(
        "css => { const style = document.createElement('style');"
        " style.textContent = css; document.head.append(style);"
        " document.querySelector('main').id = 'content' }",
        BLUNT,
    )
    assert (
        page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(128, 0, 128)"
    )
    assert changed(page, inside=True) == []


def test_a_card_is_as_light_or_dark_as_its_page(page: Page) -> None:
    """Also where the visitor's system is the other one: a dark card in a light page is a hole."""
    dark = page.evaluate("document.documentElement.dataset.bsTheme === 'dark'")
    page.emulate_media(color_scheme="light" if dark else "dark")
    ground = page.evaluate("getComputedStyle(document.querySelector('.apiary')).backgroundColor")
    assert ground == ("rgb(31, 31, 29)" if dark else "rgb(255, 255, 255)")


def test_a_host_sets_our_colours(page: Page) -> None:
    page.add_style_tag(content=":root { --apiary-accent: rgb(1, 2, 3) }")
    button = "document.querySelector('.apiary .button.primary')"
    assert page.evaluate(f"getComputedStyle({button}).backgroundColor") == "rgb(1, 2, 3)"
