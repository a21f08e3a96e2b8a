#!/usr/bin/env python3
"""Measure Apiary beside nginx and a direct connection, all in one run, on this machine.

    make bench                      the quick profile, under two minutes
    make bench ARGS=--full          three rounds and a thousand streams
    make bench ARGS=--apiary-only   for work on a hot path

Only ratios of one run mean something: machines differ, and so does what else they do. Each
line of the history says how busy others kept the machine; above a tenth of a core, repeat.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import pages  # noqa: E402
import streams  # noqa: E402
import world  # noqa: E402

HISTORY = HERE / "history.md"
PEOPLE = 340
MESSAGES = 100_000

Figures = dict[str, float | None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="three rounds, up to 1,000 streams")
    parser.add_argument("--apiary-only", action="store_true", help="nothing beside it")
    parser.add_argument("--only", default="", help="these scenarios, such as flat,p100")
    parser.add_argument("--note", default="", help="a word for the history; - writes none")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="apiary-bench-"))
    load = os.getloadavg()[0]
    try:
        world.build(folder)
        runs, figures = measure(folder, chosen)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = report(runs, figures)
    print(table)
    if chosen.note != "-":
        keep(table, chosen, load, runs)
    return 0


def measure(
    folder: Path, chosen: argparse.Namespace
) -> tuple[list[tuple[str, streams.Run]], Figures]:
    """All runs as (server, run), and the figures that are not of streams."""
    wanted = chosen.only.split(",") if chosen.only else streams.FULL if chosen.full else ()
    names = list(wanted or streams.QUICK)
    beside = [] if chosen.apiary_only else ["direct"]
    if beside and (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        beside.append("nginx")
    runs: list[tuple[str, streams.Run]] = []
    figures: Figures = {}
    instance = folder / "instance"
    with world.upstream(folder) as mock:
        openrouter = f"http://127.0.0.1:{mock.port}"
        people = folder / "people"
        lines = world.populate(instance, openrouter, PEOPLE, 0 if chosen.only else MESSAGES)
        people.write_text("\n".join(lines) + "\n")
        for turn in range(3 if chosen.full else 1):
            if "direct" in beside:
                say(turn, "direct")
                target = streams.Target(folder, mock.port, streams.OPENAI, [])
                runs += [("direct", target.run(s)) for s in names if s in streams.COMPARED]
            if "nginx" in beside:
                say(turn, "nginx")
                with world.nginx(folder, mock.port) as server:
                    target = streams.Target(folder, server.port, streams.OPENAI, server.pids)
                    runs += [("nginx", target.run(s)) for s in names if s in streams.COMPARED]
            say(turn, "apiary")
            with world.apiary(instance, openrouter) as server:
                figures["cold start s"] = server.cold
                figures["memory idle MiB"] = idle = world.procstat.memory(server.pids)
                target = streams.Target(folder, server.port, streams.ASK, server.pids, people)
                target.run("warm")
                for name in names:
                    run = target.run(name)
                    runs.append(("apiary", run))
                    if name == "p500":
                        figures["memory for each of 500 streams kB"] = (
                            (run.memory - idle) * 1024 / 500
                        )
                if not chosen.only:
                    figures |= pages.measure(server.port, lines[0])
    if not chosen.only:
        figures |= pages.connect(folder)
    return runs, figures


def say(turn: int, name: str) -> None:
    print(f"round {turn + 1}: {name} ...", file=sys.stderr, flush=True)


def report(runs: list[tuple[str, streams.Run]], figures: Figures) -> str:
    """Markdown tables: streams as ratios to nginx, then the rest."""

    def median(server: str, scenario: str, what: str) -> float | None:
        found = [getattr(r, what) for s, r in runs if s == server and r.scenario == scenario]
        known = [value for value in found if value is not None]
        return statistics.median(known) if known else None

    lines = [
        "| scenario | server | whole | CPU s / 100,000 tokens | × nginx | first token added ms"
        " | delay p50 ms | p99 ms | tokens/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for scenario in dict.fromkeys(run.scenario for _, run in runs):
        base = median("nginx", scenario, "cpu")
        direct = median("direct", scenario, "first") or 0.0
        for server in ("direct", "nginx", "apiary"):
            if median(server, scenario, "whole") is None:
                continue
            cpu, first = median(server, scenario, "cpu"), median(server, scenario, "first")
            cells = [
                scenario,
                server,
                f"{100 * (median(server, scenario, 'whole') or 0):.0f} %",
                number(cpu if server != "direct" else None, 2),
                number(cpu / base if cpu and base and server == "apiary" else None, 1),
                number(first - direct if first is not None else None, 1),
                number(median(server, scenario, "delay"), 1),
                number(median(server, scenario, "late"), 1),
                number(median(server, scenario, "speed"), 0),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    ladder = [
        streams.SCENARIOS[run.scenario].streams
        for server, run in runs
        if server == "apiary" and run.scenario in streams.LADDER and run.smooth
    ]
    figures = {"most paced streams, p99 under 100 ms": max(ladder, default=0)} | figures
    lines += ["", "| figure | value |", "|---|---|"]
    lines += [f"| {name} | {number(value, 2)} |" for name, value in figures.items()]
    return "\n".join(lines)


def number(value: float | None, digits: int) -> str:
    return "–" if value is None or value < 0 else f"{value:,.{digits}f}"


def keep(
    table: str, chosen: argparse.Namespace, load: float, runs: list[tuple[str, streams.Run]]
) -> None:
    """Put this run on top of the history."""
    others = statistics.median(run.others for _, run in runs)
    head = HISTORY.read_text(encoding="utf-8") if HISTORY.exists() else "# Runs, the newest first\n"
    title, _, older = head.partition("\n")
    profile = "full" if chosen.full else chosen.only or "quick"
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    entry = (
        f"\n## {when} UTC, {profile}{', ' + chosen.note if chosen.note else ''}\n\n"
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; load {load:.1f} before;"
        f" others kept {others:.2f} cores busy during a run.\n\n{table}\n"
    )
    HISTORY.write_text(f"{title}\n{entry}{older}", encoding="utf-8")


if __name__ == "__main__":
    began = time.monotonic()
    status = main()
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    sys.exit(status)
