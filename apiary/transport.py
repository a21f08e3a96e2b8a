"""The connections under every request: kept while they are of use, each with one at a time.

In place of httpcore's pool, which looks at all its connections for each request and for each
end of one: here neither depends on how many there are. The connections themselves, and HTTP
over them, are httpcore's.
"""

import ssl
import threading
from collections.abc import Iterator

import httpcore
import httpx

#: One for each running answer, and some for lists and checks.
_MOST = 2200
#: Seconds that one is kept without being used.
_IDLE = 30.0

_FAILURES = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)

_Origin = tuple[bytes, bytes, int | None]


class Transport(httpx.BaseTransport):
    """HTTP/1.1, over connections that the backend makes. Any thread may use it.

    :param tls: the context of every https connection.
    :param backend: makes the connections.
    """

    def __init__(self, tls: ssl.SSLContext, backend: httpcore.NetworkBackend) -> None:
        self._tls = tls
        self._backend = backend
        self._room = threading.BoundedSemaphore(_MOST)
        self._lock = threading.Lock()
        self._all: set[httpcore.HTTPConnection] = set()
        #: Those that nobody uses, the longest idle first; and the same for each origin.
        self._idle: dict[httpcore.HTTPConnection, _Origin] = {}
        self._idle_of: dict[_Origin, dict[httpcore.HTTPConnection, None]] = {}
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
        if not self._room.acquire(timeout=request.extensions["timeout"]["pool"]):
            raise httpx.PoolTimeout("too many requests at once")
        origin = (url.raw_scheme, url.raw_host, url.port)
        connection = self._take(origin, asked.url.origin)
        try:
            answer = connection.handle_request(asked)
        except _FAILURES as error:
            self.give_back(connection, origin)
            raise _named(error) from None
        except BaseException:
            self.give_back(connection, origin)
            raise
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(self, connection, origin, answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close all connections, those in use too."""
        with self._lock:
            self._closed = True
            connections, self._all = self._all, set()
            self._idle.clear()
            self._idle_of.clear()
        for connection in connections:
            connection.close()

    def _take(self, origin: _Origin, place: httpcore.Origin) -> httpcore.HTTPConnection:
        """The connection that was used last, or a new one, which connects when it is used."""
        while True:
            with self._lock:
                if origin not in self._idle_of:
                    connection = httpcore.HTTPConnection(
                        place,
                        ssl_context=self._tls,
                        keepalive_expiry=_IDLE,
                        network_backend=self._backend,
                    )
                    self._all.add(connection)
                    return connection
                connection = next(reversed(self._idle_of[origin]))
                self._unlist(connection)
            if not connection.has_expired():
                return connection
            self._drop(connection)

    def give_back(self, connection: httpcore.HTTPConnection, origin: _Origin) -> None:
        """Keep one that can serve again. Called once by whoever has it."""
        # One that never connected calls itself idle, and closed too.
        idle = connection.is_idle() and not connection.is_closed()
        useless = []
        with self._lock:
            if idle and not self._closed:
                # Those that are due have waited longest.
                while self._idle and (oldest := next(iter(self._idle))).has_expired():
                    self._unlist(oldest)
                    useless.append(oldest)
                self._idle[connection] = origin
                self._idle_of.setdefault(origin, {})[connection] = None
            else:
                useless.append(connection)
        for one in useless:
            self._drop(one)
        self._room.release()

    def _unlist(self, connection: httpcore.HTTPConnection) -> None:
        """Count it among the idle no more. The caller has the lock."""
        origin = self._idle.pop(connection)
        del self._idle_of[origin][connection]
        if not self._idle_of[origin]:
            del self._idle_of[origin]

    def _drop(self, connection: httpcore.HTTPConnection) -> None:
        with self._lock:
            self._all.discard(connection)
        connection.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer; closed, it gives the connection back."""

    def __init__(
        self,
        transport: Transport,
        connection: httpcore.HTTPConnection,
        origin: _Origin,
        answer: httpcore.Response,
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._origin = origin
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
            self._answer.close()
            self._transport.give_back(self._connection, self._origin)


def _named(error: Exception) -> Exception:
    """The same failure as httpx has it, which has all of them under the same names."""
    named: Exception = getattr(httpx, type(error).__name__)(str(error))
    return named
