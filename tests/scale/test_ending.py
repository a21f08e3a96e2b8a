"""What a stop and a reload of the server do to answers that run."""

import itertools
import signal
import threading
import time

import pytest

from tests.scale.running import app, text_of, workers


@pytest.fixture
def paced(sandbox):
    sandbox.state.switches.pace = 1.0
    return sandbox


def test_an_answer_ends_within_the_grace_of_a_stop(tmp_path, sandbox, person):
    sandbox.state.switches.pace = 0.1
    with app(tmp_path, sandbox.url, grace=12) as (server, base):
        ann = person(base)
        with ann.ask(base) as events:
            found = list(itertools.islice(events, 2))
            server.send_signal(signal.SIGTERM)
            found += events
        assert found[-1][1] == "done" and "Counting" in text_of(found)
        assert server.wait(30) == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_what_lasts_longer_is_kept_and_marked(tmp_path, paced, person, name):
    with app(tmp_path, paced.url) as (server, base):
        ann = person(base)
        with ann.ask(base) as events:
            found = list(itertools.islice(events, 2))
            server.send_signal(getattr(signal, name))
            found += events
        assert server.wait(30) == 0
        # Said by the worker itself: it was not ended from outside.
        assert found[-1][1] == "error" and found[-1][2]["code"] == "broken_off"
    with app(tmp_path, paced.url) as (_, base):
        row = ann.messages(base)[-1]
        assert (row["state"], row["text"]) == ("incomplete", text_of(found))


def test_a_reload_refuses_nobody(tmp_path, sandbox, person):
    with app(tmp_path, sandbox.url) as (server, base):
        ann = person(base)
        [old] = workers(server)
        refused: list[str] = []
        over = threading.Event()

        def knock():
            import httpx

            while not over.is_set():
                try:
                    httpx.get(f"{base}/healthz", timeout=10).raise_for_status()
                except httpx.HTTPError as error:
                    refused.append(repr(error))

        thread = threading.Thread(target=knock)
        thread.start()
        server.send_signal(signal.SIGHUP)
        end = time.monotonic() + 20
        while old in workers(server) and time.monotonic() < end:
            time.sleep(0.1)
        over.set()
        thread.join()
        assert old not in workers(server) and not refused
        with ann.ask(base, "sandbox/echo", "still there") as events:
            assert text_of(events)
