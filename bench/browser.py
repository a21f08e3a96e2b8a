#!/usr/bin/env python3
"""The chat page in Chromium, beside Open WebUI's where it is installed.

    python bench/browser.py             or make bench ARGS=--browser
    python bench/browser.py --note -    writes no history

For each site a new Chromium: first paint and weight with an empty cache, on this machine and
slowed down to a cheap phone; an answer of 4,000 tokens from the key press to the last token
painted; and the memory of a conversation of 200 messages.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import peers  # noqa: E402
import report  # noqa: E402
import sites  # noqa: E402
import world  # noqa: E402

Figures = dict[str, float | None]
SIZE = {"width": 1280, "height": 800}
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-component-update"]
_ARGUMENTS += ["--disable-background-networking", "--disable-sync"]
#: A cheap phone on a slow network: a quarter of this machine's speed, 1.6 Mbit/s, 150 ms.
_SLOW = {"offline": False, "latency": 150, "downloadThroughput": 2e5, "uploadThroughput": 9.4e4}
_PROBE = """
window.__bench = { shift: 0, tasks: [], largest: 0, pressed: 0, begun: 0, painted: 0 };
const watch = (type, each) => new PerformanceObserver((list) => list.getEntries().forEach(each))
  .observe({ type, buffered: true });
