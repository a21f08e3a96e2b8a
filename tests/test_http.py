"""The door to the outside, against servers that do what servers must not."""

import datetime as dt
import gzip
import json
import logging
import os
import socket
import ssl
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from apiary.addresses import Policy
from apiary.errors import EndpointRefused, ProviderDown
from apiary.http import Http, Unusable

KEY = "sk-canary-0123456789abcdef"
OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Handler = Callable[[socket.socket, bytes], None]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", b""]
    return b"\r\n".join(lines) + body


class Raw:
    """A server of bytes: ``handler`` gets each request and the socket."""

    def __init__(self, handler: Handler | bytes, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = threading.Event()
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            while request := self._request(connection):
                self.requests.append(request)
                if isinstance(self.handler, bytes):
                    connection.sendall(self.handler)
                else:
                    self.handler(connection, request)
        except OSError:
            pass
        finally:
            connection.close()
            self.closed.set()

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        # shutdown wakes the thread that accepts; close alone leaves it blocked.
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@contextmanager
def talk(
    handler: Handler | bytes, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
) -> Iterator[tuple[Raw, Http]]:
    with closing(Raw(handler, tls and tls[0])) as server:
        http = Http(Policy(frozenset({server.url})), tls=tls and tls[1])
        try:
            yield server, http
        finally:
            http.dispose()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context with a certificate for 127.0.0.1."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("llm.example")]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cafile=str(path))
    return server, client


def test_a_plain_answer() -> None:
    with talk(answer(b'{"a": [1, "\xc3\xa9"]}', b"X-Thing: 7")) as (server, http):
        reply = http.json(
            "POST", server.url + "/x?y=1", headers={"x-api-key": KEY}, body={"q": "é"}
        )
    assert (reply.status, reply.data, reply.headers["x-thing"]) == (200, {"a": [1, "é"]}, "7")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert f"x-api-key: {KEY}".encode() in head.lower()
    assert b"content-type: application/json" in head.lower()
    assert b"accept-encoding: identity" in head.lower()
    assert b"cookie" not in head.lower()
    assert f"host: 127.0.0.1:{server.port}".encode() in head.lower()
    assert json.loads(body) == {"q": "é"}


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"<!doctype html><p>Welcome to the hotel's network"),
        answer(b""),
        answer(b"null"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        answer(b'{"key": "cut'),
        answer(b'{"a": NaN}'),
        answer(b'{"a": 1, "a": 2}'),
        answer(b"[" * 65 + b"]" * 65),
        answer(b"[" * 30_000),
        answer(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        answer(b"[" + b"1," * 40_000 + b"1]"),
        answer(b"\xff\xfe\x00"),
        answer(gzip.compress(b"[" + b"0," * 1_000_000 + b"0]"), b"Content-Encoding: gzip"),
        answer(b"{}", b"Content-Encoding: br"),
        answer(b"{}", b"Location: https://openrouter.ai/", status=b"301 Moved"),
        answer(b"{}", b"Location: /elsewhere", status=b"307 Moved"),
        OK + b"Content-Length: 100000000000\r\n\r\n" + b"x" * 100_000,
        OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n",
    ],
)
def test_what_cannot_be_used(raw: bytes) -> None:
    with talk(raw) as (server, http), pytest.raises(Unusable) as caught:
        http.json("GET", server.url)
    assert caught.value.reason in {"answer", "broken"}
    assert caught.value.sent
    assert isinstance(caught.value, ProviderDown)
    assert len(server.requests) == 1


def test_brackets_in_text_are_no_nesting() -> None:
    body = json.dumps({"a": '[{"\\' * 500}).encode()
    with talk(answer(body)) as (server, http):
        assert http.json("GET", server.url).data == {"a": '[{"\\' * 500}


@pytest.mark.parametrize("body", [b'{"error": "x"}', b"<html>", b"", b"x" * 200_000, b"\xff"])
def test_an_error_status_is_an_answer_whatever_its_body(body: bytes) -> None:
    with talk(answer(body, status=b"429 Slow down")) as (server, http):
        reply = http.json("GET", server.url)
    assert reply.status == 429
    assert reply.data == ({"error": "x"} if body.startswith(b"{") else None)


