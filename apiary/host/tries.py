"""What has been tried how often: moving windows, counted by the library ``limits``.

With Redis all processes of a site count together; while it is away each counts for itself.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from .shared import Away, Shared

_T = TypeVar("_T")
_MOST_KEYS = 20_000


class TooOften(Exception):
    """This try is one too many. ``wait`` is the number of seconds until the next may come."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"again in {wait} s")
        self.wait = wait


class Windows(MemoryStorage):
    """Moving windows in memory, for so many keys at most: those that were tried last.

    The library's own keeps all keys, starts a thread at each try that walks over them, and goes
    by the clock of the wall: set back by an hour, it keeps everybody out for that long.
    """

    STORAGE_SCHEME = ["windows"]  # noqa: RUF012

    def __init__(self, uri: str | None = None, **more: Any) -> None:
        super().__init__(uri, **more)
        # It walks over the keys once, and would lose a try that is counted meanwhile.
        self.timer.cancel()
        self._one = threading.Lock()
        #: When each try was, by the clock that is never set; the newest first.
        self._tries: dict[str, list[float]] = {}

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        with self._one:
            tries = self._tries[key] = self._tries.pop(key, [])
            now = time.monotonic()
            nth = limit - amount
            if nth < 0 or (len(tries) > nth and tries[nth] >= now - expiry):
                return False
            tries[:0] = [now] * amount
            del tries[limit:]
            while len(self._tries) > _MOST_KEYS:
                del self._tries[next(iter(self._tries))]
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the window began, by the clock of the wall, and how many tries are in it."""
        with self._one:
            now = time.monotonic()
            inside = [at for at in self._tries.get(key, ()) if at >= now - expiry]
        began = inside[-1] if inside else now
        return time.time() - (now - began), len(inside)

    def clear(self, key: str) -> None:
        with self._one:
            self._tries.pop(key, None)

    def reset(self) -> int:
        with self._one:
            count = len(self._tries)
            self._tries.clear()
        return count


class Tries:
    """The windows of one app.

    :param shared: where all processes of a site count; None counts in this process.
    """

    def __init__(self, shared: Shared | None = None) -> None:
        self.windows = Windows()
        self._alone = MovingWindowRateLimiter(self.windows)
        self._shared = shared
        self._together: MovingWindowRateLimiter | None = None
        if shared is not None:
            storage = storage_from_string("redis://", **shared.for_limits())
            self._together = MovingWindowRateLimiter(storage)

    def take(self, item: RateLimitItem, *names: str, cost: int = 1) -> None:
        """Count one try.

        :param names: whose it is, and of what.
        :raises TooOften: there were too many; this one does not count.
        """
        if not self._ask(lambda limiter: limiter.hit(item, *names, cost=cost)):
            raise TooOften(self._wait(item, names))

    def clear(self, item: RateLimitItem, *names: str) -> None:
        """Forget what was tried. What cannot be reached runs out by itself."""
        self._ask(lambda limiter: limiter.clear(item, *names))

    def _wait(self, item: RateLimitItem, names: tuple[str, ...]) -> int:
        most = item.get_expiry()
        reset = self._ask(lambda limiter: limiter.get_window_stats(item, *names)).reset_time
        return max(1, min(most, round(reset - time.time())))

    def _ask(self, work: Callable[[MovingWindowRateLimiter], _T]) -> _T:
        together = self._together
        if self._shared is not None and together is not None:
            try:
                return self._shared.ask(lambda _: work(together))
            except Away:
                pass
        return work(self._alone)


def window(count: int, seconds: int) -> RateLimitItem:
    """At most so many tries in so many seconds."""
    return RateLimitItemPerSecond(count, seconds)
