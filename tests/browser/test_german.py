"""The whole story in German, by a browser that asks for it: scripts, dialogs and windows too."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import MakeSite, Site
from tests.browser.popup import CARD, CONNECT, NOTICE, STATUS, WAITING, answer, gone, press

#: A few words that stand in most English sentences of ours, and in no German one.
ENGLISH = re.compile(r"\b(the|your|you|and|is|are|not|with|again|message|key|try)\b", re.I)


@pytest.fixture
def german(browser: Browser, complaints: list[str]) -> Iterator[BrowserContext]:
    made = browser.new_context(locale="de-DE", viewport={"width": 1280, "height": 800})
    made.set_default_timeout(15_000)
    made.on("weberror", lambda error: complaints.append(str(error.error)))
    # The words of scripts stand in the page as data: its policy must have nothing against them.
    made.on("console", lambda said: complaints.append(said.text) if "Policy" in said.text else None)
    yield made
    made.close()
    assert complaints == []


def seen(page: Page) -> str:
    """All that the page shows now, without what models and people wrote."""
    found: str = page.evaluate(
        """() => {
          const own = document.body.cloneNode(true);
          const theirs = ".prose, .asked .text, #conversations a, #title";
          own.querySelectorAll(theirs).forEach((element) => element.remove());
          document.body.after(own);
          const text = own.innerText;
          own.remove();
          return text;
        }"""
    )
    return found


def no_english(page: Page) -> None:
    left = [line for line in seen(page).split("\n") if ENGLISH.search(line)]
    assert left == []


def test_the_whole_story(german: BrowserContext, site: Site) -> None:
    page = german.new_page()
    page.goto(site.url)
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.locator("#connect-title")).to_have_text(
        "Noch kein Gehirn verbunden. Wähl einen Anbieter."
    )
    no_english(page)
    page.fill("textarea", "Tanzen Bienen?")
    page.keyboard.press("Enter")
    expect(page.locator("#kept-hint")).to_contain_text("Deine Nachricht bleibt erhalten")
    no_english(page)
    window = press(page)
    expect(page.locator(WAITING)).to_contain_text("Deine Zustimmung steht noch aus …")
    expect(page.locator(WAITING)).to_contain_text(
        "Stimme der Anfrage im Fenster von OpenRouter zu."
    )
    no_english(page)
    answer(window)
    gone(window)
    expect(page.locator("#turns .prose")).to_contain_text("Tanzen Bienen?")
    expect(page.locator("#payer")).to_have_text("Dein Konto bei OpenRouter zahlt")
    expect(page.locator("#turns .answer .stats")).to_contain_text("gelesen")
    expect(page.locator("#status")).to_have_text("Die Antwort ist vollständig.")
    no_english(page)
    page.goto(site / "settings/")
    expect(page.locator(STATUS)).to_contain_text("Verbunden als")
    expect(page.locator(f'{CARD} [data-fact="usage"]')).to_contain_text(" $")
    page.click(f'{CARD} [data-action="check"]')
    expect(page.locator(NOTICE)).to_have_text(
        re.compile("Gerade geprüft: OpenRouter nimmt diesen Schlüssel an.")
    )
    no_english(page)
    page.click(f'{CARD} [data-action="disconnect"]')
    expect(page.locator(f'{CARD} [data-role="confirm"] h2')).to_have_text(
        "Verbindung zu OpenRouter trennen?"
    )
    no_english(page)
    page.click(f'{CARD} [data-role="confirm"] [data-confirmed]')
    expect(page.locator(STATUS)).to_contain_text("Nicht verbunden.")
    expect(page.locator(NOTICE)).to_contain_text("Verbindung getrennt.")
    no_english(page)


def test_the_window_and_its_endings(german: BrowserContext, site: Site) -> None:
    page = german.new_page()
    page.goto(site / "settings/")
    window = press(page)
    answer(window, "deny")
    gone(window)
    expect(page.locator(NOTICE)).to_contain_text("Du hast die Anfrage abgelehnt.")
    expect(page.locator(CONNECT)).to_have_text(re.compile("Mit OpenRouter verbinden"))
    no_english(page)


def test_scripts_say_what_fails_in_german(
    german: BrowserContext, site: Site, paste_key: str
) -> None:
    page = german.new_page()
    page.goto(site.url)
    page.fill("textarea", "Tanzen Bienen?")
    page.route("**/messages", lambda route: route.abort())
    page.keyboard.press("Enter")
    expect(page.locator(".trouble-text")).to_have_text(
        "Der Server war nicht zu erreichen. Deine Nachricht bleibt erhalten."
    )
    expect(page.locator(".trouble .button")).to_have_text("Noch einmal versuchen")
    page.click("#pick")
    expect(page.locator("#models-note")).to_have_text(
        "Noch keine Modelle. Verbinde zuerst einen Anbieter."
    )
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.click("#instructions-open")
    expect(page.locator("#instructions-title")).to_have_text("Anweisungen")


def test_changing_the_language_in_the_account(page: Page, make_site: MakeSite) -> None:
    """By a browser that asks for English: pages, scripts and their dates follow."""
    site = make_site()
    page.goto(site / "account")
    expect(page.locator("h1")).to_have_text("Account")
    page.select_option('select[name="language"]', "de")
    page.click('#language button:has-text("Use it")')
    expect(page.locator("h1")).to_have_text("Konto")
    page.goto(site / "settings/")
    page.fill('[data-provider="openai"] input[name="api_key"]', "x")
    page.click('[data-provider="openai"] [data-action="save-key"]')
    expect(page.locator('[data-provider="openai"] [data-role="notice-text"]')).to_contain_text(
        "Das ist kein Schlüssel"
    )


def test_an_english_page_carries_no_words(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(page.locator("script[type='application/json']")).to_have_count(0)
    # And what the tests above look for would be found.
    assert ENGLISH.search(seen(page))


def test_longer_words_fit_a_phone(browser: Browser, site: Site) -> None:
    context = browser.new_context(locale="de-DE", viewport={"width": 360, "height": 740})
    context.set_default_timeout(15_000)
    page = context.new_page()
    for path in ("", "settings/", "settings/openrouter/ways", "account", "usage", "search"):
        page.goto(site / path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, (path, width)
        # A button's words stay inside it.
        over = page.evaluate(
            "[...document.querySelectorAll('.button, .mini, .entry')].filter((e) =>"
            " e.checkVisibility() && e.scrollWidth > e.clientWidth + 1).map((e) => e.innerText)"
        )
        assert over == [], path
    context.close()
