"""Answers in a real browser: branches, shorter answers, going on, reloads, files, payers."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite, Site
from tests.host.conftest import BUILTIN


@pytest.fixture
def chat(page: Page, site: Site, paste_key: str) -> Iterator[Page]:
    """A guest who has pasted a key, in a new chat with the echoing model."""
    yield entered(page, site, paste_key)


def entered(page: Page, site: Site, key: str, model: str = "sandbox/echo") -> Page:
    """A page of a guest with this key. It is saved without a page: to load one takes longer."""
    http = page.context.request
    # Not what a test looks at: the first requests of a process are slow on a busy machine.
    patience = 60_000
    settings = http.get(site / "settings/", timeout=patience).text()
    token = re.search('name="csrf-token" content="([^"]+)"', settings)
    assert http.post(
        site / "settings/openrouter/key",
        headers={"X-CSRFToken": token[1]},
        form={"api_key": key},
        timeout=patience,
    ).ok
    page.goto(site.url)
    choose(page, model)
    return page


def paste(page: Page, key: str) -> None:
    """Save a key as the card's form does; with the flag on it is one of the other ways."""
    status = page.evaluate(
        """async (key) => {
          const body = new URLSearchParams({api_key: key});
          const token = document.querySelector('meta[name="csrf-token"]').content;
          const headers = {"X-CSRFToken": token};
          return (await fetch("/settings/openrouter/key", {method: "POST", body, headers})).status;
        }""",
        key,
    )
    assert status == 200


def choose(page: Page, model: str) -> None:
    page.click("#pick")
    page.fill("#models-search", model)
    page.click(f'#models [data-model="{model}"]')


def unlisted(page: Page, model: str) -> None:
    """Ask a model that the list does not show."""
    page.eval_on_selector("[name=model]", "(field, id) => field.value = id", model)


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.click("#send")


def quiet(page: Page) -> None:
    """Nothing is being written."""
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator(".answer[aria-busy]")).to_have_count(0)


def texts(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("#turns .turn > .text").all_inner_texts()]


def attach(page: Page, *files: tuple[str, bytes]) -> None:
    kinds = {"png": "image/png", "svg": "image/svg+xml"}
    page.set_input_files(
        "#file",
        [
            {
                "name": name,
                "mimeType": kinds.get(name.rsplit(".")[-1], "text/plain"),
                "buffer": data,
            }
            for name, data in files
        ],
    )


def test_edit_makes_a_branch_and_the_switch_goes_back(chat: Page) -> None:
    say(chat, "one")
    quiet(chat)
    say(chat, "two")
    quiet(chat)
    chat.locator('[data-action="edit"]').first.click()
    box = chat.locator(".edit textarea")
    expect(box).to_be_focused()
    box.fill("uno")
    chat.keyboard.press("Enter")
    quiet(chat)
    assert texts(chat) == ["uno", "uno"]
    switch = chat.locator(".asked .switch")
    expect(switch.locator(".at")).to_have_text("2 / 2")
    switch.get_by_label("Version before").click()
    expect(chat.locator("#turns .turn")).to_have_count(4)
    assert texts(chat) == ["one", "one", "two", "two"]
    expect(chat.locator(".asked .switch .at").first).to_have_text("1 / 2")
    chat.reload()
    assert texts(chat) == ["one", "one", "two", "two"]
    chat.locator(".asked .switch").first.get_by_label("Version after").click()
    expect(chat.locator("#turns .turn")).to_have_count(2)


def test_an_edit_can_be_given_up(chat: Page) -> None:
    say(chat, "one")
    quiet(chat)
    chat.click('[data-action="edit"]')
    chat.keyboard.press("Escape")
    expect(chat.locator(".edit")).to_have_count(0)
    expect(chat.locator('[data-action="edit"]')).to_be_focused()
    assert texts(chat) == ["one", "one"]


def test_regenerate_with_another_model(chat: Page) -> None:
    say(chat, "hello")
    quiet(chat)
    chat.click('[data-action="regenerate-with"]')
    chat.fill("#models-search", "sandbox/reasoning")
    chat.click('#models [data-model="sandbox/reasoning"]')
    expect(chat.locator(".answer:visible .prose")).to_have_text("After some thought: hello")
    quiet(chat)
    expect(chat.locator(".answer .at")).to_have_text("2 / 2")
    expect(chat.locator(".stats")).to_contain_text("sandbox/reasoning")
    # Its thoughts are there, and folded away.
    expect(chat.locator(".reasoning")).to_be_visible()
    expect(chat.locator(".reasoning .text")).to_be_hidden()
    chat.click(".reasoning summary")
    expect(chat.locator(".reasoning .text")).to_contain_text("A short answer")
    chat.locator(".answer").get_by_label("Version before").click()
    expect(chat.locator(".answer .prose.dressed")).to_have_text("hello")
    chat.click('[data-action="regenerate"]')
    expect(chat.locator(".answer:visible .at")).to_have_text("3 / 3")


