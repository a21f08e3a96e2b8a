"""Work that a request's own thread does when its response is out of its hands."""

import logging
import threading
from collections.abc import Callable
from contextvars import Context

_Work = Callable[[], object]
#: In the WSGI environment of a server that does such work: call it with what is to be done.
AFTERWARDS = "apiary.afterwards"

_log = logging.getLogger(__name__)


class Afterwards:
    """Spares the work a thread of its own, and the way there: both threads want the interpreter.

    Who asks a provider waits for its first word, so only some of a server's threads may do it.

    :param most: how many at a time; the others give the work away.
    """

    def __init__(self, most: int) -> None:
        self._places = threading.Semaphore(most)
        self._of_thread = threading.local()

    def begin(self) -> None:
        """A request begins on this thread."""
        self._of_thread.left = []

    def add(self, work: _Work) -> None:
        """Do this afterwards."""
        self._of_thread.left.append(work)

    def give_away(self, run: Callable[[_Work], None]) -> None:
        """Have all that is left done in threads of its own; ``run`` begins one.

        Where the system has none left it is done here: it counts as begun, and nobody else would.
        """
        left: list[_Work] = self._of_thread.left
        while left:
            work = left.pop(0)
            try:
                run(work)
            except RuntimeError:
                _do(work)

    def do(self, run: Callable[[_Work], None]) -> None:
        """Do all that is left here and now, where not too many threads do so already."""
        left: list[_Work] = self._of_thread.left
        while left and self._places.acquire(blocking=False):
            try:
                _do(left.pop(0))
            finally:
                self._places.release()
        self.give_away(run)


def _do(work: _Work) -> None:
    try:
        # A context of its own, as it would have in a thread of its own.
        Context().run(work)
    except Exception:
        _log.exception("What a request left to be done failed")