def test_a_long_list_fits_a_larger_cap() -> None:
    body = json.dumps([{"id": "x" * 1000}] * 3000).encode()
    with talk(answer(body)) as (server, http):
        assert len(http.json("GET", server.url, cap=8 * 1024 * 1024).data) == 3000


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


def test_a_certificate_that_nobody_vouches_for(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
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


def test_no_cookie_is_kept() -> None:
    raw = answer(b"{}", b"Set-Cookie: session=of-another-user; Path=/")
    with talk(raw) as (server, http):
        http.json("GET", server.url)
        http.json("GET", server.url)
    assert len(server.requests) == 2
    assert all(b"cookie" not in request.lower() for request in server.requests)


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with talk(answer(b"{}")) as (server, http):
        assert http.json("GET", server.url).data == {}


def test_nothing_is_sent_where_the_policy_forbids() -> None:
    with closing(Raw(answer(b"{}"))) as server:
        http = Http(Policy())
        for call in (http.json, http.events):
            with pytest.raises(EndpointRefused):
                call("GET", server.url)
    assert server.connections == 0


def test_no_secret_in_errors_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with talk(answer(b"{}")) as (server, http):
        http.json("GET", server.url, headers={"authorization": f"Bearer {KEY}"})
        with pytest.raises(Unusable) as caught:
            http.json("GET", server.url, headers={"authorization": f"Bearer {KEY}\n"})
    error = caught.value
    text = "".join(traceback.format_exception(error)) + repr(error) + str(error.args)
    assert KEY not in text
    assert error.__cause__ is None and error.__context__ is None
    assert KEY not in caplog.text and server.url not in caplog.text


def test_the_first_requests_of_many_threads() -> None:
    with talk(answer(b"{}")) as (server, http):
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(http.json("GET", server.url).status))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert found == [200] * 20


def test_a_transport_of_the_tests() -> None:
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, json={"u": str(request.url)})
    )
    http = Http(Policy(), transport=transport)
    assert http.json("GET", "https://api.example/v1").data == {"u": "https://api.example/v1"}


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
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
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


# --- events


def script(*pieces: bytes, end: bool = True) -> Handler:
    def run(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM)
        for piece in pieces:
            connection.sendall(chunk(piece))
        if end:
            connection.sendall(b"0\r\n\r\n")
        else:
            connection.recv(1)

    return run


def test_events_come_one_by_one() -> None:
    go = threading.Event()

    def run(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM + chunk(b"data: one\n\n"))
        go.wait(5)
        connection.sendall(chunk(b"event: x\nda") + chunk(b"ta: two\n\n") + b"0\r\n\r\n")

    with talk(run) as (server, http):
        events = http.events("POST", server.url, body={})
        assert (events.status, events.reply) == (200, None)
        each = iter(events)
        assert next(each) == ("message", "one")
        go.set()
        assert list(each) == [("x", "two")]
        assert list(events) == []


