"""The benchmark's judgement: a goal is met, missed or not measured, and the tables say which."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The folder's modules import each other by their bare names, as scripts do."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    import report

    yield report
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCH)):
            del sys.modules[name]


def run(bench: ModuleType, scenario: str, **more: Any) -> Any:
    plain = {"whole": 1.0, "cpu": 1.0, "first": 5.0, "delay": 1.0, "late": 20.0, "speed": 100.0}
    plain |= {"memory": 80.0, "others": 0.0, "raw": {}}
    return bench.streams.Run(scenario=scenario, **(plain | more))


def test_goals_are_met_missed_or_left_out(bench: ModuleType) -> None:
    results = bench.Results(
        runs=[
            ("direct", run(bench, "first", first=1.0)),
            ("apiary", run(bench, "first", first=5.0)),
            ("nginx", run(bench, "flat", cpu=0.2)),
            ("apiary", run(bench, "flat", cpu=1.2)),
            ("apiary", run(bench, "p500", whole=0.99, late=150.0)),
        ],
        servers={"apiary": {"idle MiB": 70.0}},
    )
    judged = {goal.name: (value, met) for goal, value, met in bench.goals.judged(results)}
    assert judged["first token later than direct"] == (4.0, False)
    value, met = judged["CPU for a token flat out, beside nginx"]
    assert (round(value, 6), met) == (6.0, True)
    assert judged["memory when idle"] == (70.0, True)
    value, met = judged["answers of these 500 that did not come whole"]
    assert (round(value, 6), met) == (1.0, False)
    assert "cold start" not in judged and "CPU for a token flat out, of LiteLLM's" not in judged


def test_the_median_of_the_rounds_counts(bench: ModuleType) -> None:
    rounds = [("apiary", run(bench, "p100", late=late)) for late in (10.0, 900.0, 30.0)]
    assert bench.Results(runs=rounds).median("apiary", "p100", "late") == 30.0


def test_streams_are_held_only_where_no_round_failed(bench: ModuleType) -> None:
    held = [("apiary", run(bench, name)) for name in ("p100", "p200", "p300")]
    results = bench.Results(runs=[*held, ("apiary", run(bench, "p300", late=101.0))])
    assert results.most_smooth("apiary") == 200
    assert results.most_smooth("litellm") is None


def test_tables_name_what_was_missed_and_by_how_much(bench: ModuleType) -> None:
    results = bench.Results(
        runs=[
            ("nginx", run(bench, "flat", cpu=0.1)),
            ("apiary", run(bench, "flat", cpu=1.6)),
            ("open-webui, kept", run(bench, "flat", cpu=8.0)),
        ],
        servers={"apiary": {"cold start s": 1.25}},
        pages={"model list": 9.0},
    )
    told = bench.tables(results)
    assert (
        "| CPU for a token flat out, beside nginx | 8 × | 16.0 × | **missed, 2.0 times** |" in told
    )
    assert "| cold start | 1.5 s | 1.2 s | met |" in told
    assert "| flat: 8 streams flat out | open-webui, kept | 100 % | 8.00 | 80.0 |" in told
    assert "| model list | 9.0 |" in told


def test_runs_are_kept_on_top(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = tmp_path / "history.md"
    monkeypatch.setattr(bench, "HISTORY", history)
    bench.keep("quick", "older")
    bench.keep("full, quiet", "newer")
    text = history.read_text()
    assert text.startswith("# Runs, the newest first\n\n## ")
    assert text.index("newer") < text.index("older")
    assert ", full, quiet\n" in text


def test_profiles_are_read_by_function_library_and_thread(bench: ModuleType) -> None:
    import hotpaths

    relay = 'thread (0x7f): "apiary-relay"'
    text = (
        f"process 7:python;{relay};run (threading.py:9);_turn (apiary/host/relay.py:8);"
        "decode (json/decoder.py:3) 30\n"
        f"{relay};run (threading.py:9);_turn (/x/apiary/host/relay.py:9) 10\n"
        'thread (0x8): "ThreadPoolExecutor-0_3";go (gunicorn/workers/gthread.py:1);'
        "execute (peewee.py:2) 60\nnonsense\n"
    )
    found = hotpaths.Profile.read(text)
    assert found.samples == 100
    assert found.under == {"apiary/host/relay.py _turn": 40}
    assert found.own["json/decoder.py decode"] == 30
    assert found.kinds == {"JSON": 30, "Apiary": 10, "SQL": 60}
    assert found.threads == {"apiary-relay": 40, "pool": 60}
