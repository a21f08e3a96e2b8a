"""The helper that serves apps to the tests."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
from flask import Flask, Response

from tests.servers import serve


def test_serves_in_threads_and_frees_the_port():
    app = Flask(__name__)
    meeting = threading.Barrier(2, timeout=5)

    @app.get("/")
    def index() -> str:
        meeting.wait()
        return "met"

    with serve(app) as base:
        other = threading.Thread(target=httpx.get, args=(base,))
        other.start()
        assert httpx.get(base).text == "met"
        other.join()
    with pytest.raises(httpx.ConnectError):
        httpx.get(base)


def test_leaving_ends_a_stream_that_would_not_end():
    app = Flask(__name__)

    @app.get("/")
    def index() -> Response:
        def forever():
            while True:
                time.sleep(0.01)
                yield b"x"

        return Response(forever())

    began = time.monotonic()
    # Other tests of this process may have left threads of their own.
    before = set(threading.enumerate())
    with httpx.Client() as client:
        with serve(app) as base:
            request = client.build_request("GET", base)
            answer = client.send(request, stream=True)
        with pytest.raises(httpx.TransportError):
            answer.read()
        answer.close()
    assert time.monotonic() - began < 2
    assert [one for one in threading.enumerate() if one not in before] == []
