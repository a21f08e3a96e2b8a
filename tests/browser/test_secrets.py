"""What only a browser can tell: what it keeps, and what hostile text does to a page."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from tests.browser.conftest import MakeSite, Site
from tests.security.canary import leaks, needles

CARD = 'section[data-provider="openrouter"]'
STATUS = f'{CARD} [data-role="status"]'
EVERYTHING = """async () => JSON.stringify({
  local: {...localStorage}, session: {...sessionStorage}, cookie: document.cookie,
  databases: indexedDB.databases ? await indexedDB.databases() : [],
  caches: await caches.keys(), workers: (await navigator.serviceWorker.getRegistrations()).length,
  fields: [...document.querySelectorAll("input, textarea")].map((e) => e.value),
  page: document.documentElement.outerHTML, history: history.state, name: window.name,
  referrer: document.referrer,
  entries: performance.getEntries().map((e) => e.name),
})"""


class Watch:
    """All that goes through a browser, but for what OpenRouter's own pages are told."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.seen: list[tuple[str, str]] = []
        self.codes: set[str] = set()
        self._site = site
        context.on("request", self._request)

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self._site.url):
            return
        code = parse_qs(urlsplit(request.url).query).get("code")
        if code:
            # The way back from OpenRouter, the one address that carries it.
            assert "/callback/" in request.url
            self.codes.add(code[0])
        else:
            self.seen.append((request.method, request.url + json.dumps(request.headers)))

    def look(self, page: Page) -> None:
        self.seen.append((page.url, page.evaluate(EVERYTHING)))


@pytest.fixture
def minted(site: Site) -> Iterator[set[str]]:
    keys: set[str] = set()
    mint = site.sandbox.state.mint

    def noted(*args: Any, **details: Any) -> str:
        key = mint(*args, **details)
        keys.add(key)
        return key

    site.sandbox.state.mint = noted  # type: ignore[method-assign]
    yield keys


def test_the_browser_keeps_no_secret(
    page: Page, context: BrowserContext, site: Site, minted: set[str]
) -> None:
    watch = Watch(context, site)
    page.goto(site / "settings/")
    with page.expect_popup() as opened:
        page.click(f'{CARD} [data-action="connect"]')
    window = opened.value
    window.wait_for_selector('[data-action="approve"]')
    # One flow is under way: its cookie is there, and no script can read it.
    flow = [c for c in context.cookies() if c["name"] == "apiary_flow"]
    assert len(flow) == 1 and all(cookie["httpOnly"] for cookie in context.cookies(site.url))
    watch.look(page)
    window.click('[data-action="approve"]', no_wait_after=True)
    if not window.is_closed():
        window.wait_for_event("close")
    expect(page.locator(STATUS)).to_contain_text("✓ Connected as")
    watch.look(page)
    for path in ("", "account", "settings/openrouter/ways"):
        page.goto(site / path)
        watch.look(page)
    [key] = minted
    wanted = needles(key, prefix=9)
    wanted |= set().union(*(needles(code) for code in watch.codes))
    wanted |= needles(flow[0]["value"])
    assert watch.codes
    for where, text in watch.seen:
        assert not leaks(text, wanted), where
    left = [c for c in context.cookies() if c["name"] == "apiary_flow"]
    assert left == [], "the flow's cookie is taken away with the flow"


def test_a_pasted_key_leaves_the_page(
    page: Page, context: BrowserContext, make_site: MakeSite, paste_key: str
) -> None:
    site = make_site(OPENROUTER_OAUTH="0")
    watch = Watch(context, site)
    page.goto(site / "settings/")
    field = page.locator(f'{CARD} input[name="api_key"]')
    assert field.get_attribute("type") == "password"
    assert field.get_attribute("autocomplete") in ("off", "new-password")
    for key in ("sk-or-v1-" + "0123456789abcdef" * 4, paste_key):
        field.fill(key)
        page.click(f'{CARD} [data-action="save-key"]')
        expect(field).to_have_value("")
    expect(page.locator(STATUS)).to_contain_text("✓ Connected as")
    watch.look(page)
    page.reload()
    watch.look(page)
    page.goto(site.url)
    watch.look(page)
    for where, text in watch.seen:
        assert not leaks(text, needles(paste_key, prefix=9)), where


HOSTILE = [
    "<img src=x onerror=document.title='owned'>",
    "<script>document.title='owned'</script>",
    "\"><svg onload=document.title='owned'>",
    "javascript:document.title='owned'",
    "{{constructor.constructor('document.title=1')()}}",
    "\u202egnp.exe\u2066\u2067",
    "__proto__",
    "constructor",
    "x" * 10_000,
    "\0\u0007\u2028",
]


def test_a_hostile_catalogue_in_the_picker(page: Page, make_site: MakeSite, paste_key: str) -> None:
    """The list as it would be if the server let everything through."""
    site = make_site(OPENROUTER_OAUTH="0")
    page.goto(site / "settings/")
    page.locator(f'{CARD} input[name="api_key"]').fill(paste_key)
    page.click(f'{CARD} [data-action="save-key"]')
    expect(page.locator(STATUS)).to_contain_text("✓ Connected as")
    models = [
        {"id": text, "name": text, "context": text, "prompt_price": text, "completion_price": None,
         "free": text, "varies": False, "inputs": [text]}
        for text in HOSTILE
    ]  # fmt: skip

    def hostile(route: Route) -> None:
        provider = {"name": "openrouter", "label": HOSTILE[0], "fetched_at": HOSTILE[0],
                    "stale": True, "problem": HOSTILE[2], "models": models}  # fmt: skip
        route.fulfill(json={"providers": [provider], "payer": {}})

    page.route(re.compile(r"/models$"), hostile)
    page.goto(site.url)
    page.click("#pick")
    rows = page.locator("#models-list .model")
    expect(rows).to_have_count(len(HOSTILE))
    assert page.locator("#models-list :is(img, script, svg, iframe, a)").count() == 0
    expect(page.locator("#models-list")).to_contain_text(HOSTILE[0])
    # The longest does not push the page wide, and what turns the direction turns only itself.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.fill("#models-search", "onerror")
    page.keyboard.press("Enter")
    expect(page.locator("#models")).to_be_hidden()
    assert "owned" not in page.title()
    page.click("#pick")
    assert "owned" not in page.title()


def test_hostile_error_text(page: Page, make_site: MakeSite, paste_key: str) -> None:
    site = make_site(OPENROUTER_OAUTH="0")
    page.goto(site / "settings/")
    page.locator(f'{CARD} input[name="api_key"]').fill(paste_key)
    page.click(f'{CARD} [data-action="save-key"]')
    expect(page.locator(STATUS)).to_contain_text("✓ Connected as")
    error = {"code": HOSTILE[0], "message": "".join(HOSTILE[:5]), "action": HOSTILE[3]}
    wire = "id: 1\nevent: execute\ndata: {}\n\n"
    wire += f"id: 2\nevent: error\ndata: {json.dumps(error)}\n\n"
    page.route(
        re.compile(r"/messages$"),
        lambda route: route.fulfill(body=wire, content_type="text/event-stream"),
    )
    page.goto(site.url)
    page.fill("textarea", "Bees?")
    page.keyboard.press("Enter")
    expect(page.locator("#turns")).to_contain_text(HOSTILE[0])
    assert page.locator("#turns :is(img, script, svg:not([aria-hidden]), iframe)").count() == 0
    assert page.locator('#turns [href^="javascript"]').count() == 0
    assert "owned" not in page.title()
