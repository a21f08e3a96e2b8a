"""Streams through a server: how long, how evenly and for how much CPU."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Protocol

import procstat


@dataclass(frozen=True)
class Scenario:
    """``model`` tells the upstream how many tokens to send and how many ms apart."""

    model: str
    streams: int
    tokens: int
    arguments: tuple[str, ...] = ()
    seconds: float = 45


def _paced(streams: int, tokens: int, ramp: int, gap: int = 20) -> Scenario:
    """Streams that begin over ``ramp`` ms; delays count from when all run to the first's end."""
    window = f"{ramp + 300},{tokens * gap}"
    model = f"mock-c{tokens}-d{gap}"
    seconds = max(45, (ramp + tokens * gap) / 1000 + 60)
    return Scenario(model, streams, tokens, ("-r", str(ramp), "-w", window), seconds)


SCENARIOS = {
    "warm": Scenario("mock-c20-d0", 4, 20, ("-t", "40")),
    "first": Scenario("mock-c1-d0", 1, 1, ("-t", "100")),
    "flat": Scenario("mock-c2000-d0", 8, 2000, ("-t", "80")),
    "p10": _paced(10, 250, 500),
    "p25": _paced(25, 250, 500),
    "p50": _paced(50, 250, 500),
    "p100": _paced(100, 300, 1500),
    "p200": _paced(200, 300, 2500),
    "p300": _paced(300, 350, 3500),
    "p500": _paced(500, 450, 5500),
    "p750": _paced(750, 450, 7000),
    "p1000": _paced(1000, 650, 10000),
    "s1000": _paced(1000, 110, 8000, gap=100),
    # As many as one process takes, one token a second; seven minutes.
    "s2000": _paced(2000, 240, 150_000, gap=1000),
}
#: The same for each token, but a neighbour would take minutes for as many as the others do.
LIGHT = SCENARIOS | {"flat": Scenario("mock-c2000-d0", 8, 2000, ("-t", "16"))}
LADDER = ("p10", "p25", "p50", "p100", "p200", "p300", "p500", "p750", "p1000")
COMPARED = ("first", "flat", "p100", "p500", "s1000")
NEIGHBOURS = ("first", "flat", "p100", "p500")
QUICK = ("first", "flat", "p100", "p200", "p500", "s1000")
FULL = ("first", "flat", *LADDER[3:], "s1000")

#: How a server is asked: the path, and the body for a model.
OPENAI = (
    "/api/v1/chat/completions",
    lambda model: {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": "Tell me about bees. " * 10}],
    },
)
ASK = ("/ask", lambda model: {"model": model, "text": "Tell me about bees. " * 10})


@dataclass(frozen=True)
class Run:
    """``whole`` is the share of answers that came complete; times are in ms.

    ``cpu`` is in seconds of the server for 100,000 tokens, ``others`` the cores that were
    busy with something else.
    """

    scenario: str
    whole: float
    cpu: float | None
    first: float
    delay: float
    late: float
    speed: float
    memory: float
    others: float
    raw: dict[str, Any]

    @property
    def smooth(self) -> bool:
        return self.whole == 1 and 0 <= self.late < 100


class Client(Protocol):
    """One way to ask one server."""

    def run(self, name: str) -> Run: ...


@dataclass(frozen=True)
class Target:
    """A server that answers each request with its stream. ``people``: see loadgen's -H."""

    folder: Path
    port: int
    how: tuple[str, Any]
    pids: list[int]
    people: Path | None = None
    light: bool = False

    def run(self, name: str) -> Run:
        scenario = (LIGHT if self.light else SCENARIOS)[name]
        path, body = self.how
        command = [str(self.folder / "loadgen"), "-P", path]
        command += letters(scenario, self.port, body(scenario.model), scenario.seconds)
        if self.people:
            command += ["-H", str(self.people)]
        return _watch(name, command, self.pids)


@dataclass(frozen=True)
class Sockets:
    """Open WebUI, asked as its own page asks; see sockets.py."""

    port: int
    pids: list[int]
    token: str

    def run(self, name: str) -> Run:
        scenario = LIGHT[name]
        script = Path(__file__).with_name("sockets.py")
        command = [sys.executable, str(script), "--token", self.token]
        command += letters(scenario, self.port, OPENAI[1](scenario.model))
        return _watch(name, command, self.pids)


def letters(scenario: Scenario, port: int, body: dict[str, Any], seconds: float = 45) -> list[str]:
    """What loadgen and sockets.py are told; after ``seconds`` they give up."""
    told = ["-p", str(port), "-b", json.dumps(body), "-n", str(scenario.streams)]
    return [*told, "-T", str(int(seconds)), "-W", str(scenario.tokens), *scenario.arguments]


def _watch(name: str, command: list[str], pids: list[int]) -> Run:
    """Run a load, and see what it costs the processes that carry it."""
    cpu, busy, began = procstat.cpu(pids), procstat.busy(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    memory = 0.0
    while process.poll() is None:
        time.sleep(0.25)
        if pids and time.monotonic() - began > 3:
            memory = max(memory, procstat.memory(pids))
    assert process.stdout
    found = json.loads(process.stdout.read())
    wall = time.monotonic() - began
    cpu = procstat.cpu(pids) - cpu
    bad = ("bad_status", "bad_early", "bad_conn", "bad_short", "timeouts")
    asked = found["ok"] + sum(found[kind] for kind in bad)
    # What is not the server's and not the client's; the upstream's share is small.
    others = (procstat.busy() - busy - cpu - found["client_cpu_s"]) / wall
    return Run(
        scenario=name,
        whole=found["ok"] / max(1, asked),
        cpu=cpu * 1e5 / found["tokens"] if pids and found["tokens"] else None,
        first=found["ttft_ms"]["p50"],
        delay=found["lat_ms"]["p50"],
        late=found["lat_ms"]["p99"],
        speed=found["tok_per_s"],
        memory=memory,
        others=max(0.0, others),
        raw=found,
    )


def get(port: int, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
