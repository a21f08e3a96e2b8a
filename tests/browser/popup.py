"""Connect's parts on the page, and a user who presses, answers and waits."""

from playwright.sync_api import Page

CARD = 'section[data-provider="openrouter"]'
CONNECT = f'{CARD} [data-action="connect"]'
WAITING = f'{CARD} dialog[data-role="waiting"]'
NOTICE = f'{CARD} [data-role="notice"]'
STATUS = f'{CARD} [data-role="status"]'
#: The addresses at which the dialog that waits asks how its attempt stands.
ASKING = "**/flows/*"


def press(page: Page, selector: str = CONNECT) -> Page:
    """Press Connect and return the window that opens."""
    with page.expect_popup() as opened:
        page.click(selector)
    return opened.value


def answer(window: Page, action: str = "approve") -> None:
    window.click(f'[data-action="{action}"]', no_wait_after=True)


def gone(window: Page) -> None:
    if not window.is_closed():
        window.wait_for_event("close")


def approve(page: Page, selector: str = CONNECT) -> None:
    """Connect, all the way to the page below, which has it back."""
    window = press(page, selector)
    answer(window)
    gone(window)


def approve_elsewhere_first(page: Page, other: Page, selector: str = CONNECT) -> None:
    """Connect, but let another page tell ``page`` of it, whose dialog cannot ask.

    It may ask again after ``page.unroute(ASKING)``.
    """
    window = press(page, selector)
    window.wait_for_selector('[data-action="approve"]')
    page.route(ASKING, lambda route: route.abort())
    answer(window)
    gone(window)
    other.evaluate(
        "new BroadcastChannel('apiary-connection').postMessage({ provider: 'openrouter' })"
    )
