"""The only door to the outside: requests with an address policy, caps and time limits.

No other module imports httpx or httpcore. ``httpx2`` is their maintained successor; the move
to it is this module's imports and one requirement.
"""

import json
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Literal

import httpcore
import httpx

from . import sse
from .addresses import Policy, Resolver, system_resolver
from .errors import ProviderDown

#: unreachable: nothing was sent. timeout, broken: something was, and no whole answer came.
#: answer: one came that cannot be used.
Reason = Literal["unreachable", "timeout", "broken", "answer"]
Dial = Callable[..., httpcore.NetworkStream]

_FAILURES = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    OSError,
)
_REASONS: dict[str, Reason] = {
    "ConnectError": "unreachable",
    "ConnectTimeout": "unreachable",
    "PoolTimeout": "unreachable",
    "UnsupportedProtocol": "unreachable",
    "InvalidURL": "unreachable",
    "LocalProtocolError": "unreachable",
    "ReadTimeout": "timeout",
    "WriteTimeout": "timeout",
}
_SENTENCES: dict[Reason, str] = {
    "unreachable": "The server could not be reached.",
    "timeout": "The server took too long to answer.",
    "broken": "The connection to the server broke off.",
    "answer": "The server's answer cannot be used.",
}
_NESTING = 64
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.S)


class Unusable(ProviderDown):
    """No usable answer came. ``sent`` is false where the request surely did not go out."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(_SENTENCES[reason])
        self.reason: Reason = reason

    @property
    def sent(self) -> bool:
        return self.reason != "unreachable"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Names of headers are in small letters.

    ``data`` is what the JSON body says, None where the body is not JSON.
    """

    status: int
    headers: Mapping[str, str]
    data: Any


