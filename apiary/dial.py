"""The dial under every request: judged addresses, and a deadline for the whole of a call.

It is what the connections of :mod:`apiary.transport` are made of. ``httpx2`` and ``httpcore2``
are the maintained successors: the move to them is the imports here, there and in
:mod:`apiary.http`, and one requirement.
"""

import functools
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from .addresses import Policy, Resolver

_MOST = 16 * 1024
#: Where a head ends and which ones others follow, as h11 reads them.
_HEAD_END = re.compile(rb"\n\r?\n")
_INTERIM = re.compile(rb"HTTP/\d\.\d 1(?!01)")
#: Heads that tell of an answer to come. Each could put off the limit for silence.
_MOST_INTERIM = 32

Dial = Callable[..., httpcore.NetworkStream]
#: An address and a port to a connection, as the system makes it.
tcp: Dial = httpcore.SyncBackend().connect_tcp

#: Deadline of the call that this thread makes (in time.monotonic) and its scheme. The socket
#: is reached only through httpcore, which has no limit for the time of a whole answer.
call: ContextVar[tuple[float, str]] = ContextVar("apiary_http_call", default=(float("inf"), ""))


class Backend(httpcore.NetworkBackend):
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
    ) -> "Stream":
        try:
            found = self._policy.addresses(host, port, self._resolver, scheme=call.get()[1])
        except OSError:
            raise httpcore.ConnectError("the name does not resolve") from None
        failure: Exception = httpcore.ConnectError("no address")
        end = time.monotonic() + (5.0 if timeout is None else timeout)
        for tried, address in enumerate(found):
            # An address that swallows packets must not eat the time of those after it.
            share = max(0.1, (end - time.monotonic()) / (len(found) - tried))
            try:
                stream = self._dial(
                    address,
                    port,
                    timeout=_remaining(share, httpcore.ConnectTimeout),
                    local_address=local_address,
                    socket_options=socket_options,
                )
                return Stream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class Stream(httpcore.NetworkStream):
    """A connection that keeps to the deadline of the call that uses it."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        #: What was read and given to nobody yet.
        self.rest = b""
        #: The last bytes of a head that has not ended yet; None when it has.
        self._head: bytes | None = None
        #: Its first bytes, and how many ended before it.
        self._status = b""
        self._interim = 0
        #: A head was read, and nothing behind it.
        self.fresh = False
        #: What is to be sent together with what follows.
        self._unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.fresh = False
        if self._unsent:
            self._flush(timeout)
        # The room for what comes is taken before it comes, for each answer that is waited for.
        limit = min(max_bytes, _MOST)
        data = self.take() or self._inner.read(limit, _remaining(timeout, httpcore.ReadTimeout))
        if self._head is None:
            return data
        # A read may give less than there is: it ends where the head does, so that the body
        # can be read by somebody else.
        known = self._head + data
        self._status = (self._status + data[:12])[:12]
        end = _HEAD_END.search(known)
        if end is None:
            self._head = known[-2:]
            return data
        given = end.end() - len(self._head)
        self.rest = data[given:]
        if _INTERIM.match(self._status):
            self._begin(self._interim + 1)
            if self._interim > _MOST_INTERIM:
                raise httpcore.RemoteProtocolError("too many interim answers")
        else:
            self._head, self.fresh = None, True
        return data[:given]

    def _begin(self, interim: int) -> None:
        """Look for a head, of an answer to which so many interim ones have come."""
        self._head, self._status, self._interim = b"", b"", interim

    def take(self) -> bytes:
        """What was read and given to nobody yet."""
        data, self.rest = self.rest, b""
        return data

    def give(self, data: bytes) -> None:
        """Let the next read give this."""
        self.rest = data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send a request's head and body as one piece, not as two packets.

        h11 writes nothing at the end of a request whose length is known.
        """
        self._begin(0)
        self._unsent += buffer
        if not buffer or len(self._unsent) > _MOST:
            self._flush(timeout)

    def _flush(self, timeout: float | None) -> None:
        data, self._unsent = self._unsent, b""
        self._inner.write(data, _remaining(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "Stream":
        try:
            limit = _remaining(timeout, httpcore.ConnectTimeout)
            return Stream(self._inner.start_tls(ssl_context, server_hostname, limit))
        except BaseException:
            self.close()
            raise

    def cut(self) -> None:
        """Make who reads or writes in another thread return at once."""
        sock = self.get_extra_info("socket")
        if isinstance(sock, socket.socket):
            with suppress(OSError):
                # The plain socket's own method: that of SSLSocket drops the TLS state under
                # the feet of the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@functools.cache
def certificates() -> ssl.SSLContext:
    """The public authorities, and those that this machine's operator trusts besides.

    Reading them takes a tenth of a second; nothing changes them afterwards.
    """
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _remaining(timeout: float | None, late: type[Exception]) -> float | None:
    left = call.get()[0] - time.monotonic()
    if left <= 0:
        raise late("too slow")
    return min(left, 3600.0 if timeout is None else timeout)
