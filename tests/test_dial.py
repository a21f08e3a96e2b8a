"""The dial: deadlines, certificates, one judged address, and connections of one process only."""

import os
import socket
import ssl
import time
import warnings
from contextlib import closing
from typing import Any

import httpcore
import pytest

from apiary.addresses import Policy
from apiary.dial import tcp
from apiary.http import Http, Unusable
from tests.raw import OK, STREAM, Raw, Tls, answer, chunk, talk


@pytest.mark.parametrize("start", [b"", OK, OK + b"Content-Length: 1000\r\n\r\n"])
def test_the_wall_time_holds_against_a_trickle(start: bytes) -> None:
    def trickle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(start)
        for byte in (OK + b"X: " + b"y" * 500) if not start else b"z" * 500:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    with talk(trickle) as (server, http):
        begun = time.monotonic()
        with pytest.raises(Unusable) as caught:
            http.json("GET", server.url, total=0.4)
        assert time.monotonic() - begun < 1.5
    assert caught.value.reason == "timeout"


def test_nobody_there() -> None:
    with closing(Raw(b"")) as server:
        pass
    http = Http(Policy(frozenset({server.url})))
    with pytest.raises(Unusable) as caught:
        http.json("GET", server.url)
    assert (caught.value.reason, caught.value.sent) == ("unreachable", False)


def test_a_certificate_that_nobody_vouches_for(tls: Tls) -> None:
    stranger = (tls[0], ssl.create_default_context())
    with talk(answer(b"{}"), stranger) as (server, http), pytest.raises(Unusable) as caught:
        http.json("GET", server.url)
    assert (caught.value.reason, caught.value.sent) == ("unreachable", False)
    assert server.requests == []


def test_hung_up_before_the_answer() -> None:
    def hang_up(connection: socket.socket, request: bytes) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    with talk(hang_up) as (server, http), pytest.raises(Unusable) as caught:
        http.json("POST", server.url, body={})
    assert (caught.value.reason, caught.value.sent) == ("broken", True)
    assert len(server.requests) == 1, "nothing is sent twice"


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with talk(answer(b"{}")) as (server, http):
        assert http.json("GET", server.url).data == {}


def test_after_dispose_it_begins_anew() -> None:
    with talk(answer(b"{}")) as (server, http):
        http.json("GET", server.url)
        http.dispose()
        http.dispose()
        assert http.json("GET", server.url).status == 200
        assert server.connections == 2


def test_a_forked_process_makes_connections_of_its_own() -> None:
    with talk(answer(b"{}")) as (server, http):
        http.json("GET", server.url)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
            child = os.fork()
        if child == 0:
            try:
                os._exit(0 if http.json("GET", server.url).status == 200 else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert http.json("GET", server.url).status == 200
        assert (server.connections, len(server.requests)) == (2, 3)


def test_the_name_is_kept_though_an_address_is_dialled(
    tls: Tls,
) -> None:
    names: list[str | None] = []
    tls[0].sni_callback = lambda sock, name, context: names.append(name)
    with closing(Raw(answer(b"{}"), tls[0])) as server:
        url = f"https://llm.example:{server.port}"
        http = Http(Policy(frozenset({url})), resolver=lambda host, port: ["127.0.0.1"], tls=tls[1])
        assert http.json("GET", url + "/v1").status == 200
        http.dispose()
    tls[0].sni_callback = None
    assert names == ["llm.example"]
    assert f"host: llm.example:{server.port}".encode() in server.requests[0].lower()


def test_interim_answers_do_not_go_on_for_ever() -> None:
    """Each is a sign of life: no time limit but that of the whole answer would end them."""

    def handler(connection: socket.socket, request: bytes) -> None:
        while True:
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 100)

    with talk(handler) as (server, http):
        with pytest.raises(Unusable) as told:
            http.events("GET", server.url, total=15)
        assert told.value.reason == "broken"


def test_a_stream_after_an_interim_answer() -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + STREAM + chunk(b"data: 1\n\n") + b"0\r\n\r\n"
    with talk(raw) as (server, http):
        for _ in range(2):
            assert list(http.events("GET", server.url)) == [("message", "1")]
        assert server.connections == 1


def test_a_stream_whose_head_has_short_lines() -> None:
    head = STREAM.replace(b"\r", b"")
    with talk(head + chunk(b"data: 1\n\n") + b"0\r\n\r\n") as (server, http):
        for _ in range(2):
            assert list(http.events("GET", server.url, total=10)) == [("message", "1")]
        assert server.connections == 1


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_a_request_goes_out_as_one_piece(size: int) -> None:
    """Two would be two packets, and two records of TLS; what is large goes as it is made."""
    sent: list[bytes] = []

    def dial(*address: Any, **how: Any) -> httpcore.NetworkStream:
        stream = tcp(*address, **how)
        write = stream.write

        def noted(data: bytes, timeout: float | None = None) -> None:
            sent.append(data)
            write(data, timeout)

        stream.write = noted  # type: ignore[method-assign]
        return stream

    with closing(Raw(answer(b"{}", b"Content-Type: application/json"))) as server:
        http = Http(Policy(frozenset({server.url})), dial=dial)
        body = b"x" * size
        for _ in range(2):
            http.json("POST", server.url, body=body, headers={"content-type": "text/plain"})
        http.dispose()
        assert len(server.requests) == 2
        assert all(request.endswith(b"\r\n\r\n" + body) for request in server.requests)
    assert [data for data in sent if data] == server.requests
