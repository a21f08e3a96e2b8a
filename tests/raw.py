"""A server of bytes, for answers that no server library would send."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from apiary.addresses import Policy
from apiary.http import Http

OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Handler = Callable[[socket.socket, bytes], None]
#: A server's and a client's context.
Tls = tuple[ssl.SSLContext, ssl.SSLContext]


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
def talk(handler: Handler | bytes, tls: Tls | None = None) -> Iterator[tuple[Raw, Http]]:
    with closing(Raw(handler, tls and tls[0])) as server:
        http = Http(Policy(frozenset({server.url})), tls=tls and tls[1])
        try:
            yield server, http
        finally:
            http.dispose()