def test_the_credit_pays_for_a_shorter_answer(chat: Page) -> None:
    unlisted(chat, "sandbox/error-402-afford")
    say(chat, "hello")
    trouble = chat.locator(".trouble")
    for name in ("Pick a cheaper or free model", "Open credits at OpenRouter"):
        expect(trouble.get_by_text(name)).to_be_visible()
    chat.reload()
    unlisted(chat, "sandbox/error-402-afford")
    trouble.get_by_role("button", name="Ask for a shorter answer").click()
    expect(chat.locator(".answer:visible .prose")).to_contain_text("hello")
    expect(chat.locator(".trouble:visible")).to_have_count(0)
    expect(chat.locator(".answer")).to_have_count(1)


def test_a_cut_answer_goes_on(chat: Page) -> None:
    choose(chat, "sandbox/cut")
    say(chat, "hello")
    expect(chat.locator(".trouble")).to_be_visible()
    choose(chat, "sandbox/echo")
    chat.click('[data-action="continue"]')
    expect(chat.locator(".prose")).to_contain_text("breaks off in the")
    expect(chat.locator(".prose")).to_contain_text("say nothing about this.")
    quiet(chat)
    expect(chat.locator(".stats")).to_contain_text("Continued")
    expect(chat.locator(".trouble")).to_be_hidden()
    expect(chat.locator('[data-action="continue"]')).to_be_hidden()
    chat.reload()
    expect(chat.locator(".stats")).to_contain_text("Continued")


def test_stop_keeps_what_came_and_it_can_go_on(chat: Page, site: Site) -> None:
    site.sandbox.state.switches.pace = 0.4
    choose(chat, "sandbox/slow")
    say(chat, "count")
    expect(chat.locator(".prose")).to_contain_text("Counting slowly: 1")
    chat.click("#stop")
    quiet(chat)
    expect(chat.locator(".stats")).to_contain_text("Stopped")
    expect(chat.locator('[data-action="continue"]')).to_be_visible()


def test_a_reload_in_the_middle_loses_nothing(chat: Page, site: Site) -> None:
    site.sandbox.state.switches.pace = 0.4
    choose(chat, "sandbox/slow")
    say(chat, "count")
    expect(chat.locator(".prose")).to_contain_text("Counting slowly: 1 2")
    chat.reload()
    expect(chat.locator(".prose")).to_contain_text("Counting slowly: 1 2 3")
    expect(chat.locator(".prose")).to_have_text(
        "Counting slowly: " + " ".join(str(n) for n in range(1, 41)), timeout=20_000
    )
    quiet(chat)
    assert len(site.sandbox.state.journal.chats()) == 1
    expect(chat.locator("#text")).to_have_value("")


def test_drafts_survive_and_trying_again_asks_once(chat: Page, site: Site) -> None:
    chat.fill("#text", "half a thought")
    chat.wait_for_timeout(400)
    chat.reload()
    expect(chat.locator("#text")).to_have_value("half a thought")
    # The question arrives, its answer does not.
    seen: list[str] = []

    def swallow(route) -> None:  # type: ignore[no-untyped-def]
        if not seen:
            seen.append(route.fetch().text())
            return route.abort()
        return route.continue_()

    chat.route("**/messages", swallow)
    chat.click("#send")
    again = chat.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    again.click()
    expect(chat.locator(".prose")).to_have_text("half a thought")
    quiet(chat)
    assert len(site.sandbox.state.journal.chats()) == 1
    expect(chat.locator(".turn")).to_have_count(2)
    chat.reload()
    expect(chat.locator(".turn")).to_have_count(2)
    expect(chat.locator("#text")).to_have_value("")


def test_a_busy_server_is_asked_again(chat: Page, site: Site) -> None:
    """Too many readers, or too often: the page goes on asking, and reads the answer then."""
    site.sandbox.state.switches.pace = 0.1
    choose(chat, "sandbox/slow")
    say(chat, "count")
    expect(chat.locator(".prose")).to_contain_text("Counting")
    turned_away = []

    def busy(route) -> None:  # type: ignore[no-untyped-def]
        if len(turned_away) < 2:
            turned_away.append(route.request.url)
            status = (429, 503)[len(turned_away) - 1]
            return route.fulfill(
                status=status, headers={"Retry-After": "1"}, json={"code": "x", "message": "Busy."}
            )
        return route.continue_()

    chat.route("**/stream", busy)
    chat.reload()
    expect(chat.locator(".answer[aria-busy]")).to_have_count(1)
    quiet(chat)
    assert len(turned_away) == 2
    expect(chat.locator(".prose")).to_contain_text("40")
    expect(chat.locator(".trouble:visible")).to_have_count(0)


