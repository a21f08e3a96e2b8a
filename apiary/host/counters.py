"""Limits that all processes of a site count together, by the package ``limits``."""

import time
from typing import Any

from apiary import ConfigError

from .limits import Limits, Rule, TooOften
from .shared import Away, Shared


class SharedLimits(Limits):
    """A moving window in Redis; while that is away each process counts for itself."""

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        try:
            from limits import RateLimitItemPerSecond
            from limits.storage import RedisStorage
            from limits.strategies import MovingWindowRateLimiter
        except ImportError:
            raise ConfigError(
                "APIARY_REDIS_URL needs the package limits: pip install 'flask-apiary[redis]'."
            ) from None
        self._shared = shared
        self._item = RateLimitItemPerSecond
        storage = RedisStorage(
            shared.url,
            key_prefix=f"{shared.prefix}limit",
            socket_connect_timeout=1,
            socket_timeout=2,
        )
        self._limiter: Any = MovingWindowRateLimiter(storage)

    def take(self, rule: Rule, key: str) -> None:
        item = self._item(rule.count, int(rule.seconds), namespace=rule.name)
        try:
            if self._shared.ask(lambda _: self._limiter.hit(item, key)):
                return
            reset = self._shared.ask(lambda _: self._limiter.get_window_stats(item, key)).reset_time
        except Away:
            super().take(rule, key)
            return
        raise TooOften(max(1, min(int(rule.seconds), int(reset - time.time()) + 1)))

    def forget(self, rule: Rule, key: str) -> None:
        super().forget(rule, key)
        item = self._item(rule.count, int(rule.seconds), namespace=rule.name)
        try:
            self._shared.ask(lambda _: self._limiter.clear(item, key))
        except Away:
            return
