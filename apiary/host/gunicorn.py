"""The worker of the production server: gunicorn's own with threads, readers that need none, and
a good end.

``gunicorn --worker-class apiary.host.gunicorn.Worker``
"""

import errno
import gc
import logging
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Any

from gunicorn.workers.gthread import PollableMethodQueue  # type: ignore[import-untyped]

from . import undertaker
from .afterwards import AFTERWARDS, Afterwards
from .arrivals import Arrivals, patience
from .few import Few
from .relay import HANDS_OVER, HandedOver

_log = logging.getLogger(__name__)
#: What a request gives whose response the relay goes on writing.
_LENT = object()
#: Seconds before gunicorn's graceful time-out at which what still runs is broken off.
_MARGIN = 3.0
#: Requests in work at a time. One computes, and others wait for the disk meanwhile.
_AT_A_TIME = 3


class Callbacks(PollableMethodQueue):  # type: ignore[misc]
    """What threads tell the main thread."""

    def close(self) -> None:
        """Leave it to the end of the process. Threads still tell of their ends, and the number
        of a closed pipe may be a database's by then: they would write there."""


class Worker(Arrivals):
    """Gives the sockets of readers to the relay, and takes them back after the last word.

    Told to end, it lets running answers end, within a bound; the others it keeps, marked.
    gunicorn kills what is still there at its ``graceful_timeout``: by then all must be saved.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.method_queue = Callbacks()

    def run(self) -> None:
        super().run()
        # Also where no signal told of the end. The interpreter waits for the threads of requests
        # before anything else that belongs to its end, and some of them wait for providers.
        _break_off(self._app)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        # The relay is one of many threads that want the interpreter when many questions come at
        # once; with the usual 5 ms it would wait through several of them.
        sys.setswitchinterval(0.001)
        # What is there by now stays. Looking through all of it takes 65 ms in which no token moves,
        # and makes pages this process's own that it shares with its parent.
        gc.freeze()
        self._app: Any = self.wsgi  # type: ignore[has-type]
        self._few = Few(_AT_A_TIME)
        # Twice as many may wait for slow bodies; half are for readers that need one.
        self._afterwards = Afterwards(self.cfg.threads // 8)
        self.wsgi = self._respond
        if host := _host(self._app):
            # The others are for everything else, health checks first.
            host.readers.most_threads = max(1, self.cfg.threads // 2)
        # Once the process is up and others have had time to give signs of life.
        timer = threading.Timer(undertaker.SOON, _look, [self._app])
        timer.daemon = True
        timer.start()

    def _respond(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ[HANDS_OVER] = True
        if _host(self._app):
            # In a middleware it is not found: nobody would take what is too much, nor break it off.
            environ[AFTERWARDS] = self._afterwards.add
        with self._few.one():
            body = self._app(environ, start_response)
        sock = environ["gunicorn.socket"]
        # From here on a client that reads nothing keeps a thread for so long at most.
        sock.settimeout(patience(0))
        # A file goes out by sendfile, which looks for this very type.
        return body if isinstance(body, environ["wsgi.file_wrapper"]) else _Body(body, sock)

    def handle_request(self, req: Any, conn: Any) -> Any:
        self._afterwards.begin()
        try:
            found = self._handle(req, conn)
            if found is _LENT:
                # Nobody waits for this thread any more.
                self._afterwards.do(self._run)
            return found
        finally:
            self._afterwards.give_away(self._run)

    def _handle(self, req: Any, conn: Any) -> Any:
        try:
            return super().handle_request(req, conn)
        except _Lent as lent:
            begin, body = lent.begin, lent.body
            # It would keep all frames of the request for as long as the answer runs.
            lent.forget()
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client reads nothing") from None
        return self._lend(conn, begin, body, not req.should_close())

    def _run(self, work: Callable[[], object]) -> None:
        _host(self._app).threads.run(work)

    def _lend(
        self,
        conn: Any,
        begin: Callable[[Callable[[bool], None]], None],
        body: "_Body",
        keepalive: bool,
    ) -> object:
        try:
            # What is left of the request is read first: the next one follows on this socket.
            keeps = super()._keepalive_after(conn, keepalive)
        except Exception:
            body.finish()
            raise
        conn.parser.mesg = None
        if hasattr(conn, "arrival"):
            # It is read, however long this thread is needed.
            self._unseat(conn.arrival)
        # With a time limit Python would wait before it sends, also where it is told not to.
        conn.sock.settimeout(None)

        def done(whole: bool) -> None:
            self.method_queue.defer(self._take_back, conn, body, whole and keeps)

        begin(done)
        return _LENT

    def _keepalive_after(self, conn: Any, keepalive: Any) -> Any:
        if keepalive is _LENT:
            return keepalive
        return super()._keepalive_after(conn, keepalive)

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        if not fs.cancelled() and not fs.exception() and fs.result() is _LENT:
            return
        super().finish_request(conn, fs)

    def _take_back(self, conn: Any, body: "_Body", keeps: bool) -> None:
        """On the main thread, when the relay has written the last chunk or given up."""
        body.finish()
        finished: Future[bool] = Future()
        finished.set_result(keeps)
        super().finish_request(conn, finished)

    def set_accept_enabled(self, enabled: bool) -> None:
        """At the end also close the port, after taking in who has come through it already.

        gunicorn leaves it open until the last answer has ended: whoever comes meanwhile, as
        from a proxy, is let in, heard by nobody, and cut off.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            waiting = select.poll()
            waiting.register(listener, select.POLLIN)
            for _ in range(self.cfg.backlog):
                if not waiting.poll(0):
                    break
                self.accept(listener)
            listener.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.alive:
            patience = max(0.0, self.cfg.graceful_timeout - _MARGIN)
            timer = threading.Timer(patience, _break_off, [self._app])
            timer.daemon = True
            timer.start()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """The quick end: nothing is waited for, but all is kept."""
        # The interpreter waits for the threads of requests, and some of them for ends of answers.
        threading.Thread(target=_break_off, args=[self._app], daemon=True).start()
        super().handle_quit(sig, frame)