def test_a_reload_before_the_question_is_sent(chat: Page) -> None:
    chat.route("**/messages", lambda route: route.abort())
    say(chat, "do not lose me")
    expect(chat.get_by_role("button", name="Try again")).to_be_visible()
    chat.unroute("**/messages")
    chat.reload()
    expect(chat).to_have_url(re.compile("/c/"))
    expect(chat.locator("#text")).to_have_value("do not lose me")
    chat.click("#send")
    expect(chat.locator(".prose")).to_have_text("do not lose me")


def test_instructions_for_a_conversation_and_by_default(chat: Page, site: Site) -> None:
    def told() -> list[str]:
        messages = site.sandbox.state.journal.chats()[-1].body["messages"]
        return [m["content"] for m in messages if m["role"] == "system"]

    opener = chat.locator("#instructions-open")
    opener.click()
    chat.get_by_label("My default").last.fill("Be kind.")
    chat.get_by_label("Only these").check()
    chat.get_by_label("Instructions for this conversation").fill("Be brief.")
    chat.locator("#instructions").get_by_role("button", name="Save").click()
    expect(opener).to_have_attribute("aria-label", "Instructions, set")
    chat.reload()
    say(chat, "hello")
    quiet(chat)
    assert told() == ["Be brief."]
    chat.reload()
    opener.click()
    chat.locator("#instructions").get_by_text("My default").first.click()
    chat.locator("#instructions").get_by_role("button", name="Cancel").click()
    opener.click()
    expect(chat.get_by_label("Instructions for this conversation")).to_have_value("Be brief.")
    chat.locator('[name="use"][value="default"]').check()
    chat.locator("#instructions").get_by_role("button", name="Save").click()
    expect(chat.locator("#instructions")).to_be_hidden()
    say(chat, "hello again")
    quiet(chat)
    assert told() == ["Be kind."]


def test_the_payer_is_switched_by_one_click(
    make_site: MakeSite, page: Page, paste_key: str
) -> None:
    site = make_site(APIARY_BUILTIN_KEY=paste_key, APIARY_BUILTIN_DAILY_MESSAGES="3", **BUILTIN)
    entered(page, site, paste_key)
    payer = page.locator("#payer")
    expect(payer).to_have_text("Your OpenRouter key pays")
    payer.click()
    entries = page.locator("#payers .payer-entry")
    expect(entries).to_have_count(2)
    expect(page.locator('#payers [aria-checked="true"]')).to_contain_text("OpenRouter")
    page.keyboard.press("Escape")
    expect(page.locator("#payers")).to_be_hidden()
    payer.click()
    entries.filter(has_text="Built-in model, 3 of 3").click()
    expect(payer).to_contain_text("Built-in model")
    say(page, "hello")
    quiet(page)
    expect(payer).to_have_text("Built-in model, 2 of 3 messages left today")
    payer.click()
    entries.filter(has_text="OpenRouter").click()
    say(page, "mine again")
    quiet(page)
    expect(payer).to_have_text("Your OpenRouter key pays")


def test_the_list_says_what_changed(chat: Page, site: Site) -> None:
    chat.evaluate(
        """() => {
          const key = Object.keys(localStorage).find((name) => name.startsWith("apiary:seen:"));
          const kept = JSON.parse(localStorage.getItem(key));
          delete kept.seen["sandbox/echo"];
          kept.seen["sandbox/slow"] = [0.01, 0.01];
          kept.seen["openai/gpt-4o-lost"] = [1, 1];
          localStorage.setItem(key, JSON.stringify(kept));
          const favourites = ["openrouter/openai/gpt-4o-lost"];
          localStorage.setItem("apiary:favourites", JSON.stringify(favourites));
        }"""
    )
    chat.reload()
    chat.click("#pick")
    expect(chat.locator("#models")).to_contain_text("openai/gpt-4o-lost is gone.")
    expect(chat.locator('[data-model="sandbox/echo"] .badge')).to_have_text("new")
    expect(chat.locator('[data-model="sandbox/slow"] .badge')).to_contain_text("dearer: was $0.01")
    expect(chat.locator("#models")).to_contain_text("Gone since")
    chat.get_by_role("button", name=re.compile("^Take .* instead$")).click()
    expect(chat.locator(".models-group").first).to_contain_text("openai/gpt-4o")
    chat.click('[data-filter="news"]')
    assert chat.locator("#models .model:visible").count() == 2
    chat.click('[data-filter="news"]')
    chat.click('[data-filter="free"]')
    expect(chat.locator('[data-model="sandbox/echo:free"]')).to_be_visible()
    expect(chat.locator('[data-model="sandbox/echo"]')).to_be_hidden()
