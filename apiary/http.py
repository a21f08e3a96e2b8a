"""The only door to the outside: requests with an address policy, caps and time limits.

Besides :mod:`apiary.transport` and :mod:`apiary.dial`, its connections, no other module imports
httpx.
"""

import contextlib
import functools
import json
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from .addresses import Policy, Resolver, system_resolver
from .chunks import Chunks, Malformed
from .dial import Backend, Dial, Stream, call, certificates, tcp
from .replies import PAUSE, Events, Reason, Reply, Said, Unusable, parse
from .transport import Transport

__all__ = ["PAUSE", "Events", "Http", "Reply", "Said", "Unusable"]

_FAILURES = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
_REASONS: dict[type[Exception], Reason] = {
    httpx.ConnectError: "unreachable",
    httpx.ConnectTimeout: "unreachable",
    httpx.PoolTimeout: "unreachable",
    httpx.UnsupportedProtocol: "unreachable",
    httpx.InvalidURL: "unreachable",
    httpx.LocalProtocolError: "unreachable",
    httpx.ReadTimeout: "timeout",
    httpx.WriteTimeout: "timeout",
}


#: What every request says, unless the caller says otherwise.
_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "connection": "keep-alive",
    "user-agent": "Apiary",
}


class Http:
    """The outbound side of one app: one pool of connections, made at the first request of each
    process.

    Requests go to the transport itself: what a client of httpx adds (redirects, cookies,
    proxies of the environment) must not happen here, and costs as much as the rest of a request.

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
        self._dial = dial or tcp
        self._tls = tls
        self._lock = threading.Lock()
        self._pool: httpx.BaseTransport | None = None
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

        :param body: what to send as JSON; bytes go as they are, with the content type that
            ``headers`` name.
        :param total: seconds of wall time for everything but the look-up of the name.
        :param cap: bytes that the answer's body may have.
        :raises EndpointRefused: the policy does not allow the address.
        :raises Unusable: no answer, too slow, too long, a redirect, or a success that is not
            JSON. An error status with any body is an answer.
        """
        end = time.monotonic() + total
        response = self._send(method, url, headers, body, end, min(10.0, total))
        reply = _whole(response, end, cap)
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
    ) -> Events:
        """Send a request and return once the answer has begun.

        Sixty seconds without a byte end it, and so does ``total``, the seconds of wall time
        for the whole of it.

        :param cap: bytes that the whole answer may have on the wire.
        :raises EndpointRefused: the policy does not allow the address.
        :raises Unusable: no answer began, or what came instead of a stream cannot be read.
        """
        end = time.monotonic() + total
        response = self._send(method, url, headers, body, end, 60.0)
        status, names = response.status_code, dict(response.headers)
        kind = names.get("content-type", "").partition(";")[0].strip().lower()
        if status == 200 and kind in {"text/event-stream", ""} and not _encoded(response):
            return Events(status, names, _source(response, end), cap=cap)
        # A server that does not know streams may answer with one long document.
        limit = 4 * 1024 * 1024 if status == 200 else 64 * 1024
        reply = _whole(response, min(end, time.monotonic() + 60), limit)
        return Events(status, names, None, reply=reply)

    def dispose(self) -> None:
        """Close all connections. The next request begins anew.

        In a process that was forked they are the parent's: there they are only forgotten, with
        the lock, which a thread of the parent's may have held.
        """
        if self._process != os.getpid():
            self._lock, self._pool = threading.Lock(), None
            return
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: Any,
        end: float,
        read: float,
    ) -> httpx.Response:
        address = self.policy.check(url)
        pool = self._open()
        content, more = body, {}
        if body is not None and not isinstance(body, bytes):
            content, more = json.dumps(body).encode(), {"content-type": "application/json"}
        if content is not None:
            more["content-length"] = str(len(content))
        failure: Reason
        token = call.set((end, address.scheme))
        try:
            request = httpx.Request(
                method,
                _parsed(address.url),
                headers=_HEADERS | {k.lower(): v for k, v in (headers or {}).items()} | more,
                content=None if content is None else _Once(content),
                extensions={"timeout": {"connect": 5, "read": read, "write": 10, "pool": 5}},
            )
            return pool.handle_request(request)
        except _FAILURES as error:
            failure = _reason(error)
        finally:
            call.reset(token)
        # Raised out here so that the original, whose text may hold a header's value, does not
        # hang on the new one as its context.
        raise Unusable(failure)

    def _open(self) -> httpx.BaseTransport:
        pool = self._pool
        if pool is not None and self._process == os.getpid():
            return pool
        with self._lock:
            if self._pool is None or self._process != os.getpid():
                # Connections of the process that forked this one are left alone.
                self._pool = self._transport or Transport(
                    self._tls or certificates(), Backend(self.policy, self.resolver, self._dial)
                )
                self._process = os.getpid()
            return self._pool


#: The same few addresses again and again; taking one apart is a third of a request's making.
_parsed = functools.lru_cache(64)(httpx.URL)


