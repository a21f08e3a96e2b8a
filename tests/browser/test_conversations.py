"""Stories of a person with many conversations: search, pin, delete and undo, keys, usage."""

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from apiary import database
from apiary.host.tables import Conversation, Message
from tests.browser.conftest import Site
from tests.browser.test_access import examine

TITLES = ["Of honey", "Of wax", "Of queens"]


def settle(page: Page, site: Site) -> str:
    """Become somebody; their id."""
    page.goto(site / "account")
    page.evaluate(
        """async () => {
            const token = document.querySelector('meta[name="csrf-token"]').content;
            await fetch("/c", { method: "POST", headers: { "X-CSRFToken": token } });
        }"""
    )
    with site.app.app_context(), database.connection_context():
        owner: str = Conversation.select().get().owner
    return owner


def fill(site: Site, owner: str) -> dict[str, str]:
    """Three conversations, the last one the newest; their ids by title."""
    found = {}
    with site.app.app_context(), database.connection_context():
        for number, title in enumerate(TITLES):
            talk = Conversation.create(owner=owner, title=title, updated=1e9 + number)
            found[title] = talk.id
            Message.create(
                conversation=talk, position=0, role="user", text=f"Tell me {title}", state="sent"
            )
            Message.create(
                conversation=talk,
                position=1,
                role="assistant",
                text=f"A needle <b>number</b> {number} " + "and much hay.\n\n" * 60,
                state="complete",
                payer="key",
                provider="openrouter",
                model="a/b",
                prompt_tokens=100,
                completion_tokens=50,
                cost=Decimal("0.02") if number else None,
            )
    return found


@pytest.fixture
def filled(page: Page, site: Site) -> dict[str, str]:
    found = fill(site, settle(page, site))
    page.goto(site.url)
    return found


def titles(page: Page) -> list[str]:
    return page.locator("#conversations li:not([hidden]) > a").all_inner_texts()


def menu(page: Page, title: str, action: str) -> None:
    row = page.locator("#conversations li", has=page.get_by_role("link", name=title, exact=True))
    row.hover()
    row.locator(".row-more").click()
    page.click(f'#row-menu [data-action="{action}"]')


def test_search_finds_titles_at_once_and_words_below(page: Page, site: Site, filled) -> None:
    page.fill("#filter", "wax")
    assert titles(page) == ["Of wax"]
    expect(page.locator("#hits .hit-text mark")).to_have_text(["wax"])
    page.fill("#filter", "need")
    expect(page.locator("#hits li")).to_have_count(3)
    assert titles(page) == []
    expect(page.locator("#hits .hit-text").first).to_contain_text("A needle <b>number</b> 2")
    page.fill("#filter", "zebra")
    expect(page.locator("#search-state")).to_have_text("Nothing has these words.")
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).to_have_value("")
    assert len(titles(page)) == 3
    expect(page.locator("#hits li")).to_have_count(0)


def test_search_by_keyboard_leads_to_the_very_message(page: Page, site: Site, filled) -> None:
    page.locator("#filter").press_sequentially("hay")
    expect(page.locator("#hits li")).to_have_count(3)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#hits a").nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/c/{filled['Of queens']}#m-*")
    expect(page.locator('.sought[data-role="assistant"]')).to_be_focused()


def test_a_slow_search_says_so_and_a_late_answer_is_dropped(page: Page, site: Site, filled) -> None:
    held: list[Route] = []
    page.route("**/search?q=honey", lambda route: held.append(route))
    page.fill("#filter", "honey")
    expect(page.locator("#search-state")).to_have_text("Searching…")
    page.fill("#filter", "queens")
    expect(page.locator("#hits mark").first).to_have_text("queens")
    expect(page.locator("#search-state")).to_be_empty()
    with suppress(Error):
        held[0].fulfill(json={"query": "honey", "more": False, "results": []})
    page.wait_for_timeout(200)
    expect(page.locator("#hits mark").first).to_have_text("queens")


def test_pin_and_unpin(page: Page, site: Site, filled) -> None:
    menu(page, "Of honey", "pin")
    expect(page.locator("#conversations li").first).to_contain_text("Of honey")
    page.reload()
    assert titles(page) == ["Of honey", "Of queens", "Of wax"]
    menu(page, "Of honey", "pin")
    expect(page.locator("#conversations [data-pinned]")).to_have_count(0)
    page.reload()
    assert titles(page) == ["Of queens", "Of wax", "Of honey"]


def test_delete_and_undo(page: Page, site: Site, filled) -> None:
    menu(page, "Of wax", "delete")
    toast = page.locator("#toast")
    expect(toast).to_be_visible()
    expect(toast.get_by_role("button")).to_be_focused()
    assert titles(page) == ["Of queens", "Of honey"]
    page.keyboard.press("Enter")
    expect(toast).to_be_hidden()
    expect(page.get_by_role("link", name="Of wax", exact=True)).to_be_focused()
    assert titles(page) == ["Of queens", "Of wax", "Of honey"]
    page.reload()
    assert titles(page) == ["Of queens", "Of wax", "Of honey"]


