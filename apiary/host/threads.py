"""Threads for work that may wait: one that has done its work takes further work for a while."""

import os
import threading
from collections.abc import Callable
from contextvars import Context
from queue import Empty, SimpleQueue

_Work = Callable[[], object]
#: Seconds for which a thread waits for work before it ends.
_PATIENCE = 10.0


class Threads:
    """As many threads as there is work at the same time.

    A new one costs what three small queries cost, and an answer takes two. An executor of the
    standard library never lets go of one.
    """

    def __init__(self, name: str, patience: float = _PATIENCE) -> None:
        self._name = name
        self._patience = patience
        self._process = 0
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        #: Where those wait that have nothing to do; the last one is taken first.
        self._idle: list[SimpleQueue[_Work]] = []
        self._process = os.getpid()

    def run(self, work: _Work) -> None:
        """Do it in a thread. What it raises is told to ``threading.excepthook``.

        :raises RuntimeError: the system lets this process have no further thread.
        """
        if self._process != os.getpid():
            # Those of the process that forked this one are not here.
            self._forget()
        with self._lock:
            door = self._idle.pop() if self._idle else None
        if door is not None:
            door.put(work)
            return
        threading.Thread(target=self._serve, args=(work,), name=self._name, daemon=True).start()

    def _serve(self, work: _Work | None) -> None:
        door: SimpleQueue[_Work] = SimpleQueue()
        while work is not None:
            # A context of its own for each, as it would have in a thread of its own.
            Context().run(work)
            work = None
            with self._lock:
                self._idle.append(door)
            work = self._next(door)

    def _next(self, door: "SimpleQueue[_Work]") -> _Work | None:
        try:
            return door.get(timeout=self._patience)
        except Empty:
            with self._lock:
                if door in self._idle:
                    self._idle.remove(door)
                    return None
            # It was given work at the last moment.
            return door.get()
