"""Tables for people, and the history."""

import os
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

import goals
import streams
from goals import Results

HISTORY = Path(__file__).with_name("history.md")
SERVERS = (
    *("direct", "nginx", "apiary", "apiary, site"),
    *("litellm", "open-webui", "open-webui, kept"),
)
WHAT = {
    "first": "first: one stream of one token",
    "flat": "flat: 8 streams flat out",
    "s1000": "s1000: 1,000 streams of 10 tokens a second",
    "s2000": "s2000: 2,000 streams of one token a second",
}


def tables(results: Results) -> str:
    """Markdown: which goals are met, the streams beside each other, servers and pages."""
    parts = [_goals(results), _streams(results), _servers(results), _pages(results)]
    return "\n\n".join(part for part in parts if part)


def _goals(results: Results) -> str:
    rows = [
        [goal.name, f"{goal.limit:g} {goal.unit}", f"{number(value, 1)} {goal.unit}", met]
        for goal, value, good in goals.judged(results)
        if (met := "met" if good else f"**missed, {_times(value, goal.limit)}**")
    ]
    return table(["goal", "at most", "measured", ""], rows)


def _times(value: float, limit: float) -> str:
    return f"{value / limit:.1f} times" if limit else "not one is allowed"


def _streams(results: Results) -> str:
    head = ["scenario", "server", "whole", "CPU s / 100,000 tokens", "× nginx"]
    head += ["first token added ms", "delay p50 ms", "p99 ms", "tokens/s"]
    rows = []
    for scenario in sorted({run.scenario for _, run in results.runs}, key=_order):
        for server in SERVERS:
            whole = results.median(server, scenario, "whole")
            if whole is None:
                continue
            cpu = results.median(server, scenario, "cpu") if scenario != "first" else None
            ratio = results.cpu_ratio(scenario, server, "nginx") if cpu else None
            rows.append(
                [
                    WHAT.get(scenario) or _paced(scenario),
                    server,
                    f"{100 * whole:.0f} %",
                    number(cpu if server != "direct" else None, 2),
                    number(ratio, 1),
                    number(results.first_added(server, scenario), 1),
                    number(results.median(server, scenario, "delay"), 1),
                    number(results.median(server, scenario, "late"), 1),
                    number(results.median(server, scenario, "speed"), 0),
                ]
            )
    return table(head, rows)


def _order(scenario: str) -> tuple[int, str]:
    known = list(streams.SCENARIOS)
    return known.index(scenario), scenario


def _paced(scenario: str) -> str:
    return f"{scenario}: {streams.SCENARIOS[scenario].streams} streams of 50 tokens a second"


def _servers(results: Results) -> str:
    names = list(dict.fromkeys(name for kept in results.servers.values() for name in kept))
    most = ["paced streams held", "CPU ms of one short answer"]
    rows = []
    for server in SERVERS:
        held = results.most_smooth(server)
        kept = results.servers.get(server, {})
        if (not kept and held is None) or server in ("direct", "nginx"):
            continue
        cells = [number(kept.get(name), 2 if name.endswith(" s") else 0) for name in names]
        answer = results.cpu_of_answer(server)
        rows.append([server, number(held, 0), number(answer, 1), *cells])
    return table(["server", *most, *names], rows)


def _pages(results: Results) -> str:
    rows = [[name, number(value, 1)] for name, value in results.pages.items()]
    return table(["page", "median, ms"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float | None, digits: int) -> str:
    return "–" if value is None or value < 0 else f"{value:,.{digits}f}"


def conditions(load: float, runs: list[tuple[str, streams.Run]]) -> str:
    others = statistics.median(run.others for _, run in runs) if runs else None
    busy = f"; others kept {others:.2f} cores busy during a run" if others is not None else ""
    python = sys.version.split()[0]
    return f"{os.cpu_count()} cores, Python {python}; load {load:.1f} before{busy}."


def keep(title: str, text: str) -> None:
    """Put this on top of the history."""
    old = HISTORY.read_text(encoding="utf-8") if HISTORY.exists() else "# Runs, the newest first\n"
    first, _, older = old.partition("\n")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    HISTORY.write_text(f"{first}\n\n## {when} UTC, {title}\n\n{text}\n{older}", encoding="utf-8")
