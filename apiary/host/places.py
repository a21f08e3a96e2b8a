"""How many answers run at once on the whole site, for each owner and for all together.

Each running answer has a place in Redis that its process renews. What a killed process held is
free again after seconds; while Redis is away each process counts its own.
"""

import hashlib
import itertools
import secrets
import time
from typing import Any

from .answers import MOST_PER_OWNER, Answer, busy, too_many
from .shared import Away, Shared

#: Seconds for which a place is held, and between two renewals.
HELD, RENEW = 12.0, 4.0
#: By the clock of Redis: those of several machines may differ. Where that clock was set back,
#: nothing can be held for longer than it could have been taken for.
_CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local over = now + tonumber(ARGV[2])
local function hold(list)
  redis.call('ZADD', KEYS[list], over, ARGV[1])
  redis.call('EXPIRE', KEYS[list], 600)
end
"""
#: Both lists lose what was not renewed; then the place is taken in both or in none.
_TAKE = (
    _CLOCK
    + """
for list = 1, 2 do
  redis.call('ZREMRANGEBYSCORE', KEYS[list], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', KEYS[list], over + 1, '+inf')
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 1 end
if tonumber(ARGV[4]) > 0 and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[4]) then return 2 end
for list = 1, 2 do hold(list) end
return 0
"""
)
_RENEW = _CLOCK + "for list = 1, 2 do hold(list) end"


class Places:
    """One process's side of it.

    :param most: how many answers may run on the whole site, 0 for any number.
    """

    def __init__(self, shared: Shared, most: int) -> None:
        self._shared = shared
        self._most = most
        self._me = secrets.token_hex(6)
        self._numbers = itertools.count()
        self._taken: dict[Answer, tuple[str, float]] = {}

    def take(self, answer: Answer) -> None:
        """Take a place for an answer that is about to begin.

        :raises Full: there is none.
        """
        now = time.monotonic()
        place = f"{self._me}:{next(self._numbers)}"
        given = (place, HELD, MOST_PER_OWNER, self._most)
        try:
            full = self._shared.ask(
                lambda redis: redis.eval(_TAKE, 2, *self._lists(answer), *given)
            )
        except Away:
            return
        if full:
            raise too_many() if full == 1 else busy()
        self._taken[answer] = place, now

    def leave(self, answer: Answer) -> None:
        """Give back the place of an answer that never began, or is about to end."""
        place, _ = self._taken.pop(answer, (None, 0))
        if place is None:
            return
        try:
            self._shared.ask(
                lambda redis: [redis.zrem(name, place) for name in self._lists(answer)]
            )
        except Away:
            # Not renewed, it runs out.
            return

    def renew(self) -> None:
        """Keep the places of what runs, and give back what could not be when an answer ended.

        :raises Away: Redis was told nothing.
        """
        now = time.monotonic()
        held = [(answer, place, at) for answer, (place, at) in list(self._taken.items())]
        over = [(answer, place) for answer, place, _ in held if answer.ended is not None]
        due = [
            (answer, place)
            for answer, place, at in held
            if answer.ended is None and now - at > RENEW
        ]
        if not over and not due:
            return

        def work(redis: Any) -> Any:
            pipe = redis.pipeline(transaction=False)
            for answer, place in over:
                for name in self._lists(answer):
                    pipe.zrem(name, place)
            for answer, place in due:
                pipe.eval(_RENEW, 2, *self._lists(answer), place, HELD)
            return pipe.execute(raise_on_error=False)

        self._shared.ask(work)
        for answer, _ in over:
            self._taken.pop(answer, None)
        for answer, place in due:
            if answer in self._taken:
                self._taken[answer] = place, now

    def _lists(self, answer: Answer) -> tuple[str, str]:
        owner = hashlib.sha256(answer.owner.encode(errors="replace")).hexdigest()[:16]
        return self._shared.key("places", owner), self._shared.key("places", "all")