def test_delete_the_open_one_and_undo(page: Page, site: Site, filled) -> None:
    page.goto(site / f"c/{filled['Of wax']}")
    page.click("#more summary")
    page.click("#delete-form button")
    page.wait_for_url(site.url + "/")
    expect(page.locator("#toast")).to_be_visible()
    assert titles(page) == ["Of queens", "Of honey"]
    page.click("#toast button")
    page.wait_for_url(f"**/c/{filled['Of wax']}")
    expect(page.locator("#turns")).to_contain_text("A needle")


def test_the_offer_to_undo_goes_by_itself(page: Page, site: Site, filled) -> None:
    page.clock.install()
    page.goto(site.url)
    menu(page, "Of wax", "delete")
    expect(page.locator("#toast")).to_be_visible()
    page.clock.run_for(9_000)
    expect(page.locator("#toast")).to_be_visible()
    page.clock.run_for(2_000)
    expect(page.locator("#toast")).to_be_hidden()


def test_shortcuts(page: Page, site: Site, filled) -> None:
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    sheet = page.locator("#shortcuts")
    expect(sheet).to_be_visible()
    page.keyboard.press("n")
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.press("u")
    expect(page.locator("#filter")).to_have_value("u")
    page.fill("#filter", "")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("w")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("n?/")
    expect(page.locator("#text")).to_have_value("n?/")
    page.keyboard.press("Control+/")
    expect(sheet).to_be_visible()
    page.uncheck('#shortcuts input[name="single"]')
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    expect(sheet).to_be_hidden()
    page.click('[data-action="shortcuts"]')
    page.check('#shortcuts input[name="single"]')
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.wait_for_url(f"**/c/{filled['Of queens']}")
    page.keyboard.press("j")
    page.wait_for_url(f"**/c/{filled['Of wax']}")
    page.keyboard.press("u")
    page.wait_for_url("**/usage")


def test_offline_is_said_and_taken_back(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_contain_text("You are offline")
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden()


def test_a_server_that_is_away_is_noticed(page: Page, site: Site, filled) -> None:
    page.route("**/search?*", lambda route: route.abort())
    page.route("**/healthz", lambda route: route.abort())
    page.fill("#filter", "honey")
    expect(page.locator("#offline")).to_contain_text("cannot be reached")
    page.unroute("**/healthz")
    expect(page.locator("#offline")).to_be_hidden(timeout=10_000)


def test_the_app_can_be_installed(page: Page, site: Site) -> None:
    page.goto(site.url)
    session = page.context.new_cdp_session(page)
    found = session.send("Page.getAppManifest")
    assert found["errors"] == []
    manifest = json.loads(found["data"])
    assert manifest["start_url"] == "/" and manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        answer = page.request.get(site.url + icon["src"])
        assert answer.ok and answer.headers["content-type"].startswith(icon["type"])
    assert session.send("Page.getInstallabilityErrors")["installabilityErrors"] in (
        [],
        # A window without a profile, as tests have one.
        [{"errorId": "in-incognito", "errorArguments": []}],
    )


def test_an_import_and_a_search_without_scripts(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site / "account")
    exports = Path(__file__).parent.parent / "host" / "exports"
    page.set_input_files('input[type="file"]', exports / "chatgpt.json")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("Imported 1 conversation")
    page.goto(site.url)
    page.fill("#filter", "least wax")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=least+wax")
    expect(page.locator("mark")).to_have_text(["least", "wax"])
    page.click(".hits a")
    page.wait_for_url("**/c/*")
    page.click("#more summary")
    page.click("#delete-form button")
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url("**/c/*")
    context.close()


@pytest.fixture(params=["light-1280", "dark-390"])
def view(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    scheme, _, width = request.param.partition("-")
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": int(width), "height": 800}, reduced_motion="reduce"
    )
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def test_reachable_by_everybody(view: Page, site: Site) -> None:
    page = view
    owner = settle(page, site)
    page.goto(site / "usage")
    examine(page, "usage of nothing")
    fill(site, owner)
    page.goto(site.url)
    if page.viewport_size["width"] < 600:
        page.click(".chat-top .icon.narrow")
    menu(page, "Of wax", "pin")
    examine(page, "pinned")
    page.fill("#filter", "needle")
    expect(page.locator("#hits li")).to_have_count(3)
    examine(page, "hits")
    page.keyboard.press("Escape")
    menu(page, "Of honey", "delete")
    expect(page.locator("#toast")).to_be_visible()
    examine(page, "deleted")
    page.goto(site / "search?q=needle")
    examine(page, "the page of hits")
    page.keyboard.press("Control+/")
    expect(page.locator("#shortcuts")).to_be_visible()
    examine(page, "shortcuts")
    for path in ("usage", "usage?days=7"):
        page.goto(site / path)
        for summary in page.locator(".numbers summary").all():
            summary.click()
        examine(page, path)
    page.goto(site / "account")
    examine(page, "import")
