"""What is aimed at, in one place: on one machine with two cores, as ratios of one run."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import streams

Figures = dict[str, float | None]
SEARCH = "search over 100,000 messages"


@dataclass
class Results:
    """All that one run measured. ``runs`` are (server, run), ``servers`` figures by server."""

    runs: list[tuple[str, streams.Run]] = field(default_factory=list)
    servers: dict[str, Figures] = field(default_factory=dict)
    pages: Figures = field(default_factory=dict)

    def median(self, server: str, scenario: str, what: str) -> float | None:
        """The median over the rounds; None where it was not measured."""
        found = [getattr(r, what) for s, r in self.runs if s == server and r.scenario == scenario]
        known = [value for value in found if value is not None and value >= 0]
        return statistics.median(known) if known else None

    def cpu_ratio(self, scenario: str, server: str, to: str) -> float | None:
        """How many times the CPU of ``to`` a token costs ``server``."""
        one, other = self.median(server, scenario, "cpu"), self.median(to, scenario, "cpu")
        return one / other if one and other else None

    def first_added(self, server: str, scenario: str = "first") -> float | None:
        """ms that the first token comes later than without anything between."""
        first = self.median(server, scenario, "first")
        direct = self.median("direct", scenario, "first")
        return first - direct if first is not None and direct is not None else None

    def cpu_of_answer(self, server: str) -> float | None:
        """ms of CPU of an answer of one token: what a question costs."""
        cpu = self.median(server, "first", "cpu")
        return None if cpu is None else cpu / 100

    def most_smooth(self, server: str) -> int | None:
        """The largest number of paced streams that all came whole, p99 under 100 ms."""
        ladder = [r for s, r in self.runs if s == server and r.scenario in streams.LADDER]
        failed = {r.scenario for r in ladder if not r.smooth}
        held = [streams.SCENARIOS[r.scenario].streams for r in ladder if r.scenario not in failed]
        return max(held, default=0) if ladder else None


@dataclass(frozen=True)
class Goal:
    """``limit`` is the most that is allowed, in ``unit``."""

    name: str
    limit: float
    unit: str
    measured: Callable[[Results], float | None]


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _lost(results: Results, scenario: str) -> float | None:
    whole = results.median("apiary", scenario, "whole")
    return None if whole is None else 100 * (1 - whole)


def _server(name: str) -> Callable[[Results], float | None]:
    return lambda results: results.servers.get("apiary", {}).get(name)


GOALS = (
    Goal(
        "CPU for a token flat out, beside nginx", 8, "×",
        lambda r: r.cpu_ratio("flat", "apiary", "nginx"),
    ),
    Goal(
        "CPU for a token at 500 streams, beside nginx", 3, "×",
        lambda r: r.cpu_ratio("p500", "apiary", "nginx"),
    ),
    Goal(
        "CPU for a token flat out, of LiteLLM's", 2.5, "%",
        lambda r: _percent(r.cpu_ratio("flat", "apiary", "litellm")),
    ),
    Goal(
        "CPU for a token flat out, of Open WebUI's, which keeps the answer too", 25, "%",
        lambda r: _percent(r.cpu_ratio("flat", "apiary", "open-webui, kept")),
    ),
    Goal(
        "the same, of Open WebUI's API, which keeps nothing", 25, "%",
        lambda r: _percent(r.cpu_ratio("flat", "apiary", "open-webui")),
    ),
    Goal("first token later than direct", 3, "ms", lambda r: r.first_added("apiary")),
    Goal(
        "delay of a token, p99, 500 streams of 50 a second", 100, "ms",
        lambda r: r.median("apiary", "p500", "late"),
    ),
    Goal("answers of these 500 that did not come whole", 0, "%", lambda r: _lost(r, "p500")),
    Goal(
        "delay of a token, p99, 1,000 streams of 10 a second", 50, "ms",
        lambda r: r.median("apiary", "s1000", "late"),
    ),
    Goal("memory when idle", 150, "MiB", _server("idle MiB")),
    Goal(
        "memory for each stream more, from 100 to 500", 60, "kB", _server("kB a stream more")
    ),
    Goal("cold start", 1.5, "s", _server("cold start s")),
    Goal(SEARCH, 50, "ms", lambda r: r.pages.get(SEARCH)),
)  # fmt: skip


def judged(results: Results) -> Iterator[tuple[Goal, float, bool]]:
    """Each goal that this run says something about, what it measured, and whether it is met."""
    for goal in GOALS:
        value = goal.measured(results)
        if value is not None:
            yield goal, value, value <= goal.limit