class _Lent(OSError):
    """A connection that the relay writes to for a while."""

    def __init__(self, begin: Callable[[Callable[[bool], None]], None], body: "_Body") -> None:
        super().__init__("lent to the relay")
        self.begin = begin
        self.body = body

    def forget(self) -> None:
        """Let go of the frames that it was raised through."""
        for error in (self, self.__context__):
            if error is not None:
                error.__traceback__ = error.__context__ = None


class _Body:
    """A response that may be handed over: then it is closed when the relay has written it."""

    def __init__(self, inner: Any, sock: socket.socket) -> None:
        self._inner = inner
        self._sock = sock
        self._handed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._inner:
                # Of sending the whole piece, as what is read has its time.
                self._sock.settimeout(patience(len(piece)))
                yield piece
        except HandedOver as handed:
            self._handed = True
            raise _Lent(handed.begin, self) from None

    def close(self) -> None:
        if not self._handed:
            self.finish()

    def finish(self) -> None:
        close = getattr(self._inner, "close", None)
        if close is not None:
            close()


def _look(app: Any) -> None:
    if "apiary.host" in getattr(app, "extensions", {}):
        try:
            undertaker.look(app)
        except Exception:
            # The database may be away, or older than the code: whoever looks at them marks them.
            _log.warning("Nobody looked for the answers of dead processes", exc_info=True)


def _break_off(app: Any) -> None:
    if host := _host(app):
        try:
            host.keeper.leave()
        finally:
            # Also of answers that were stopped: whose thread waits for a provider's first word
            # would keep the process.
            with app.app_context():
                host.apiary.hang_up()


def _host(app: Any) -> Any:
    return getattr(app, "extensions", {}).get("apiary.host")
