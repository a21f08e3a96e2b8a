"""A few requests at a time: with many at once the relay would wait behind all of them."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Few:
    """Lets a few threads at a time go on, in the order in which they came.

    The interpreter runs one thread at a time and goes round among all that want it, so with
    sixty questions in work the thread that carries the tokens has a sixtieth of it. Who waits
    for something else, a provider or the database, wants nothing: whoever takes long is counted
    no more, and holds up nobody.

    :param most: how many.
    :param long: seconds.
    """

    def __init__(self, most: int, long: float = 0.1) -> None:
        self._most = most
        self._long = long
        self._lock = threading.Lock()
        #: Those that go on, by when they began; the first began first.
        self._going: dict[object, float] = {}
        self._waiting: deque[tuple[object, threading.Event]] = deque()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Go on with the block when it is this thread's turn."""
        me = object()
        self._enter(me)
        try:
            yield
        finally:
            with self._lock:
                self._going.pop(me, None)
                self._admit()

    def _enter(self, me: object) -> None:
        with self._lock:
            if len(self._going) < self._most and not self._waiting:
                self._going[me] = time.monotonic()
                return
            turn = threading.Event()
            self._waiting.append((me, turn))
            self._admit()
        while not turn.wait(self._long):
            with self._lock:
                self._admit()

    def _admit(self) -> None:
        """Let go on who may. The caller has the lock."""
        now = time.monotonic()
        while self._going and next(iter(self._going.values())) < now - self._long:
            del self._going[next(iter(self._going))]
        while self._waiting and len(self._going) < self._most:
            me, turn = self._waiting.popleft()
            self._going[me] = now
            turn.set()
