"""Requests read whole before a thread of the server sees them: a slow client costs none."""

import logging
import re
import resource
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from .edge import LARGEST_BODY
from .parting import Parting

_log = logging.getLogger(__name__)
#: Seconds for a head, and further ones for each so many bytes of a body, up to so many of them.
_PATIENCE, _RATE, _LONGEST = 20.0, 32 * 1024, 32 * 1024 * 1024
#: What is kept of one request, of its head alone, and of all together.
_LARGEST, _LARGEST_HEAD, _MOST = LARGEST_BODY + 64 * 1024, 64 * 1024, 128 * 1024 * 1024
_PIECE = 64 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]*)", re.I)
#: Bodies whose end cannot be told beforehand, and those that are sent when somebody asks.
_OPEN = re.compile(rb"\r\n(?:transfer-encoding:|expect:)", re.I)
_END = b"Connection: close\r\nContent-Length: 0\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n" + _END
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\n" + _END
#: How long a request may be in coming where there is no room for others, and seconds between two
#: complaints about that.
_BRIEF, _TELL = 2.0, 60.0


def patience(size: int) -> float:
    """Seconds in which a client of the slow kind moves so many bytes."""
    return _PATIENCE + min(size, _LONGEST) / _RATE


class Arrival:
    """What has come of a request that is not whole yet."""

    def __init__(self, early: bytes = b"") -> None:
        self.early = bytearray(early)
        self.began = time.monotonic()
        self.until = self.began + patience(0)
        #: Bytes of the whole request, once its head is there.
        self.whole: int | None = None
        #: Whether a thread has to read its body, and may wait for it.
        self.slow = False
        #: What to answer instead of handing it to a thread.
        self.refused = b""

    def ready(self) -> bool:
        """Whether a thread may see it."""
        if self.whole is None:
            end = self.early.find(b"\r\n\r\n")
            if end < 0:
                # gunicorn would take a head ten times as large, and wait for its end.
                self.refused = _TOO_LARGE if len(self.early) > _LARGEST_HEAD else b""
                return bool(self.refused)
            found = _LENGTH.search(self.early, 0, end + 2)
            length = int(found[1][:12] or b"0") if found else 0
            self.whole = end + 4 + length
            self.until += patience(length) - patience(0)
            self.slow = length > _LARGEST or bool(_OPEN.search(self.early, 0, end + 2))
        return self.slow or len(self.early) >= self.whole


