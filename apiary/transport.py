"""The connections under every request: kept while they are of use, each with one at a time.

In place of httpcore's pool, which looks at all its connections for each request and for each
end of one: here neither depends on how many there are. HTTP over them is httpcore's.
"""

import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import httpcore
import httpx

from .dial import Backend, Stream

#: One for each running answer, and some for lists and checks.
_MOST = 2200
#: Seconds that one is kept without being used.
_IDLE = 30.0

_FAILURES = (
    httpcore.ConnectionNotAvailable,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
)

_Origin = tuple[bytes, bytes, int]


class _Connection(httpcore.HTTP11Connection):
    """One that can tell whether a server has said more than it was asked for."""

    def __init__(self, origin: httpcore.Origin, stream: Stream) -> None:
        super().__init__(origin, stream, keepalive_expiry=_IDLE)
        self.origin: _Origin = (origin.scheme, origin.host, origin.port)
        self._stream = stream

    def cut(self) -> None:
        """End it under the hands of a thread that reads or writes."""
        self._stream.cut()

    def can_serve_again(self) -> bool:
        """Whether its answer was read to the end, and nothing behind that.

        What stands there would be the answer to the next request, which may be another user's.
        """
        more, _ = self._h11_state.trailing_data
        return self.is_idle() and not more and not self._stream.rest


class Transport(httpx.BaseTransport):
    """HTTP/1.1, over connections that the backend makes. Any thread may use it.

    :param tls: the context of every https connection.
    :param backend: makes the connections.
    :param most: how many there may be in use; who wants one more waits for it.
    """

    def __init__(self, tls: ssl.SSLContext, backend: Backend, *, most: int = _MOST) -> None:
        tls.set_alpn_protocols(["http/1.1"])
        self._tls = tls
        self._backend = backend
        self._room = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._all: set[_Connection] = set()
        #: Those that nobody uses, the longest idle first; and the same for each origin.
        self._idle: dict[_Connection, None] = {}
        self._idle_of: dict[_Origin, dict[_Connection, None]] = {}
        #: Those whose answer was dropped without being closed. They are closed themselves.
        self._lost: deque[_Connection] = deque()
        self._closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with suppress(IndexError):
            # Another thread may take the last one.
            while self._lost:
                self.give_back(self._lost.popleft())
        waits = request.extensions["timeout"]
        if not self._room.acquire(timeout=waits["pool"]):
            raise httpx.PoolTimeout("too many requests at once")
        connection = None
        try:
            origin = asked.url.origin
            connection = self._take(origin) or self._connect(origin, waits["connect"])
            answer = connection.handle_request(asked)
            return httpx.Response(
                answer.status,
                headers=answer.headers,
                stream=_Body(self, connection, answer),
                extensions=answer.extensions,
            )
        except BaseException as error:
            self.give_back(connection)
            if isinstance(error, _FAILURES):
                raise _named(error) from None
            raise

    def close(self) -> None:
        """Close all connections. Who still reads from one is told that it broke off."""
        with self._lock:
            self._closed = True
            in_use, self._all = self._all - self._idle.keys(), set()
            idle = list(self._idle)
            self._idle.clear()
            self._idle_of.clear()
        for connection in idle:
            connection.close()
        for connection in in_use:
            # Closed by who reads, when it is given back: the number of a closed socket may be
            # another's by then.
            connection.cut()

    def __del__(self) -> None:
        # Of an app that is gone: nobody uses them any more.
        for connection in self._all:
            connection.close()

    def _take(self, origin: httpcore.Origin) -> _Connection | None:
        """The connection to there that was used last."""
        key = (origin.scheme, origin.host, origin.port)
        while True:
            with self._lock:
                if key not in self._idle_of:
                    return None
                connection = next(reversed(self._idle_of[key]))
                self._unlist(connection)
            if not connection.has_expired():
                return connection
            self._drop(connection)

    def _connect(self, origin: httpcore.Origin, timeout: float) -> _Connection:
        host = origin.host.decode("ascii")
        stream = self._backend.connect_tcp(host, origin.port, timeout)
        if origin.scheme == b"https":
            stream = stream.start_tls(self._tls, host, timeout)
        connection = _Connection(origin, stream)
        with self._lock:
            if not self._closed:
                self._all.add(connection)
                return connection
        connection.close()
        raise httpcore.ConnectError("closed meanwhile")

    def give_back(self, connection: _Connection | None) -> None:
        """Keep one that can serve again, and let the next one in who waits."""
        useless = []
        try:
            with self._lock:
                if connection in self._all and connection.can_serve_again():
                    # Those that are due have waited longest.
                    while self._idle and (oldest := next(iter(self._idle))).has_expired():
                        self._unlist(oldest)
                        useless.append(oldest)
                    self._idle[connection] = None
                    self._idle_of.setdefault(connection.origin, {})[connection] = None
                elif connection is not None:
                    useless.append(connection)
            for one in useless:
                self._drop(one)
        finally:
            self._room.release()

    def lose(self, connection: _Connection) -> None:
        """Have a connection that is closed given back by the next request. Takes no lock."""
        self._lost.append(connection)

    def _unlist(self, connection: _Connection) -> None:
        """Count it among the idle no more. The caller has the lock."""
        del self._idle[connection]
        same = self._idle_of[connection.origin]
        del same[connection]
        if not same:
            del self._idle_of[connection.origin]

    def _drop(self, connection: _Connection) -> None:
        with self._lock:
            self._all.discard(connection)
        connection.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer; closed, or dropped, it gives the connection back."""

    def __init__(self, pool: Transport, connection: _Connection, answer: httpcore.Response) -> None:
        self._pool = pool
        self._connection = connection
        self._answer = answer
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.iter_stream()
        except _FAILURES as error:
            raise _named(error) from None

    def close(self) -> None:
        if self._open:
            self._open = False
            try:
                self._answer.close()
            finally:
                self._pool.give_back(self._connection)

    def __del__(self) -> None:
        if self._open:
            # Whoever collects this may hold a lock of the pool's: it is told later.
            self._connection.close()
            self._pool.lose(self._connection)


def _named(error: Exception) -> Exception:
    """The same failure as httpx has it, which has all but one of them under the same names."""
    named: Exception = getattr(httpx, type(error).__name__, httpx.ConnectError)(str(error))
    return named