@pytest.mark.parametrize("secure", [False, True])
def test_closing_from_another_thread_ends_a_blocked_read(
    secure: bool, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    with talk(script(b"data: one\n\n", end=False), tls if secure else None) as (server, http):
        events = http.events("POST", server.url, body={})
        threading.Timer(0.2, events.close).start()
        begun = time.monotonic()
        assert list(events) == [("message", "one")]
        assert time.monotonic() - begun < 2
        assert server.closed.wait(2), "the server hears of it"


def test_closing_before_and_between_reads() -> None:
    with talk(script(b"data: one\n\n", end=False)) as (server, http):
        events = http.events("POST", server.url)
        events.close()
        events.close()
        assert list(events) == []
        assert server.closed.wait(2)
        events = http.events("POST", server.url)
        assert next(iter(events)) == ("message", "one")
        events.close()
        assert list(events) == []


def test_many_closes_race_with_reads() -> None:
    with talk(script(*[b"data: x\n\n"] * 50)) as (server, http):
        for attempt in range(40):
            events = http.events("POST", server.url)
            closer = threading.Timer(attempt / 20_000, events.close)
            closer.start()
            assert all(event == ("message", "x") for event in events)
            closer.join()
        assert len(list(http.events("POST", server.url))) == 50


def test_a_late_close_does_not_cut_the_next_answer() -> None:
    with talk(script(*[b"data: x\n\n"] * 3)) as (server, http):
        first = http.events("POST", server.url)
        assert len(list(first)) == 3
        second = http.events("POST", server.url)
        assert server.connections == 1, "the connection serves again"
        first.close()
        assert len(list(second)) == 3


def test_finish_keeps_the_connection_and_does_not_wait_for_a_slow_end() -> None:
    with talk(script(b"data: [DONE]\n\n", b": trailer\n\n")) as (server, http):
        for _ in range(2):
            events = http.events("POST", server.url)
            assert next(iter(events)) == ("message", "[DONE]")
            events.finish()
        assert server.connections == 1
    with talk(script(b"data: [DONE]\n\n", end=False)) as (server, http):
        events = http.events("POST", server.url)
        next(iter(events))
        begun = time.monotonic()
        events.finish()
        assert time.monotonic() - begun < 1
        assert server.closed.wait(2)


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        ([b"data: x\n\n" + b"y" * 300_000], True),
        ([b"data: " + b"y" * 60_000] * 6, False),
        ([b"data: x\n\n"] + [b": keep-alive\n\n"] * 400, True),
    ],
)
def test_what_grows_too_large_is_cut(pieces: list[bytes], end: bool) -> None:
    with talk(script(*pieces, end=end)) as (server, http):
        events = http.events("POST", server.url, cap=350_000 if len(pieces) < 10 else 3000)
        with pytest.raises(Unusable) as caught:
            list(events)
        assert caught.value.reason == "answer"
        assert server.closed.wait(2)


def test_a_stream_that_breaks_or_stalls() -> None:
    def reset(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM + chunk(b"data: one\n\n"))
        connection.shutdown(socket.SHUT_RDWR)

    with talk(reset) as (server, http):
        each = iter(http.events("POST", server.url))
        assert next(each) == ("message", "one")
        with pytest.raises(Unusable) as caught:
            next(each)
        assert caught.value.reason == "broken"
    with talk(script(b"data: one\n\n", end=False)) as (server, http):
        each = iter(http.events("POST", server.url, total=0.4))
        assert next(each) == ("message", "one")
        with pytest.raises(Unusable) as caught:
            next(each)
        assert caught.value.reason == "timeout"


@pytest.mark.parametrize(
    ("raw", "status", "data"),
    [
        (answer(b'{"error": 1}', status=b"402 Pay"), 402, {"error": 1}),
        (answer(b"<html>", status=b"502 Bad"), 502, None),
        (answer(b"<html>"), 200, None),
        (answer(b'{"choices": []}', b"Content-Type: application/json"), 200, {"choices": []}),
        (answer(b"x" * 100_000, status=b"500 Oh"), 500, None),
        (answer(b"", b"Location: http://127.0.0.1:1/", status=b"302 Found"), 302, None),
    ],
)
def test_what_comes_instead_of_a_stream(raw: bytes, status: int, data: object) -> None:
    raw = raw.replace(b"\r\n\r\n<html>", b"\r\nContent-Type: text/html\r\n\r\n<html>")
    with talk(raw) as (server, http):
        events = http.events("POST", server.url)
        assert events.reply is not None
        assert (events.status, events.reply.status, events.reply.data) == (status, status, data)
        assert list(events) == []
        events.close()


def test_a_compressed_stream_is_refused() -> None:
    raw = answer(gzip.compress(b"data: x\n\n"), b"Content-Type: text/event-stream")
    raw = raw.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)
    with talk(raw) as (server, http), pytest.raises(Unusable):
        http.events("POST", server.url)
