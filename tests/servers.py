"""Serve a WSGI app over real HTTP for the length of a ``with`` block."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server


class _Connections:
    """The open connections of a server, so that a stream which never ends can be ended."""

    def __init__(self) -> None:
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()

    def add(self, connection: socket.socket) -> None:
        with self._lock:
            self._open[connection] = threading.current_thread()

    def discard(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)

    def close(self) -> None:
        with self._lock:
            left = dict(self._open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join(timeout=2)


def answers(url: str) -> bool:
    """Whether a server that has been started is there yet, and well.

    An httpx.get() costs as much as half a second of such a server's start.
    """
    parts = urlsplit(url)
    asked = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        asked.request("GET", parts.path)
        return asked.getresponse().status < 400
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()


class _Body:
    """An answer that is closed once, whoever does it."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        if not self._closed and hasattr(self._body, "close"):
            self._closed = True
            self._body.close()


@contextmanager
def serve(app: WSGIApplication, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Yield the base URL, such as ``http://127.0.0.1:40321``, of a running app.

    Every request gets a daemon thread of its own. Leaving the block ends requests that
    are still running and frees the port.
    """
    connections = _Connections()
    answered = threading.local()

    def closed_at_last(environ: Any, start_response: Any) -> _Body:
        answered.body = _Body(app(environ, start_response))
        return answered.body

    class Quiet(WSGIRequestHandler):
        def run_wsgi(self) -> None:
            try:
                super().run_wsgi()
            finally:
                # Werkzeug forgets it where the client hangs up while its words are read.
                if body := vars(answered).pop("body", None):
                    body.close()

        def setup(self) -> None:
            super().setup()
            connections.add(self.connection)

        def finish(self) -> None:
            connections.discard(self.connection)
            # A client that hung up in the middle is no news.
            with suppress(OSError):
                super().finish()

        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    server = make_server(host, port, closed_at_last, threaded=True, request_handler=Quiet)
    server.timeout = 0
    ours, its = socket.socketpair()
    thread = threading.Thread(target=_work, args=(server, its), daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        ours.close()
        thread.join(timeout=5)
        its.close()
        connections.close()
        server.server_close()


def _work(server: BaseWSGIServer, end: socket.socket) -> None:
    """Until the other side of ``end`` is closed. serve_forever() would look at a clock for that."""
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        selector.register(end, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if end in ready:
                return
            server.handle_request()
