"""Folders at the side, by keyboard and by touch."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_access import examine, view
from tests.browser.test_conversations import fill, menu, settle, titles

__all__ = ["view"]


@pytest.fixture
def filled(page: Page, site: Site) -> dict[str, str]:
    found = fill(site, settle(page, site))
    page.goto(site.url)
    return found


def file(page: Page, title: str, folder: str) -> None:
    """Put a conversation into a new folder, by keyboard."""
    menu(page, title, "move")
    page.get_by_label("New folder").focus()
    page.keyboard.type(folder)
    page.keyboard.press("Enter")
    expect(page.locator("#folder-dialog")).to_be_hidden()


def inside(page: Page, folder: str) -> list[str]:
    return page.locator(f'[data-folder="{folder}"] li > a').all_text_contents()


def test_in_and_out_of_a_folder(page: Page, site: Site, filled: dict[str, str]) -> None:
    file(page, "Of honey", "Sweet")
    expect(page.get_by_role("link", name="Of honey", exact=True)).to_be_focused()
    assert inside(page, "Sweet") == ["Of honey"]
    assert titles(page) == ["Of queens", "Of wax"]
    page.reload()
    # It stays open for whoever opened it.
    expect(page.get_by_role("link", name="Of honey", exact=True)).to_be_visible()
    page.locator(".folder summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Of honey", exact=True)).to_be_hidden()
    page.reload()
    expect(page.get_by_role("link", name="Of honey", exact=True)).to_be_hidden()
    # What is looked for is shown, in closed folders too.
    page.fill("#filter", "honey")
    expect(page.get_by_role("link", name="Of honey", exact=True)).to_be_visible()
    page.fill("#filter", "wax")
    expect(page.locator(".folder")).to_be_hidden()
    page.fill("#filter", "")
    expect(page.locator(".folder")).to_be_visible()
    expect(page.get_by_role("link", name="Of honey", exact=True)).to_be_hidden()
    menu(page, "Of wax", "move")
    expect(page.get_by_label("No folder")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".folder .hint")).to_have_text("2")
    assert inside(page, "Sweet") == ["Of wax", "Of honey"]
    page.goto(site / f"c/{filled['Of honey']}")
    expect(page.locator('.folder [aria-current="page"]')).to_be_visible()
    for title in ("Of honey", "Of wax"):
        row = page.locator(".folder li", has=page.get_by_role("link", name=title, exact=True))
        row.hover()
        row.locator(".row-more").click()
        page.click('#row-menu [data-action="move"]')
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        expect(page.locator("#folder-dialog")).to_be_hidden()
    expect(page.locator(".folder")).to_have_count(0)
    page.reload()
    expect(page.locator(".folder")).to_have_count(0)
    assert len(titles(page)) == 3


def test_rename_delete_and_undo(page: Page, site: Site, filled: dict[str, str]) -> None:
    file(page, "Of honey", "Sweet")
    file(page, "Of wax", "Other")
    expect(page.locator(".folder-name")).to_have_text(["Other", "Sweet"])
    more = page.get_by_label("More for the folder “Sweet”")
    more.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("#folder-name")).to_be_focused()
    page.keyboard.type("Bitter")
    page.keyboard.press("Enter")
    expect(page.locator(".folder-name")).to_have_text(["Bitter", "Other"])
    more = page.get_by_label("More for the folder “Bitter”")
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    page.click('#folder-menu [data-action="delete"]')
    expect(page.locator("#toast")).to_contain_text("its conversations are kept")
    expect(page.locator(".folder-name")).to_have_text(["Other"])
    assert sorted(titles(page)) == ["Of honey", "Of queens"]
    page.keyboard.press("Enter")
    expect(page.locator(".folder-name")).to_have_text(["Bitter", "Other"])
    page.reload()
    assert inside(page, "Bitter") == ["Of honey"]
    # One that is called like another becomes one with it.
    page.get_by_label("More for the folder “Bitter”").click()
    page.click('#folder-menu [data-action="rename"]')
    page.locator("#folder-name").fill("Other")
    page.keyboard.press("Enter")
    expect(page.locator(".folder-name")).to_have_text(["Other"])
    assert sorted(inside(page, "Other")) == ["Of honey", "Of wax"]
    menu_of = page.locator(".folder li").first
    menu_of.hover()
    menu_of.locator(".row-more").click()
    page.click('#row-menu [data-action="delete"]')
    expect(page.locator(".folder .hint")).to_have_text("1")
    page.keyboard.press("Enter")
    expect(page.locator(".folder .hint")).to_have_text("2")


def test_folders_are_reachable_by_everybody(view: Page, site: Site) -> None:
    page = view
    fill(site, settle(page, site))
    page.goto(site.url)
    if page.viewport_size["width"] < 600:
        page.click(".chat-top .icon.narrow")
    file(page, "Of honey", "A folder with a name that is rather too long for the side")
    file(page, "Of wax", "Other")
    examine(page, "folders")
    page.get_by_label("More for the folder “Other”").click()
    examine(page, "the menu of a folder")
    page.keyboard.press("Escape")
    menu(page, "Of queens", "move")
    examine(page, "where to")
