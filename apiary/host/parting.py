"""Connections on which our last word is said: each stays open a little, so that it is heard."""

import socket
import time
from collections.abc import Callable
from selectors import EVENT_READ, BaseSelector
from typing import Any

#: A connection stays for so many seconds, and so many bytes that may still come: a client that
#: is cut off while it sends loses what it was told, and a browser reads nothing before it has
#: sent all of a file that is too large.
_LINGER, _MOST = 2.0, 32 * 1024 * 1024
_PIECE = 64 * 1024


class Parting:
    """Closes each once its client has closed too, or has had its time.

    gunicorn waits for that in its main thread, which is the one that reads here: a few clients
    that ask for nothing more and hold on would keep everybody else waiting.
    """

    def __init__(self, poller: BaseSelector, close: Callable[[Any], None]) -> None:
        self._poller = poller
        self._close = close
        self._until: dict[Any, float] = {}

    def begin(self, conn: Any) -> None:
        left = _MOST

        def hear(sock: socket.socket) -> None:
            nonlocal left
            try:
                data = sock.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            left -= len(data)
            if not data or left < 0:
                self._end(conn)

        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self._poller.register(conn.sock, EVENT_READ, hear)
        except (OSError, ValueError, KeyError):
            self._close(conn)
        else:
            self._until[conn] = time.monotonic() + _LINGER

    def end_late(self) -> None:
        """Close those whose time is over."""
        now = time.monotonic()
        for conn in [conn for conn, until in self._until.items() if until <= now]:
            self._end(conn)

    def _end(self, conn: Any) -> None:
        del self._until[conn]
        self._poller.unregister(conn.sock)
        self._close(conn)
