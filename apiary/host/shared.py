"""What the processes of one site share through Redis: running answers, and who writes them.

Everything here may fail at any time. Then each process goes on by itself, and followers on
other processes read what is saved in the database.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from apiary import ConfigError

from . import wire

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
#: Milliseconds that a writer's claim on its answer lasts, and seconds between two of them.
LEASE_MS, RENEW = 4000, 1.0
#: Entries of one answer that are kept, more than there are rounds in the longest; and seconds for
#: which they are kept after the end.
MOST_ENTRIES, KEPT = 25_000, 60
#: An answer whose claim has run out and whose row was not saved for so long is dead.
DEAD = 6.0
#: Seconds without Redis before it is tried again.
_PAUSE = 2.0
#: Seconds between two complaints about commands that Redis refuses.
_TOLD = 60.0


class Away(Exception):
    """Redis does not answer now."""


class Shared:
    """One process's side of it. Answers have the names of :attr:`.answers.Answer.name`.

    :param prefix: stands before all keys, so that several sites may share one Redis.
    :raises ConfigError: the URL cannot be read, or the client is not installed.
    """

    def __init__(self, url: str, prefix: str) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise ConfigError(
                "APIARY_REDIS_URL needs the client of Redis: pip install 'flask-apiary[redis]'."
            ) from None
        try:
            self._redis: Any = redis.Redis.from_url(
                url,
                socket_connect_timeout=1,
                socket_timeout=2,
                # One more try: a connection may have died while it lay idle. One that says
                # nothing is not tried again: somebody waits.
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )
        except ValueError:
            raise ConfigError(
                "APIARY_REDIS_URL cannot be read. Write redis://:password@host:6379/0."
            ) from None
        self.prefix = prefix
        # Not there, too slow, still loading its data (a kind of the first), or cut off from
        # where it may be written to: nothing can be had now.
        self._away = (
            redis.ConnectionError,
            redis.TimeoutError,
            redis.ReadOnlyError,
            redis.exceptions.ClusterDownError,
            OSError,
        )
        # It answers; one command went wrong.
        self._refused = redis.RedisError
        self._until = 0.0
        self._down = False
        self._told = -_TOLD

    def for_limits(self) -> dict[str, Any]:
        """Options of the storage that counts tries."""
        pool = self._redis.connection_pool
        return {"connection_pool": pool, "key_prefix": f"{self.prefix}limit"}

    def ask(self, work: Callable[[Any], _T]) -> _T:
        """What ``work`` gets from the client.

        :raises Away: it cannot be had. While Redis is not there this comes at once for a
            while; the first of a row is logged. A command that Redis refuses is its own fault
            and keeps nobody else from asking.
        """
        now = time.monotonic()
        if now < self._until:
            raise Away
        if self._down:
            # One finds out whether it is back; the others do not wait with it.
            self._until = now + _PAUSE
        try:
            found = work(self._redis)
        except self._away as error:
            self._until = time.monotonic() + _PAUSE
            if not self._down:
                _log.warning("Redis is away, each process goes on by itself: %s", type(error))
            self._down = True
            raise Away from None
        except self._refused as error:
            self._back()
            self._complain(error)
            raise Away from None
        self._back()
        return found

    def _back(self) -> None:
        if self._down:
            self._down, self._until = False, 0.0
            _log.warning("Redis is back")

    def _complain(self, error: Exception) -> None:
        if time.monotonic() > self._told + _TOLD:
            self._told = time.monotonic()
            # The first word says what it is; the rest may name keys.
            word = (str(error).split() or [""])[0]
            _log.warning("Redis refused a command: %s %s", type(error).__name__, word)

    def key(self, kind: str, name: str) -> str:
        return f"{self.prefix}{kind}:{name}"

    def publish(self, answers: Iterable["Published"]) -> tuple[set[str], set[str]]:
        """Send what is new of these answers.

        :return: names of those that somebody wants to stop, and of those that Redis did not take.
        :raises Away: nothing can be said of what arrived.
        """
        running: list[str] = []
        #: Whose command is which.
        whose: list[str] = []

        def work(redis: Any) -> Any:
            pipe = redis.pipeline(transaction=False)
            for one in answers:
                one.put(pipe, self)
                whose.extend([one.name] * (len(pipe) - len(whose)))
                if not one.over:
                    running.append(one.name)
            if running:
                pipe.mget([self.key("stop", name) for name in running])
            found = pipe.execute(raise_on_error=False)
            for result in found:
                if isinstance(result, self._away):
                    raise result
            return found

        results = self.ask(work)
        refused = set()
        for name, result in zip(whose, results, strict=False):
            if isinstance(result, Exception):
                refused.add(name)
                self._complain(result)
        flags = results[-1] if running else []
        if isinstance(flags, Exception):
            flags = [None] * len(running)
        stop = {name for name, flag in zip(running, flags, strict=True) if flag}
        return stop, refused

    def claimed(self, name: str) -> bool | None:
        """Whether a living process writes this answer; None where that is not known."""
        try:
            return bool(self.ask(lambda redis: redis.exists(self.key("lease", name))))
        except Away:
            return None

    def stop(self, name: str) -> bool:
        """Ask the process that writes this answer to end it. False when that cannot be."""
        if not self.claimed(name):
            return False
        try:
            self.ask(lambda redis: redis.set(self.key("stop", name), 1, ex=KEPT))
        except Away:
            return False
        return True

    def has(self, name: str, wait: int = 0) -> bool:
        """Whether events of this answer can be read here.

        :param wait: milliseconds to wait until it is told of.
        """
        key = self.key("answer", name)
        try:
            return bool(self.ask(lambda redis: redis.xread({key: 0}, count=1, block=wait or None)))
        except Away:
            return False

    def read(self, name: str, after: str, wait: int) -> list[tuple[str, bytes, bool]]:
        """(position, events, whether it is the end) behind a position.

        :param wait: milliseconds to wait for the first.
        :raises Away:
        """
        key = self.key("answer", name)
        found = self.ask(lambda redis: redis.xread({key: after}, count=500, block=wait))
        entries = (
            found.get(key.encode(), [[]])[0]
            if isinstance(found, dict)
            else (found[0][1] if found else [])
        )
        return [
            (position.decode(), fields.get(b"events", b""), b"end" in fields)
            for position, fields in entries
        ]

    def texts(self, name: str) -> dict[str, str]:
        """All text of an answer, by kind, if all of it is here."""
        key = self.key("answer", name)
        try:
            entries = self.ask(lambda redis: redis.xrange(key))
        except Away:
            return {}
        found: dict[str, list[str]] = {"delta": [], "reasoning": []}
        expected = wire.before(name) + 1
        for _, fields in entries:
            for number, kind, data in wire.parse(fields.get(b"events", b"")):
                if number != expected:
                    return {}
                expected += 1
                if kind in found:
                    found[kind].append(data["text"])
        return {kind: "".join(pieces) for kind, pieces in found.items()}


class Published:
    """How far one answer of this process is known to the others."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = 0
        self.over = False
        self.events = b""
        self._began = False
        self._claimed = 0.0

    def put(self, pipe: Any, shared: Shared) -> None:
        """Add the commands that tell the others what is new."""
        key, lease = shared.key("answer", self.name), shared.key("lease", self.name)
        if not self._began:
            # An answer that goes on begins a stream anew, under the name that it had.
            pipe.delete(key, shared.key("stop", self.name))
        if self.events or not self._began:
            # Before its first word too: who looks for it sees that it is written.
            fields = {"events": self.events}
            pipe.xadd(key, fields, f"{self.at}-0", maxlen=MOST_ENTRIES, approximate=True)
        self._began = True
        now = time.monotonic()
        if self.over:
            pipe.xadd(key, {"end": 1}, f"{self.at}-1")
            pipe.expire(key, KEPT)
            pipe.delete(lease)
        elif now - self._claimed > RENEW:
            self._claimed = now
            pipe.set(lease, os.getpid(), px=LEASE_MS)
            pipe.expire(key, 3600)
