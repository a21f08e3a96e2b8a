"""A page whose connection breaks, or dies without a word, in the middle of an answer."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import MakeSite, Site
from tests.browser.test_answers import choose, entered, quiet, say
from tests.cable import Cable
from tests.scale.running import WHOLE


@pytest.fixture
def line() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.close()


@pytest.fixture
def site(line: Cable, make_site: MakeSite) -> Site:
    """A site behind a cable."""
    url = f"http://localhost:{line.port}"
    behind = make_site(APIARY_PUBLIC_URL=url)
    line.target = int(behind.url.rpartition(":")[2])
    return Site(url, behind.app, behind.sandbox)


@pytest.fixture
def counting(page: Page, site: Site, paste_key: str) -> Page:
    """A page with an answer that takes its time; its clock can be put forward."""
    page.clock.install()
    entered(page, site, paste_key)
    site.sandbox.state.switches.pace = 1.0
    choose(page, "sandbox/slow")
    say(page, "count")
    expect(page.locator(".prose")).to_contain_text("Counting slowly: 1")
    return page


class OtherTab:
    """The same person's, past the cable."""

    def __init__(self, page: Page, site: Site, line: Cable) -> None:
        token = page.get_attribute('meta[name="csrf-token"]', "content") or ""
        cookies = {c["name"]: c["value"] for c in page.context.cookies()}  # type: ignore[typeddict-item]
        self.path = re.sub(r"^.*?(?=/c/)", "", page.url)
        headers = {"Host": f"localhost:{line.port}", "X-CSRFToken": token}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{line.target}",
            headers=headers | {"Accept": "text/event-stream"},
            timeout=30,
        )

    def post(self, what: str, **body: str) -> None:
        """Until the head of the response is there."""
        with self._http.stream("POST", f"{self.path}/{what}", json=body) as response:
            assert response.status_code in (200, 204), response.read()

    def last(self) -> str:
        found = self._http.get(f"{self.path}/export.json").json()["messages"][-1]["id"]
        assert isinstance(found, str)
        return found


def heard_whole(page: Page, site: Site) -> None:
    site.sandbox.state.switches.pace = 0.01
    expect(page.locator(".prose")).to_have_text(WHOLE, timeout=20_000)
    quiet(page)
    assert len(site.sandbox.state.journal.chats()) == 1


def test_a_connection_that_died_without_a_word_is_given_up(
    counting: Page, site: Site, line: Cable
) -> None:
    line.silence()
    lost = counting.locator(".answer[data-lost]")
    # One heartbeat may be late.
    counting.clock.fast_forward(25_000)
    expect(lost).to_have_count(0)
    counting.clock.fast_forward(15_000)
    expect(lost).to_have_count(1)
    expect(counting.locator("#status")).to_contain_text("Connection lost")
    # So are the first tries to come back, of which nobody hears either.
    for _ in range(2):
        counting.clock.fast_forward(20_000)
    line.mend()
    counting.clock.fast_forward(20_000)
    heard_whole(counting, site)
    expect(lost).to_have_count(0)


@pytest.mark.parametrize("how", ["visible", "online"])
def test_a_page_that_wakes_up_looks_at_once(
    counting: Page, site: Site, line: Cable, how: str
) -> None:
    line.silence()
    line.mend()
    # Long enough to doubt, not to give up.
    counting.clock.fast_forward(20_000)
    expect(counting.locator(".answer[data-lost]")).to_have_count(0)
    counting.evaluate(
        """(how) => ({
          visible: () => document.dispatchEvent(new Event("visibilitychange")),
          online: () => dispatchEvent(new Event("online")),
        })[how]()""",
        how,
    )
    heard_whole(counting, site)


def test_one_that_lives_is_left_alone(counting: Page, site: Site) -> None:
    asked: list[str] = []
    counting.on("request", lambda request: asked.append(request.url))
    counting.clock.fast_forward(14_000)
    counting.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    heard_whole(counting, site)
    assert not [url for url in asked if url.endswith("/stream")]


@pytest.mark.parametrize("what", ["continue", "retry"])
def test_who_was_away_while_it_went_on_sees_all_of_it(
    counting: Page, site: Site, line: Cable, what: str
) -> None:
    there = OtherTab(counting, site, line)
    expect(counting.locator(".prose")).to_contain_text("Counting slowly: 1 2 3")
    line.pull()
    expect(counting.locator(".answer[data-lost]")).to_have_count(1)
    there.post("stop")
    about = {"message_id": there.last()} if what == "continue" else {}
    site.sandbox.state.switches.pace = 0.3
    there.post(what, model="sandbox/slow", **about)
    counting.wait_for_timeout(2_000)
    line.mend()
    counting.clock.fast_forward(10_000)
    # Once from its beginning, and nothing of the other one in it.
    before = r"Counting slowly: 1 2 3[ \d]*" if what == "continue" else ""
    site.sandbox.state.switches.pace = 0.01
    expect(counting.locator(".prose")).to_have_text(
        re.compile(rf"^{before}{WHOLE}\s*$"), timeout=40_000
    )
    quiet(counting)