class _Once:
    """A body that is let go of when it is sent: the pool keeps the request to the answer's end."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        content, self._content = self._content, b""
        yield content


class _Source:
    """The bytes of a response, with its deadline, and the socket under it."""

    dry = False

    def __init__(self, response: httpx.Response, end: float) -> None:
        self._response = response
        # Not iter_raw(), which gives the connection back to the pool by itself.
        self._chunks: Iterator[bytes] = iter(_sync(response))
        self._call = (end, "")

    def read(self) -> bytes | None:
        failure: Reason = "timeout"
        token = call.set(self._call)
        try:
            # What trickles in steadily never makes the socket wait up to its deadline.
            if time.monotonic() < self._call[0]:
                return next(self._chunks, None)
        except _FAILURES as error:
            failure = _reason(error)
        finally:
            call.reset(token)
        raise Unusable(failure)

    def pausing(self, on: bool) -> socket.socket | None:
        return None

    def hurry(self, seconds: float) -> None:
        self._call = (min(self._call[0], time.monotonic() + seconds), "")

    def cut(self) -> None:
        stream = self._response.extensions.get("network_stream")
        if isinstance(stream, Stream):
            stream.cut()

    def release(self) -> None:
        with contextlib.suppress(*_FAILURES):
            self._response.close()


class _Direct(_Source):
    """The same without a layer between: bytes from the socket, chunks taken apart here.

    It costs a fifth for each token, and can say that nothing has come yet instead of waiting.
    When all is read the pool gets its connection back in good order.
    """

    _SILENCE = 60.0

    def __init__(
        self, response: httpx.Response, end: float, stream: Stream, sock: socket.socket
    ) -> None:
        super().__init__(response, end)
        self._end = end
        self._stream = stream
        self._sock = sock
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._body = Chunks()
        self._first = stream.take()
        self._heard = time.monotonic()
        self._waits = True

    def read(self) -> bytes | None:
        content = b""
        while not content and not self._body.over:
            data, self._first = self._first or self._receive(), b""
            if data is None:
                return b""
            if not data:
                raise Unusable("broken")
            try:
                content = self._body.feed(data)
            except Malformed:
                data = b""
            if not data:
                raise Unusable("broken")
        # What is left makes the socket ready again, but for what TLS has read already.
        self.dry = not (self._waits or self._body.over or (self._tls and self._tls.pending()))
        return content or None

    def _receive(self) -> bytes | None:
        """What has come, empty at the end of the connection, None when it must be waited for."""
        now = time.monotonic()
        left = min(self._end, self._heard + self._SILENCE) - now
        failure: Reason = "timeout"
        if left > 0:
            try:
                if self._waits:
                    self._sock.settimeout(left)
                data = self._sock.recv(65536)
                self._heard = now
                return data
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return None
            except TimeoutError:
                pass
            except OSError:
                failure = "broken"
        raise Unusable(failure)

    def pausing(self, on: bool) -> socket.socket | None:
        self._waits = not on
        self._sock.settimeout(0.0 if on else self._SILENCE)
        return self._sock

    def hurry(self, seconds: float) -> None:
        self._end = min(self._end, time.monotonic() + seconds)

    def release(self) -> None:
        if self._body.over and not self._body.extra:
            # For httpx the body is empty: nothing but its end has come there.
            self._stream.give(b"0\r\n\r\n")
            with contextlib.suppress(*_FAILURES):
                next(self._chunks, None)
        super().release()


def _reason(error: Exception) -> Reason:
    return _REASONS.get(type(error), "broken")


def _source(response: httpx.Response, end: float) -> _Source:
    stream = response.extensions.get("network_stream")
    chunked = response.headers.get("transfer-encoding", "").strip().lower() == "chunked"
    if chunked and isinstance(stream, Stream) and stream.fresh:
        sock = stream.get_extra_info("socket")
        if isinstance(sock, socket.socket):
            return _Direct(response, end, stream, sock)
    return _Source(response, end)


def _encoded(response: httpx.Response) -> bool:
    """True where the server compressed although it was asked not to: it could be a bomb."""
    return bool(response.headers.get("content-encoding", "identity").lower() != "identity")


def _sync(response: httpx.Response) -> httpx.SyncByteStream:
    stream = response.stream
    if not isinstance(stream, httpx.SyncByteStream):
        raise TypeError("the transport is not a synchronous one")
    return stream


def _whole(response: httpx.Response, end: float, cap: int) -> Reply:
    """The whole answer, closed. A body that cannot be read leaves an error its status."""
    source = _Source(response, end)
    pieces: list[bytes] = []
    failure: Reason | None = "answer" if _encoded(response) else None
    try:
        while failure is None and (chunk := source.read()) is not None:
            pieces.append(chunk)
            cap -= len(chunk)
            failure = "answer" if cap < 0 else None
    except Unusable as error:
        failure = error.reason
    finally:
        source.release()
    if failure is not None and response.status_code < 400:
        raise Unusable(failure)
    data = None if failure is not None else parse(b"".join(pieces))
    return Reply(response.status_code, dict(response.headers), data)