watch("layout-shift", (entry) => { __bench.shift += entry.value; });
watch("longtask", (entry) => __bench.tasks.push(entry.duration));
watch("largest-contentful-paint", (entry) => { __bench.largest = entry.startTime; });
addEventListener("keydown", (event) => {
  if (event.key === "Enter") __bench.pressed ||= performance.now();
}, true);
"""
# Looks twenty times a second, which is cheap; what it sees is on the screen two frames later.
_WATCH = """([answer, last]) => {
  const newest = () => [...document.querySelectorAll(answer)].at(-1);
  const before = newest();
  const timer = setInterval(() => {
    const text = (newest() !== before && newest()?.textContent) || "";
    if (!text.trim()) return;
    __bench.begun ||= performance.now();
    if (!text.includes(last)) return;
    clearInterval(timer);
    const painted = () => { __bench.painted = performance.now(); };
    requestAnimationFrame(() => requestAnimationFrame(painted));
  }, 50);
}"""
_PAINT = """() => ({
  first: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null,
  largest: __bench.largest, shift: __bench.shift,
})"""
FIGURES = {
    "first paint ms": "first contentful paint, empty cache, ms",
    "largest paint ms": "largest contentful paint, ms",
    "usable ms": "until a question can be typed, ms",
    "again ms": "the same at the next visit, ms",
    "slow first paint ms": "first contentful paint on the cheap phone, ms",
    "slow usable ms": "until a question can be typed on the cheap phone, ms",
    "requests": "requests",
    "transferred kB": "transferred, kB",
    "decoded kB": "decoded, kB",
    "script kB": "of it script, kB",
    "answer ms": "4,000 tokens at once: Enter until the last is painted, ms",
    "answer first ms": "Enter until the first is seen, ms",
    "answer main ms": "main thread busy, ms",
    "answer longest ms": "longest task, ms",
    "answer shift": "layout shift",
    "paced main ms": "4,000 tokens at 250 a second (16 s): main thread busy, ms",
    "paced longest ms": "longest task, ms",
    "paced lag ms": "last token painted after its time, ms",
    "paced shift": "layout shift",
    "talk usable ms": "200 messages: until the last is seen, ms",
    "talk nodes": "DOM nodes",
    "talk heap MB": "script memory in use, MB",
    "talk renderer MiB": "renderer process, MiB (proportional)",
    "grown heap MB": "the same, asked one after the other: script memory, MB",
    "grown renderer MiB": "renderer process, MiB",
}


def measure(folder: Path, rounds: int = 3, grown: bool = False) -> dict[str, Figures]:
    """Figures by site. ``folder`` holds the compiled tools.

    :raises RuntimeError: there is no Chromium.
    """
    if not chromium():
        raise RuntimeError("There is no Chromium: apt install chromium.")
    from playwright.sync_api import sync_playwright

    words = folder / "words"
    words.write_text("".join(json.dumps(token) + "\n" for token in sites.tokens(4000)))
    short = folder / "short"
    short.write_text("".join(json.dumps(token) + "\n" for token in sites.tokens(150)))
    makers: list[Callable[[Path, int], Any]] = [sites.apiary]
    if peers.PEERS["open-webui"].ready:
        makers.append(sites.open_webui)
    found: dict[str, Figures] = {}
    with (
        world.upstream(folder, words) as mock,
        world.upstream(folder, short) as other,
        sync_playwright() as playwright,
    ):
        for maker in makers:
            with maker(folder, mock.port) as site:
                visits = Visits(playwright, site)
                found[site.name] = {}
                for part in (_paint, _answers, _talk):
                    found[site.name] |= _tried(part, visits, rounds)
            if grown:
                with maker(folder, other.port) as site:
                    found[site.name] |= _tried(_grown, Visits(playwright, site), rounds)
    return found


def _tried(part: "Callable[[Visits, int], Figures]", visits: "Visits", rounds: int) -> Figures:
    """What a part measures; nothing where a page does not do what was waited for."""
    from playwright.sync_api import Error

    print(f"browser: {visits.site.name}, {part.__name__[1:]} ...", file=sys.stderr, flush=True)
    try:
        return part(visits, rounds)
    except Error as error:
        print(f"not measured: {error.message.splitlines()[0]}", file=sys.stderr)
        return {}


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Visits:
    """Pages of one site, each in a Chromium of its own: nothing is warm, nothing is shared."""

    def __init__(self, playwright: Any, site: sites.Site) -> None:
        self.playwright = playwright
        self.site = site

    @contextlib.contextmanager
    def page(self, script: str = "") -> Iterator["Page"]:
        launch = self.playwright.chromium.launch
        browser = launch(executable_path=chromium(), args=_ARGUMENTS)
        context = browser.new_context(viewport=SIZE)
        context.set_default_timeout(90_000)
        host = {"domain": "localhost", "path": "/"}
        cookies = self.site.cookies.items()
        context.add_cookies([{"name": k, "value": v, **host} for k, v in cookies])
        context.add_init_script(_PROBE + (script or self.site.start))
        try:
            yield Page(browser, context.new_page(), self.site)
        finally:
            browser.close()


class Page:
    """One page, and what the browser's own instruments say about it."""

    def __init__(self, browser: Any, page: Any, site: sites.Site) -> None:
        self.browser, self.page, self.site = browser, page, site
        self.tools = page.context.new_cdp_session(page)
        self.tools.send("Performance.enable")
        self.tools.send("Network.enable")
        self.weight = {"requests": 0, "transferred": 0, "decoded": 0, "script": 0}
        kinds: dict[str, str] = {}

        def answered(event: Any) -> None:
            self.weight["requests"] += not event["response"]["url"].startswith("data:")
            kinds[event["requestId"]] = event["type"]

        def arrived(event: Any) -> None:
            self.weight["decoded"] += event["dataLength"]
            if kinds.get(event["requestId"]) == "Script":
                self.weight["script"] += event["dataLength"]

        def ended(event: Any) -> None:
            self.weight["transferred"] += event["encodedDataLength"]

        self.tools.on("Network.responseReceived", answered)
        self.tools.on("Network.dataReceived", arrived)
        self.tools.on("Network.loadingFinished", ended)

    def slow(self) -> None:
        self.tools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        self.tools.send("Network.emulateNetworkConditions", _SLOW)

    def open(self, address: str) -> float:
        """ms until a question can be typed."""
        self.page.goto(address, wait_until="commit")
        usable = self.page.wait_for_function(
            "(box) => document.querySelector(box)?.checkVisibility() && performance.now()",
            arg=self.site.box,
        )
        return float(usable.json_value())

    def quiet(self) -> None:
        with contextlib.suppress(Exception):  # A page may never be: then what came is counted.
            self.page.wait_for_load_state("networkidle", timeout=10_000)
        time.sleep(0.5)

    def ask(self, text: str) -> None:
        self.page.focus(self.site.box)
        self.page.keyboard.type(text)
        self.page.evaluate(_WATCH, [self.site.answer, sites.LAST])
        self.page.keyboard.press("Enter")
        self.page.wait_for_function("() => __bench.painted")

    def figures(self) -> dict[str, float]:
        got = self.tools.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in got}

    def memory(self) -> tuple[float, float]:
        """MB of the scripts' heap after a collection, MiB of the process that draws the page."""
        for _ in range(2):
            self.tools.send("HeapProfiler.collectGarbage")
            time.sleep(0.5)
        heap = self.tools.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        everything = self.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
        pids = [one["id"] for one in everything["processInfo"] if one["type"] == "renderer"]
        return heap, max(world.procstat.memory([pid]) for pid in pids)