def unheard(page: Page, what: str, press: str) -> None:
    """Press a button whose request arrives, and whose response does not."""

    def swallow(route: Route) -> None:
        route.fetch()  # to the answer's end
        route.abort("connectionreset")

    page.route(f"**/{what}", swallow)
    page.click(press)
    expect(page.locator(".trouble:visible")).to_contain_text("could not be reached")
    page.unroute(f"**/{what}")


def test_what_went_on_unheard_goes_on_once(page: Page, site: Site, paste_key: str) -> None:
    entered(page, site, paste_key, "sandbox/cut")
    say(page, "one")
    expect(page.locator(".trouble")).to_be_visible()
    choose(page, "sandbox/echo")
    unheard(page, "continue", '[data-action="continue"]')
    asked = len(site.sandbox.state.journal.chats())
    page.click('.trouble button:has-text("Try again")')
    expect(page.locator(".stats")).to_contain_text("Continued")
    quiet(page)
    assert len(site.sandbox.state.journal.chats()) == asked
    assert page.locator(".prose").inner_text().count("Go on from exactly") <= 1
    # Whoever asks for more after that gets more.
    page.reload()
    assert page.locator(".answer").get_attribute("data-continued") == "1"


def test_an_answer_that_was_asked_for_once_more_unheard_is_the_one(
    page: Page, site: Site, paste_key: str
) -> None:
    entered(page, site, paste_key)
    say(page, "one")
    quiet(page)
    unheard(page, "retry", '[data-action="regenerate"]')
    asked = len(site.sandbox.state.journal.chats())
    page.click('.trouble:visible button:has-text("Try again")')
    expect(page.locator(".at:visible")).to_have_text("2 / 2")
    quiet(page)
    assert len(site.sandbox.state.journal.chats()) == asked


def test_what_is_saved_stays_until_the_stream_has_as_much(
    page: Page, site: Site, paste_key: str
) -> None:
    entered(page, site, paste_key)
    site.sandbox.state.switches.pace = 1.0
    choose(page, "sandbox/slow")
    say(page, "count")
    expect(page.locator(".prose")).to_contain_text("Counting slowly: 1 2 3")
    page.evaluate(
        """async () => {
          const saved = async () => (await fetch(`${location.pathname}/export.json`)).text();
          while (!(await saved()).includes("slowly: 1 2 3"));
        }"""
    )
    held: list[Route] = []
    page.route("**/stream", lambda route: held.append(route))
    page.reload()
    prose = page.locator(".answer[aria-busy] .prose")
    expect(prose).to_contain_text("Counting slowly: 1")
    saved = prose.inner_text()
    assert "Thinking" not in prose.evaluate("(el) => getComputedStyle(el, '::before').content")
    with page.expect_request("**/stream"):
        held[0].fulfill(
            content_type="text/event-stream",
            body='id: 1\nevent: delta\ndata: {"text": "Count"}\n\n',
        )
    expect(page.locator(".answer[data-lost]")).to_have_count(1)
    assert prose.inner_text() == saved
    # Where nothing more comes it is what stays.
    page.click("#stop")
    quiet(page)
    assert page.locator(".prose").inner_text() == saved
    expect(page.locator('[data-action="continue"]')).to_be_visible()


@pytest.mark.parametrize("begun", [True, False])
def test_a_message_that_nobody_answers_is_kept_and_asked_once(
    page: Page, site: Site, paste_key: str, begun: bool
) -> None:
    page.clock.install()
    entered(page, site, paste_key)
    held: list[Route] = []

    def hang(route: Route) -> None:
        if begun:
            route.fetch()
        held.append(route)

    page.route("**/messages", hang)
    with page.expect_request("**/messages"):
        say(page, "Do bees sleep?")
    expect(page.locator(".answer[aria-busy]")).to_have_count(1)
    page.clock.fast_forward(25_000)
    expect(page.locator(".answer[aria-busy]")).to_have_count(1)
    page.clock.fast_forward(10_000)
    expect(page.locator(".trouble:visible")).to_contain_text(
        "The server has not answered for 30 seconds. Your message is kept."
    )
    quiet(page)
    page.unroute("**/messages")
    page.click('.trouble button:has-text("Try again")')
    expect(page.locator(".prose").last).to_have_text("Do bees sleep?")
    quiet(page)
    assert len(site.sandbox.state.journal.chats()) == 1
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)