class Arrivals(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker with threads, whose main thread reads.

    Left alone a thread waits for each connection's request, and who opens as many as there are
    threads and says little has the site for himself. What is large, or of unknown length, is
    still read by threads: by a quarter of them at most, and not for ever.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            # The others are for databases, providers and what is read from the disk.
            self.worker_connections: int = min(self.cfg.worker_connections, files * 3 // 4)
        self._held = 0
        self._told = -_TELL
        #: Requests that a thread reads, and the connection of each.
        self._slow: dict[Arrival, Any] = {}
        self._slow_lock = threading.Lock()

    def run(self) -> None:
        # Only now is there a poller.
        self._parting = Parting(self.poller, self._close)
        super().run()

    def accept(self, listener: Any) -> None:
        # Of these two the first bytes are not a request's.
        if self.cfg.is_ssl or self.cfg.http2_cleartext in ("prior-knowledge", "both"):
            super().accept(listener)
            return
        try:
            sock, client = listener.accept()
        except OSError:
            return
        self.nr_conns += 1
        conn = TConn(self.cfg, sock, client, listener.getsockname())
        self._begin(conn, Arrival())

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """The next request on a connection that was kept."""
        if not hasattr(conn, "arrival"):
            super().on_client_socket_readable(conn, client)
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._begin(conn, Arrival())

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:
        if client.fileno() < 0:
            # Given up for room, after the system had told of it together with others.
            return
        if hasattr(conn, "arrival"):
            self._read(conn, waits=True)
        else:
            super().on_pending_socket_readable(conn, client)

    def _begin(self, conn: Any, arrival: Arrival) -> None:
        conn.arrival = arrival
        self._held += len(arrival.early)
        self._read(conn, waits=False)

    def _read(self, conn: Any, waits: bool) -> None:
        """Read what is there, and hand over what is whole.

        :param waits: whether the connection waits for more already.
        """
        arrival = conn.arrival
        # What came with the request before may be whole: more is then left to the network, else
        # who asks faster than he is answered would fill the memory.
        whole = bool(arrival.early) and arrival.ready()
        try:
            data = None if whole else conn.sock.recv(_PIECE)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        gone = data == b""
        if data:
            arrival.early += data
            self._held += len(data)
            gone = self._held > _MOST and self._makes_room(conn)
        if gone or whole or arrival.ready():
            self._leave(conn, waits)
            if gone:
                self._close(conn)
            elif arrival.refused or (arrival.slow and not self._seat(conn)):
                with suppress(OSError):
                    conn.sock.send(arrival.refused or _BUSY)
                self._parting.begin(conn)
            else:
                conn.data_ready = True
                self.enqueue_req(conn)
            return
        conn.timeout = arrival.until
        if not waits:
            self.pending_conns.append(conn)
            self.poller.register(
                conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn)
            )

    def _leave(self, conn: Any, waits: bool = True) -> None:
        self._held -= len(conn.arrival.early)
        if waits:
            self.poller.unregister(conn.sock)
            self.pending_conns.remove(conn)

    def _makes_room(self, conn: Any) -> bool:
        """Give up the largest of what has not come whole. True where that is this one itself.

        Who says little is heard also where others fill all there is.
        """

        def size(one: Any) -> int:
            return len(one.arrival.early) if hasattr(one, "arrival") else 0

        largest = max((*self.pending_conns, conn), key=size)
        if largest is not conn:
            self._leave(largest)
            self._close(largest)
        return largest is conn

    def _shed(self) -> None:
        """There is room for no further connection: make some, for who has something to say.

        A part of those that have waited longest for the rest of a request goes, and the one that
        has lain idle longest.
        """
        now = time.monotonic()
        waiting = [
            conn
            for conn in self.pending_conns
            if hasattr(conn, "arrival") and conn.arrival.began < now - _BRIEF
        ]
        for conn in waiting[: len(waiting) // 8 + 1]:
            self._leave(conn)
            self._close(conn)
        if self.keepalived_conns:
            self.keepalived_conns[0].timeout = now
            self.murder_keepalived()
        if now > self._told + _TELL:
            self._told = now
            _log.warning("There is room for no further connection: silent ones are closed")

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def _seat(self, conn: Any) -> bool:
        """Whether a thread may be kept waiting. Who may not is told to come again."""
        with self._slow_lock:
            if len(self._slow) < max(1, self.cfg.threads // 4):
                self._slow[conn.arrival] = conn
                return True
        return False

    def _unseat(self, arrival: Arrival) -> None:
        """Its request is read; once is enough, and more does no harm."""
        with self._slow_lock:
            self._slow.pop(arrival, None)

    def handle(self, conn: Any) -> Any:
        arrival = getattr(conn, "arrival", None)
        try:
            if arrival is not None:
                conn.init()
                conn.parser.unreader.unread(bytes(arrival.early))
                arrival.early.clear()
            return super().handle(conn)
        finally:
            if arrival is not None:
                self._unseat(arrival)

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        kept = not fs.cancelled() and not fs.exception() and fs.result()
        if not kept:
            self._parting.begin(conn)
            return
        if kept is True and hasattr(conn, "arrival"):
            early = conn.parser.unreader.take_buffered()
            if early:
                # A part of the next request came with this one; the rest may be long in coming.
                conn.sock.setblocking(False)
                self._begin(conn, Arrival(early))
                return
        super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Close what has not become whole in its time."""
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            if hasattr(conn, "arrival"):
                self._leave(conn)
                self._close(conn)
        self._parting.end_late()
        with self._slow_lock:
            late = [conn for arrival, conn in self._slow.items() if arrival.until <= now]
        for conn in late:
            with suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RD)
        if self.nr_conns >= self.worker_connections:
            self._shed()
        super().murder_pending()

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)