def _paint(visits: Visits, rounds: int) -> Figures:
    kept: list[Figures] = []
    for _ in range(rounds):
        with visits.page() as page:
            usable = page.open(visits.site.home)
            page.quiet()
            paint, weight = page.page.evaluate(_PAINT), dict(page.weight)
            again = page.open(visits.site.home)
            kept.append(
                {
                    "first paint ms": paint["first"],
                    "largest paint ms": paint["largest"],
                    "usable ms": usable,
                    "again ms": again,
                    "requests": weight["requests"],
                    "transferred kB": weight["transferred"] / 1000,
                    "decoded kB": weight["decoded"] / 1000,
                    "script kB": weight["script"] / 1000,
                }
            )
    with visits.page() as page:
        page.slow()
        slow: Figures = {"slow usable ms": page.open(visits.site.home)}
        page.page.wait_for_function(f"() => ({_PAINT})().first")
        slow["slow first paint ms"] = page.page.evaluate(_PAINT)["first"]
    return _medians(kept) | slow


def _answers(visits: Visits, rounds: int) -> Figures:
    kept = [_answer(visits, sites.LONG, "answer") for _ in range(rounds)]
    paced = _answer(visits, sites.PACED, "paced")
    took = paced.pop("paced ms")
    paced["paced lag ms"] = None if took is None else took - 4000 * 4
    return _medians(kept) | paced


def _answer(visits: Visits, model: str, name: str) -> Figures:
    address, script = visits.site.new(model)
    with visits.page(script) as page:
        page.open(address)
        page.quiet()
        page.page.evaluate("() => { __bench.shift = 0; __bench.tasks.length = 0; }")
        before = page.figures()
        page.ask("Tell me all about bees.")
        time.sleep(1.5)  # What follows the last token belongs to the answer too.
        after, told = page.figures(), page.page.evaluate("() => __bench")
    return {
        f"{name} ms": told["painted"] - told["pressed"],
        f"{name} first ms": told["begun"] - told["pressed"],
        f"{name} main ms": (after["TaskDuration"] - before["TaskDuration"]) * 1000,
        f"{name} longest ms": max(told["tasks"], default=0.0),
        f"{name} shift": told["shift"],
    }


def _talk(visits: Visits, rounds: int) -> Figures:
    with visits.page() as page:
        page.page.goto(visits.site.talk, wait_until="commit")
        seen = page.page.wait_for_function(
            "([answer, last]) => [...document.querySelectorAll(answer)].at(-1)?.textContent"
            ".includes(last) && performance.now()",
            arg=[visits.site.answer, sites.LAST],
        ).json_value()
        page.quiet()
        heap, renderer = page.memory()
        nodes = page.figures()["Nodes"]
    return {
        "talk usable ms": seen,
        "talk nodes": nodes,
        "talk heap MB": heap,
        "talk renderer MiB": renderer,
    }


def _grown(visits: Visits, rounds: int) -> Figures:
    address, script = visits.site.new(sites.SHORT)
    with visits.page(script) as page:
        page.open(address)
        page.quiet()
        for number in range(100):
            began = time.monotonic()
            page.page.evaluate("() => { __bench.painted = 0; }")
            page.ask(f"Question {number + 1}: what do bees do?")
            # Nobody asks faster, and Apiary lets nobody ask more than sixty in a minute.
            time.sleep(max(0.2, 1.1 - (time.monotonic() - began)))
        page.quiet()
        heap, renderer = page.memory()
    return {"grown heap MB": heap, "grown renderer MiB": renderer}


def _medians(rounds: list[Figures]) -> Figures:
    found: Figures = {}
    for name in rounds[0]:
        known = [one for figures in rounds if (one := figures[name]) is not None]
        found[name] = statistics.median(known) if known else None
    return found


def table(found: dict[str, Figures]) -> str:
    rows = []
    for name, words in FIGURES.items():
        values = [figures.get(name) for figures in found.values()]
        if not any(value is not None for value in values):
            continue
        digits = 3 if name.endswith("shift") else 1 if name.endswith(("MB", "MiB")) else 0
        cells = [report.number(value, digits) for value in values]
        if len(values) == 2:
            one, other = values
            cells.append(f"{other / one:,.1f}" if one and other else "–")
        rows.append([words, *cells])
    head = ["in Chromium", *found, *(["× Apiary's"] if len(found) == 2 else [])]
    return report.table(head, rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--grown", action="store_true", help="ask for the 200 messages as well")
    parser.add_argument("--note", default="", help="a word for the history; - writes none")
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="apiary-bench-"))
    try:
        world.build(folder)
        text = table(measure(folder, chosen.rounds, chosen.grown))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = f"{report.conditions(load, [])}\n\n{text}"
    print(text)
    if chosen.note != "-":
        report.keep(", ".join(filter(None, ["browser", chosen.note])), text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