class Http:
    """The outbound side of one app: one client, made at the first request of each process.

    Any thread may use it.

    :param policy: what may be dialled; every dial is judged, whatever asked for it.
    :param transport: for tests, an ``httpx`` transport instead of the network.
    :param resolver: names to addresses.
    :param dial: ``(address, port, timeout=, local_address=, socket_options=)`` to a stream.
    :param tls: the context for https instead of one with the usual certificate authorities.
    """

    def __init__(
        self,
        policy: Policy,
        transport: httpx.BaseTransport | None = None,
        resolver: Resolver | None = None,
        *,
        dial: Dial | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.policy = policy
        self.resolver = resolver or system_resolver
        self._transport = transport
        self._dial = dial or httpcore.SyncBackend().connect_tcp
        self._tls = tls
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._process = 0
        # At INFO they log whole URLs, at DEBUG headers.
        for name in ("httpx", "httpcore"):
            logger = logging.getLogger(name)
            if logger.level < logging.WARNING:
                logger.setLevel(logging.WARNING)

    def json(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        total: float = 20.0,
        cap: int = 64 * 1024,
    ) -> Reply:
        """Send a request and read the whole answer.

        :param body: what to send as JSON.
        :param total: seconds of wall time for everything but the look-up of the name.
        :param cap: bytes that the answer's body may have.
        :raises EndpointRefused: the policy does not allow the address.
        :raises Unusable: no answer, too slow, too long, a redirect, or a success that is not
            JSON. An error status with any body is an answer.
        """
        end = time.monotonic() + total
        response = self._send(method, url, headers or {}, body, end, read=min(10.0, total))
        reply = _read(response, end, cap)
        if reply.status < 400 and (reply.data is None or not 200 <= reply.status < 300):
            raise Unusable("answer")
        return reply

    def events(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        total: float = 600.0,
        cap: int = 64 * 1024 * 1024,
    ) -> "Events":
        """Send a request and return once the answer has begun.

        Sixty seconds without a byte end it.

        :param total: seconds of wall time for the whole answer.
        :param cap: bytes that the whole answer may have on the wire.
        :raises EndpointRefused: the policy does not allow the address.
        :raises Unusable: no answer began, or what came instead of a stream cannot be read.
        """
        end = time.monotonic() + total
        response = self._send(method, url, headers or {}, body, end, read=60.0)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code == 200 and kind in {"text/event-stream", ""}:
            if _encoded(response):
                response.close()
                raise Unusable("answer")
            return Events(response, end, cap)
        # A server that ignores "stream" answers with one long document.
        limit = 4 * 1024 * 1024 if response.status_code == 200 else 64 * 1024
        return Events(response, end, cap, _read(response, min(end, time.monotonic() + 60), limit))

    def dispose(self) -> None:
        """Close all connections. The next request begins anew."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._process == os.getpid():
            client.close()

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Any,
        end: float,
        read: float,
    ) -> httpx.Response:
        address = self.policy.check(url)
        client = self._open()
        kind = {} if body is None else {"content-type": "application/json"}
        failure: Reason
        token = _call.set((end, address.scheme))
        try:
            request = client.build_request(
                method,
                address.url,
                headers={**headers, **kind},
                content=None if body is None else json.dumps(body).encode(),
                timeout=httpx.Timeout(connect=5, read=read, write=10, pool=5),
            )
            return client.send(request, stream=True)
        except _FAILURES as error:
            failure = _reason(error)
        finally:
            _call.reset(token)
        # Raised out here so that the original, whose text may hold the header's value, does
        # not hang on the new one as its context.
        raise Unusable(failure)

    def _open(self) -> httpx.Client:
        client = self._client
        if client is not None and self._process == os.getpid():
            return client
        with self._lock:
            if self._client is None or self._process != os.getpid():
                # Connections of the process that forked this one are left alone.
                self._client = self._make()
                self._process = os.getpid()
            return self._client

    def _make(self) -> httpx.Client:
        transport = self._transport or _Transport(
            self._tls or _certificates(), _Backend(self.policy, self.resolver, self._dial)
        )
        return httpx.Client(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            # All users share the client: it must not remember anything of an answer.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"accept-encoding": "identity", "user-agent": "Apiary"},
        )


class Events:
    """The answer to :meth:`Http.events`.

    ``reply`` is the whole answer where it is not a stream of events (an error, or one document
    in spite of what was asked for), else None. Iterating gives (event, data) as they come; it
    ends quietly after :meth:`close`.

    :raises Unusable: while iterating: cut, too slow or too long.
    """

    def __init__(
        self, response: httpx.Response, end: float, cap: int, reply: Reply | None = None
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.reply = reply
        self._response = response
        # Not iter_raw(): that gives the connection back to the pool before we can mark this
        # answer as over, and close() could then cut somebody else's.
        self._chunks = iter(response.stream) if reply is None else iter(())  # type: ignore[arg-type]
        self._call = (end, "")
        self._left = cap
        self._parser = sse.Parser()
        self._lock = threading.Lock()
        self._busy = False
        self._closed = reply is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        while (chunk := self._next()) is not None:
            self._left -= len(chunk)
            try:
                events = self._parser.feed(chunk) if self._left >= 0 else None
            except sse.TooLarge:
                events = None
            if events is None:
                self.close()
                raise Unusable("answer")
            yield from events

    def close(self) -> None:
        """Cut the connection, also while another thread waits for its next byte."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            busy = self._busy
        _cut(self._response)
        if not busy:
            _release(self._response)

    def finish(self) -> None:
        """Read the little that should be left, so that the connection can serve again."""
        self._call = (min(self._call[0], time.monotonic() + 0.25), "")
        try:
            for _ in range(8):
                if self._next() is None:
                    return
        except Unusable:
            return
        self.close()

    def _next(self) -> bytes | None:
        with self._lock:
            if self._closed:
                return None
            self._busy = True
        chunk: bytes | None = None
        failure: Reason | None = None
        token = _call.set(self._call)
        try:
            # A test's transport and a steady trickle do not meet the deadline in the socket.
            if time.monotonic() > self._call[0]:
                failure = "timeout"
            else:
                chunk = next(self._chunks, None)
        except _FAILURES as error:
            failure = _reason(error)
        finally:
            _call.reset(token)
            with self._lock:
                self._busy = False
                cut = self._closed
                if chunk is None:
                    self._closed = True
        if cut or chunk is None:
            _release(self._response)
            chunk = None
        if failure is not None and not cut:
            raise Unusable(failure)
        return chunk


#: Deadline of the call that this thread makes (in time.monotonic) and its scheme. The socket
#: is reached only through httpcore, which has no total time limit.
_call: ContextVar[tuple[float, str]] = ContextVar("apiary_http_call", default=(float("inf"), ""))


class _Stream(httpcore.NetworkStream):
    """A connection that keeps to the deadline of the call that uses it."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _remaining(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _remaining(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        limit = _remaining(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Resolves once, judges every address, and dials what was judged and nothing else."""

    def __init__(self, policy: Policy, resolver: Resolver, dial: Dial) -> None:
        self._policy = policy
        self._resolver = resolver
        self._dial = dial

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        try:
            found = self._policy.addresses(host, port, self._resolver, scheme=_call.get()[1])
        except OSError:
            raise httpcore.ConnectError("the name does not resolve") from None
        end = time.monotonic() + (5.0 if timeout is None else timeout)
        for tried, address in enumerate(found):
            # An address that swallows packets must not eat the time of those after it.
            share = max(0.1, (end - time.monotonic()) / (len(found) - tried))
            try:
                return _Stream(
                    self._dial(
                        address,
                        port,
                        timeout=_remaining(share, httpcore.ConnectTimeout),
                        local_address=local_address,
                        socket_options=socket_options,
                    )
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Transport(httpx.BaseTransport):
    """What httpx.HTTPTransport does, with a network backend of our own under it."""

    def __init__(self, tls: ssl.SSLContext, backend: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            network_backend=backend,
            max_connections=1000,
            max_keepalive_connections=100,
            keepalive_expiry=30.0,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        self._stream.close()


def _certificates() -> ssl.SSLContext:
    """The public authorities, and those that this machine's operator trusts besides."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _remaining(timeout: float | None, late: type[Exception]) -> float | None:
    end = _call.get()[0]
    if end == float("inf"):
        return timeout
    left = end - time.monotonic()
    if left <= 0:
        raise late("too slow")
    return left if timeout is None else min(timeout, left)


def _reason(error: Exception) -> Reason:
    return _REASONS.get(type(error).__name__, "broken")


def _encoded(response: httpx.Response) -> bool:
    """True where the server compressed although it was asked not to: it could be a bomb."""
    return response.headers.get("content-encoding", "identity").lower() != "identity"


def _read(response: httpx.Response, end: float, cap: int) -> Reply:
    """The whole answer, closed. A body that cannot be read leaves an error its status."""
    pieces: list[bytes] = []
    failure: Reason | None = "answer" if _encoded(response) else None
    token = _call.set((end, ""))
    try:
        left = cap
        for chunk in response.stream if failure is None else ():  # type: ignore[union-attr]
            pieces.append(chunk)
            left -= len(chunk)
            if left < 0 or time.monotonic() > end:
                failure = "answer" if left < 0 else "timeout"
                break
    except _FAILURES as error:
        failure = _reason(error)
    finally:
        _call.reset(token)
        _release(response)
    if failure is not None and response.status_code < 400:
        raise Unusable(failure)
    data = None if failure is not None else _parse(b"".join(pieces))
    return Reply(response.status_code, dict(response.headers), data)


def _parse(raw: bytes) -> Any:
    """What a JSON text says; None where it is not JSON, or not such as honest servers send."""
    try:
        data = json.loads(raw, parse_constant=_no, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    depth = 0
    for match in _BRACKETS.finditer(raw):
        mark = match[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth > _NESTING:
                return None
        elif mark in (b"]", b"}"):
            depth -= 1
    return data


def _no(word: str) -> Any:
    raise ValueError(word)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _cut(response: httpx.Response) -> None:
    """End both directions of the connection under an answer; a blocked read returns at once."""
    stream = response.extensions.get("network_stream")
    sock = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(sock, socket.socket):
        try:
            # The plain socket's own method: SSLSocket.shutdown drops the TLS state under the
            # feet of the thread that reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass


def _release(response: httpx.Response) -> None:
    try:
        response.close()
    except _FAILURES:
        pass
