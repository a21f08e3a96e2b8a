"""A lock that threads get in the order in which they asked for it."""

import threading
from collections import deque


class FairLock:
    """Held by one thread at a time. That of the standard library goes to whoever comes first
    when it is free, so among many some wait without end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        #: The thread that has it, 0 for none, -1 for one that is about to take it.
        self._holder = 0

    @property
    def mine(self) -> bool:
        """Whether this thread has it."""
        return self._holder == threading.get_ident()

    def acquire(self, timeout: float) -> bool:
        """Take it; False where others had it for so many seconds. Not by who has it already."""
        with self._lock:
            if self._holder == 0:
                self._holder = threading.get_ident()
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            turn.wait(timeout)
        except BaseException:
            if self._came(turn):
                self.release()
            raise
        return self._came(turn)

    def _came(self, turn: threading.Event) -> bool:
        with self._lock:
            if not turn.is_set():
                self._waiting.remove(turn)
                return False
            self._holder = threading.get_ident()
            return True

    def release(self) -> None:
        """Give it to who waits longest; nothing where this thread has it not."""
        with self._lock:
            if self._holder != threading.get_ident():
                return
            self._holder = 0
            if self._waiting:
                self._holder = -1
                self._waiting.popleft().set()
