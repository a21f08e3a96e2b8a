"""The client's connection: waiting without missing that it hung up, and cutting it.

A WSGI app learns of a lost client only when it writes. The streams that stay silent on
purpose would never notice, so this looks at the socket that werkzeug's server hands over.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from dataclasses import dataclass
from typing import NoReturn

from flask import Request


@dataclass
class Connection:
    """One client. Without a socket (a test client) it only waits."""

    sock: socket.socket | None

    @classmethod
    def of(cls, request: Request) -> Connection:
        """Return the connection that a request came by."""
        return cls(request.environ.get("werkzeug.socket"))

    def pause(self, seconds: float) -> None:
        """Wait, and raise ConnectionAbortedError as soon as the client hangs up."""
        if seconds <= 0:
            return
        if self.sock is None:
            time.sleep(seconds)
            return
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if not selector.select(left):
                    continue
                if self._gone():
                    raise ConnectionAbortedError("the client went away")
                # Bytes of a next request are waiting: it is alive, so look again later.
                time.sleep(min(left, 0.05))

    def cut(self) -> NoReturn:
        """End the connection here. Works inside a response's iterator only.

        werkzeug's server takes a ConnectionError for a dropped client and sends nothing
        more, not even the end of a chunked body. It would then wait for a next request if
        no headers went out, so the socket is shut as well.
        """
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError("the sandbox cut the connection")

    def _gone(self) -> bool:
        assert self.sock is not None
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
