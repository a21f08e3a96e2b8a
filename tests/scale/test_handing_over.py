"""Readers whose sockets the server hands to the relay: they hold no thread of it."""

import contextlib
import itertools
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from apiary.host import relay
from apiary.host.readers import MOST_OF_OWNER
from tests.scale.running import app, text_of, workers

pytestmark = pytest.mark.skipif(not relay.available(), reason="the relay needs epoll")


def sockets(pid: int) -> int:
    count = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(file.readlink()).startswith("socket:")
    return count


def test_more_readers_than_threads(tmp_path, sandbox, person):
    sandbox.state.switches.pace = 0.2
    with app(tmp_path, sandbox.url, threads=1) as (_, base), ExitStack() as stack:
        ann = person(base)
        running = [
            stack.enter_context(one.ask(base))
            for one in (ann, ann.another(base), ann.another(base))
        ]
        begun = [list(itertools.islice(events, 1)) for events in running]
        # The one thread is free for everybody else while three answers run.
        assert httpx.get(f"{base}/healthz", timeout=10).status_code == 200
        for first, events in zip(begun, running, strict=True):
            found = first + list(events)
            assert found[-1][1] == "done" and "Counting" in text_of(found)


def test_the_connection_serves_on_after_an_answer(tmp_path, sandbox, person):
    with app(tmp_path, sandbox.url) as (_, base):
        ann = person(base)
        ports = []
        for _ in range(3):
            with ann.http.stream(
                "POST",
                f"{base}{ann.talk}/messages",
                json={"text": "Bees?", "model": "sandbox/echo"},
                headers=ann.headers,
            ) as response:
                stream = response.extensions["network_stream"]
                ports.append(stream.get_extra_info("client_addr")[1])
                assert b"event: done" in response.read()
        assert len(set(ports)) == 1


def test_a_reader_that_goes_gives_its_connection_back(tmp_path, sandbox, person):
    sandbox.state.switches.pace = 0.1
    with app(tmp_path, sandbox.url) as (server, base):
        ann = person(base)
        [worker] = workers(server)
        before = sockets(worker)
        with ann.ask(base) as events:
            assert next(events)
            assert sockets(worker) > before
        # Closed in mid-answer; the answer goes on, and ends by itself.
        end = time.monotonic() + 20
        while ann.messages(base)[-1]["state"] == "streaming":
            assert time.monotonic() < end
            time.sleep(0.1)
        # One to the provider is kept for the next answer.
        while sockets(worker) > before + 1:
            assert time.monotonic() < end, "sockets are left open"
            time.sleep(0.1)


def test_the_line_of_an_answer_tells_how_long_it_took(tmp_path, sandbox, person):
    sandbox.state.switches.pace = 0.1
    with app(tmp_path, sandbox.url) as (_, base):
        ann = person(base)
        began = time.monotonic()
        with ann.ask(base) as events:
            list(events)
        took = (time.monotonic() - began) * 1000
        log = tmp_path / f"log{base.rpartition(':')[2]}"
        end = time.monotonic() + 5
        while not (lines := re.findall(r"POST /c/<id>/messages 200 (\d+)ms", log.read_text())):
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        assert len(lines) == 1 and int(lines[0]) > took / 2


def test_a_request_that_breaks_off_keeps_no_place(tmp_path, sandbox, person):
    """What follows the head cannot be read, and nothing is handed over after all."""
    sandbox.state.switches.pace = 0.3
    with app(tmp_path, sandbox.url) as (_, base):
        ann, place = person(base), httpx.URL(base)
        cookies = "; ".join(f"{name}={value}" for name, value in ann.http.cookies.items())
        broken = (
            f"GET {ann.talk}/stream HTTP/1.1\r\nHost: {place.netloc.decode()}\r\n"
            f"Cookie: {cookies}\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n"
        ).encode()
        with ann.ask(base) as events:
            assert next(events)
            for _ in range(MOST_OF_OWNER):
                with socket.create_connection((place.host, place.port), timeout=15) as wire:
                    wire.sendall(broken)
                    while wire.recv(65536):
                        pass
            with ann.follow(base) as (status, _):
                assert status == 200
