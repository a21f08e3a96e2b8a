"""One thread that moves what providers send to who reads it, for all answers of a process.

A thread for each answer and one for each reader work as well, and are what runs where this
cannot (another server than gunicorn, no epoll, a provider with a stream of its own); but each
token then wakes two of them. Here an answer costs no thread while it runs.

The seam is ``gunicorn.socket`` in the WSGI environment: gunicorn writes the head and a first
chunk, the relay writes further chunks, gunicorn writes the last one while a thread of it sleeps.
Our own worker (:mod:`.gunicorn`) needs no such thread: it hands the socket over, and gets it back
after the last chunk.
"""

import contextlib
import errno
import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .answers import Answer

_log = logging.getLogger(__name__)
#: With more answers than this, tokens are held back to go together: for so many seconds, and
#: never the first of an answer.
CROWD = 40
HOLD = 0.028
#: A reader that takes nothing for so long is dropped; it may come back.
STUCK = 60.0
#: After so long without a byte a provider's answer is asked whether it is too late.
_QUIET = 5.0
#: Seconds of silence after which a reader hears that we are still here.
HEARTBEAT = 15.0
#: Seconds between two looks while nobody reads.
_CALM = 5.0
_BEAT = b": still here\n\n"
#: In the WSGI environment: the server takes :class:`HandedOver` for the rest of a response.
HANDS_OVER = "apiary.hands_over"
_LAST = memoryview(b"0\r\n\r\n")


class Flow(Protocol):
    """A running answer on the provider's side."""

    sock: socket.socket
    answer: "Answer"

    def step(self) -> bool:
        """Pass on what has come, without waiting. False when :meth:`leave` is to be called."""

    def leave(self, problem: BaseException | None) -> None:
        """End it, without waiting; ``problem`` is what :meth:`step` raised."""


class HandedOver(OSError):
    """Raised instead of the rest of a response that the relay writes by itself.

    An ``OSError``, which everything between the view and the server lets pass.

    :ivar begin: to be called once by the server when it will not touch the socket any more, with
        what is called at the end, from any thread: whether the response is whole.
    """

    def __init__(self, begin: Callable[[Callable[[bool], None]], None]) -> None:
        super().__init__("the relay writes the rest")
        self.begin = begin


class _New:
    def __init__(self, flow: Flow) -> None:
        self.flow = flow


class _Reader:
    def __init__(
        self, answer: "Answer", after: int, sock: socket.socket, done: Callable[[bool], None]
    ) -> None:
        self.done = done
        #: Whether the relay writes the last chunk too, and whether it has begun to.
        self.alone = self.ending = False
        self.answer = answer
        self.me = answer.enter()
        self.at = after
        self.sock = sock
        self.fd = sock.fileno()
        self.pending = memoryview(b"")
        self.blocked = False
        self.spoke = time.monotonic()


