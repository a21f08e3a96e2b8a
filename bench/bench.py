#!/usr/bin/env python3
"""Measure Apiary beside nginx and a direct connection, all in one run, on this machine.

    make bench                          the quick profile, about two minutes
    make bench ARGS=--peers             beside LiteLLM's proxy and Open WebUI too, six more
    make bench ARGS=--browser           first paint, a long answer and memory in Chromium
    make bench ARGS=--full              three rounds and up to a thousand streams
    make bench ARGS=--apiary-only       for work on a hot path
    make bench ARGS='--processes 2'     so many on PostgreSQL and Redis, too; they are named by
                                        BENCH_DATABASE_URL (an empty database) and BENCH_REDIS_URL
    make bench ARGS=--profile           where the time goes, into bench/profiles.md

Only ratios of one run mean something: machines differ, and so does what else they do. Each
entry of the history says how busy others kept the machine; above a tenth of a core, repeat.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import browser  # noqa: E402
import hotpaths  # noqa: E402
import pages  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import streams  # noqa: E402
import world  # noqa: E402
from goals import Results  # noqa: E402

PEOPLE = 340
MESSAGES = 100_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="three rounds, up to 1,000 streams")
    parser.add_argument(
        "--rounds", type=int, help="medians of so many; else one, three with --full"
    )
    parser.add_argument("--peers", action="store_true", help="beside LiteLLM and Open WebUI")
    parser.add_argument("--browser", action="store_true", help="the pages, in Chromium")
    parser.add_argument("--profile", action="store_true", help="nothing but the profiles")
    parser.add_argument("--apiary-only", action="store_true", help="nothing beside it")
    parser.add_argument("--processes", type=int, help="so many on PostgreSQL and Redis, too")
    parser.add_argument("--only", default="", help="these scenarios, such as flat,p100")
    parser.add_argument("--note", default="", help="a word for the history; - writes none")
    chosen = parser.parse_args()
    if chosen.peers and not peers.installed():
        print("No neighbour is installed: python bench/peers.py install", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="apiary-bench-"))
    load = os.getloadavg()[0]
    try:
        world.build(folder)
        if chosen.profile:
            text = hotpaths.profile(folder, PEOPLE, MESSAGES)
            print(text)
            if chosen.note != "-":
                hotpaths.keep(text, report.conditions(load, []))
            return 0
        results = measure(folder, chosen)
        told = report.tables(results)
        if chosen.browser:
            told += "\n\n" + browser.table(browser.measure(folder, grown=chosen.full))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        print(_tail(folder / "log"), file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told = f"{report.conditions(load, results.runs)} {beside(chosen)}\n\n{told}"
    print(told)
    if chosen.note != "-":
        profile = "full" if chosen.full else chosen.only or "quick"
        report.keep(", ".join(filter(None, [profile, chosen.note])), told)
    return 0


def measure(folder: Path, chosen: argparse.Namespace) -> Results:
    """All rounds: in each, one server after the other."""
    wanted = chosen.only.split(",") if chosen.only else streams.FULL if chosen.full else ()
    names = list(wanted or streams.QUICK)
    compared = [name for name in names if name in streams.COMPARED]
    alone = chosen.apiary_only
    nginx = not alone and (shutil.which("nginx") or Path("/usr/sbin/nginx").exists())
    results = Results()
    instance = folder / "instance"
    with world.upstream(folder) as mock:
        openrouter = f"http://127.0.0.1:{mock.port}"
        people = folder / "people"
        # Three answers at a time for each, and one for who is late.
        asking = max(PEOPLE, 1 + max(streams.SCENARIOS[name].streams for name in names) // 3)
        lines = world.populate(instance, openrouter, asking, 0 if chosen.only else MESSAGES)
        people.write_text("\n".join(lines) + "\n")
        for turn in range(chosen.rounds or (3 if chosen.full else 1)):
            if not alone:
                say(turn, "direct")
                target = streams.Target(folder, mock.port, streams.OPENAI, [])
                results.runs += [("direct", target.run(name)) for name in compared]
            if nginx:
                say(turn, "nginx")
                with world.nginx(folder, mock.port) as server:
                    target = streams.Target(folder, server.port, streams.OPENAI, server.pids)
                    results.runs += [("nginx", target.run(name)) for name in compared]
            say(turn, "apiary")
            with world.apiary(instance, openrouter) as server:
                target = streams.Target(folder, server.port, streams.ASK, server.pids, people)
                _apiary(results, server, target, names)
                if not chosen.only:
                    results.pages |= pages.measure(server.port, lines[0])
            if chosen.processes:
                name = "apiary, site"
                say(turn, name)
                site = _site(chosen.processes)
                lines = world.populate(folder / "site", openrouter, asking, 0, **site)
                people.write_text("\n".join(lines) + "\n")
                with world.apiary(folder / "site", openrouter, **site) as server:
                    # The first has answered; the others are on their way.
                    time.sleep(3)
                    target = streams.Target(folder, server.port, streams.ASK, server.pids, people)
                    results.servers[name] = _idle(server)
                    target.run("warm")
                    results.runs += [(name, target.run(scenario)) for scenario in names]
            for peer in peers.installed() if chosen.peers else []:
                say(turn, peer.name)
                with peer.serve(folder, mock.port) as running:
                    results.servers[peer.name] = _idle(running.server)
                    results.servers[peer.name]["installed MB"] = peer.size()
                    for way, client in running.ways.items():
                        results.runs += [(way, run) for run in _neighbour(client, names)]
    if not chosen.only:
        results.pages |= pages.connect(folder)
    return results


def _site(processes: int) -> dict[str, str]:
    """:raises RuntimeError: nobody has said where."""
    names = {"APIARY_DATABASE_URL": "BENCH_DATABASE_URL", "APIARY_REDIS_URL": "BENCH_REDIS_URL"}
    if missing := [name for name in names.values() if not os.environ.get(name)]:
        raise RuntimeError(f"Several processes need a database and Redis: {', '.join(missing)}.")
    urls = {name: os.environ[given] for name, given in names.items()}
    return urls | {"WEB_CONCURRENCY": str(processes)}


def _idle(server: world.Server) -> dict[str, float | None]:
    return {"cold start s": server.cold, "idle MiB": world.procstat.memory(server.pids)}


def _apiary(
    results: Results, server: world.Server, target: streams.Target, names: Iterable[str]
) -> None:
    figures = results.servers["apiary"] = _idle(server)
    idle = figures["idle MiB"] or 0.0
    few: float | None = None
    target.run("warm")
    for name in names:
        run = target.run(name)
        results.runs.append(("apiary", run))
        if name == "p100":
            few = run.memory
        if name == "p500":
            # The first questions load what all need: languages, templates, copies of the pages
            # that the process shared with its parent.
            figures["kB a stream, from idle on"] = (run.memory - idle) * 1024 / 500
            if few is not None:
                figures["kB a stream more"] = (run.memory - few) * 1024 / 400


def _neighbour(client: streams.Client, names: Iterable[str]) -> list[streams.Run]:
    """Its runs. Where it fails at 100 paced streams: at how many it does not."""
    client.run("warm")
    runs = [client.run(name) for name in names if name in streams.NEIGHBOURS]
    fails = any(run.scenario == "p100" and not run.smooth for run in runs)
    for name in ("p50", "p25", "p10") if fails else ():
        runs.append(client.run(name))
        if runs[-1].smooth:
            break
    return runs


def beside(chosen: argparse.Namespace) -> str:
    """Which neighbours were there, and why others were not."""
    if chosen.apiary_only:
        return f"Apiary alone.{_of_site(chosen)}"
    there = [f"{peer.name} {peer.version}" for peer in peers.installed()]
    if chosen.peers:
        missing = [name for name in peers.PEERS if name not in {p.name for p in peers.installed()}]
        left = f" Not installed: {', '.join(missing)}." if missing else ""
        return f"Neighbours: {', '.join(there)}.{left}{_of_site(chosen)}"
    how = "--peers" if there else "python bench/peers.py install, then --peers"
    left = f"LiteLLM's proxy and Open WebUI were left out ({how} takes them in)."
    return left + _of_site(chosen)


def _of_site(chosen: argparse.Namespace) -> str:
    if not chosen.processes:
        return ""
    return f" The site: PostgreSQL and Redis, processes: {chosen.processes}; theirs is not counted."


def say(turn: int, name: str) -> None:
    print(f"round {turn + 1}: {name} ...", file=sys.stderr, flush=True)


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    return ""


if __name__ == "__main__":
    began = time.monotonic()
    status = main()
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    sys.exit(status)