class Relay:
    """Works where there is epoll; the thread begins with the first answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._ident = 0

    def carry(self, flow: Flow) -> None:
        """Take over a flow whose socket does not block."""
        self._tell(_New(flow))

    def follow(self, answer: "Answer", after: int, environ: Mapping[str, Any]) -> Iterator[bytes]:
        """As :meth:`Answer.follow`, by the cheapest way there is."""
        sock = _socket(environ)
        if sock is None:
            return answer.follow(after)
        return self._follow(answer, after, sock, HANDS_OVER in environ)

    def _follow(
        self, answer: "Answer", after: int, sock: socket.socket, hands_over: bool
    ) -> Iterator[bytes]:
        yield b": open\n\n"
        if hands_over:
            raise HandedOver(lambda done: self._enter(answer, after, sock, done, alone=True))
        over, whole = threading.Event(), True

        def done(all_there: bool) -> None:
            nonlocal whole
            whole = all_there
            over.set()

        self._enter(answer, after, sock, done, alone=False)
        over.wait()
        if not whole:
            raise OSError(errno.EPIPE, "the reader is gone")

    def _enter(
        self,
        answer: "Answer",
        after: int,
        sock: socket.socket,
        done: Callable[[bool], None],
        alone: bool,
    ) -> None:
        reader = _Reader(answer, after, sock, done)
        reader.alone = alone
        self._begin()
        answer.wake = self._wake
        self._inbox.append(reader)
        if answer.count or answer.ended is not None:
            # Else what comes first rings, and the relay need not be woken before.
            os.eventfd_write(self._bell, 1)

    def _wake(self, answer: "Answer") -> None:
        """An answer that has a reader here has something new."""
        if threading.get_ident() == self._ident:
            self._news.add(answer)
        else:
            self._inbox.append(answer)
            os.eventfd_write(self._bell, 1)

    def _tell(self, what: "_New | _Reader") -> None:
        self._begin()
        self._inbox.append(what)
        os.eventfd_write(self._bell, 1)

    def _begin(self) -> None:
        if self._process == os.getpid():
            return
        with self._lock:
            if self._process == os.getpid():
                return
            self._inbox: deque[_New | _Reader | Answer] = deque()
            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            #: What is to be served at once, and answers that are under way.
            self._fresh, self._steady = select.epoll(), select.epoll()
            self._fresh.register(self._bell, select.EPOLLIN)
            self._fresh.register(self._steady.fileno(), select.EPOLLIN)
            self._flows: dict[int, Flow] = {}
            self._under_way: set[int] = set()
            self._heard: dict[int, float] = {}
            self._readers: dict[Answer, list[_Reader]] = {}
            self._blocked: dict[int, _Reader] = {}
            self._news: set[Answer] = set()
            #: Flows that have come to their end, and how: readers get the last words first.
            self._leaving: list[tuple[Flow, BaseException | None]] = []
            self._crowded = False
            self._next = self._look = 0.0
            thread = threading.Thread(target=self._run, name="apiary-relay", daemon=True)
            thread.start()
            self._ident = thread.ident or 0
            self._process = os.getpid()

    def _run(self) -> None:
        while True:
            try:
                self._turn()
            except Exception:
                _log.exception("The relay stumbled")
                time.sleep(0.1)

    def _turn(self) -> None:
        crowded = len(self._flows) > CROWD
        if crowded != self._crowded:
            self._crowded = crowded
            self._fresh.modify(self._steady.fileno(), 0 if crowded else select.EPOLLIN)
        if self._news or self._leaving:
            # What was found when all were looked at.
            wait = 0.0
        elif crowded:
            wait = max(0.0, self._next - time.monotonic())
        else:
            # A reader may have come who has rung for nothing.
            wait = 1.0 if self._flows or self._readers else _CALM
        for fd, _ in self._fresh.poll(wait, 512):
            self._ready(fd)
        now = time.monotonic()
        if not crowded or now >= self._next:
            self._next = now + HOLD
            for fd, _ in self._steady.poll(0, 4096):
                self._ready(fd)
        while self._inbox:
            self._hear(self._inbox.popleft())
        news, self._news = self._news, set()
        for answer in news:
            for reader in list(self._readers.get(answer, ())):
                self._send(reader)
        while self._leaving:
            flow, problem = self._leaving.pop()
            flow.leave(problem)
        if now >= self._look:
            self._look = now + 1.0
            self._look_around(now)

    def _ready(self, fd: int) -> None:
        if fd in self._flows:
            self._step(fd)
        elif fd == self._bell:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._bell)
        elif fd in self._blocked:
            self._send(self._blocked[fd])

    def _hear(self, what: "_New | _Reader | Answer") -> None:
        if isinstance(what, _Reader):
            self._readers.setdefault(what.answer, []).append(what)
            self._news.add(what.answer)
        elif isinstance(what, _New):
            flow = what.flow
            fd = flow.sock.fileno()
            try:
                self._fresh.register(fd, select.EPOLLIN)
            except (OSError, ValueError) as error:
                flow.leave(error)
                return
            self._flows[fd] = flow
            # What came with the head lies ready already.
            self._step(fd)
        else:
            self._news.add(what)

    def _step(self, fd: int) -> None:
        flow = self._flows[fd]
        self._heard[fd] = time.monotonic()
        problem: BaseException | None = None
        try:
            going = flow.step()
        except Exception as error:
            going, problem = False, error
        if not going:
            epoll = self._steady if fd in self._under_way else self._fresh
            with contextlib.suppress(OSError):
                epoll.unregister(fd)
            del self._flows[fd], self._heard[fd]
            self._under_way.discard(fd)
            self._leaving.append((flow, problem))
        elif fd not in self._under_way and flow.answer.size > flow.answer.given:
            self._under_way.add(fd)
            self._fresh.unregister(fd)
            self._steady.register(fd, select.EPOLLIN)

    def _send(self, reader: _Reader) -> None:
        while True:
            if not reader.pending:
                if reader.ending:
                    self._drop(reader)
                    return
                found = reader.answer.news(reader.me, reader.at)
                batch, reader.at, over = found or (b"", reader.at, True)
                if batch:
                    reader.pending = _chunk(batch)
                    if not over:
                        # Whatever comes after this tells of itself.
                        self._push(reader)
                        return
                elif not over:
                    return
                elif reader.alone:
                    reader.pending, reader.ending = _LAST, True
                else:
                    reader.ending = True
                    continue
            if not self._push(reader):
                return

    def _push(self, reader: _Reader) -> bool:
        """Send what is pending. False when the reader cannot take it now, or is gone."""
        try:
            sent = reader.sock.send(reader.pending, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(reader)
            return False
        if sent:
            reader.spoke = time.monotonic()
        reader.pending = reader.pending[sent:]
        blocked = bool(reader.pending)
        if blocked and not reader.blocked:
            self._blocked[reader.fd] = reader
            self._fresh.register(reader.fd, select.EPOLLOUT)
        elif reader.blocked and not blocked:
            self._unblock(reader)
        reader.blocked = blocked
        return not blocked

    def _unblock(self, reader: _Reader) -> None:
        self._blocked.pop(reader.fd, None)
        with contextlib.suppress(OSError):
            self._fresh.unregister(reader.fd)

    def _drop(self, reader: _Reader) -> None:
        """Give the reader's socket back to the server; half a chunk makes it useless."""
        if reader.blocked:
            self._unblock(reader)
        left = self._readers.get(reader.answer, [])
        if reader in left:
            left.remove(reader)
        if not left:
            self._readers.pop(reader.answer, None)
        reader.done(not reader.pending)

    def _look_around(self, now: float) -> None:
        for fd, heard in list(self._heard.items()):
            if heard < now - _QUIET and fd in self._flows:
                self._step(fd)
        for reader in [r for some in self._readers.values() for r in some]:
            if reader.pending:
                if reader.spoke < now - STUCK:
                    self._drop(reader)
            elif reader.spoke < now - HEARTBEAT:
                reader.pending = _chunk(_BEAT)
                self._push(reader)


def _chunk(data: bytes) -> memoryview:
    return memoryview(b"%x\r\n%b\r\n" % (len(data), data))


def available() -> bool:
    """Whether flows can be carried here. gevent takes epoll away where it patches."""
    return hasattr(select, "epoll") and hasattr(os, "eventfd")


def hands_over(environ: Mapping[str, Any]) -> bool:
    """Whether a reader of this request is served without a thread."""
    return HANDS_OVER in environ and _socket(environ) is not None


def _socket(environ: Mapping[str, Any]) -> socket.socket | None:
    """The reader's socket, where the relay may write to it."""
    sock = environ.get("gunicorn.socket")
    plain = type(sock) is socket.socket and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
    if not plain or environ.get("HTTP_VERSION") == "2" or not available():
        return None
    return sock
