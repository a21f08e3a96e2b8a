"""The built-in model's messages of today, for each owner. A day is a UTC day."""

import time
from datetime import UTC, datetime

from apiary import database

from .tables import Allowance

_today = database.prepare(
    lambda owner, day: Allowance.select(Allowance.used).where(
        Allowance.owner == owner, Allowance.day == day
    )
)
_take = database.prepare(
    lambda owner, day, limit: Allowance.insert(owner=owner, day=day, used=1).on_conflict(
        conflict_target=[Allowance.owner, Allowance.day],
        update={Allowance.used: Allowance.used + 1},
        where=(Allowance.used < limit),
    )
)


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def renews_in() -> int:
    """Seconds until the next UTC midnight, at least 1."""
    return 86_400 - int(time.time()) % 86_400


def used(owner: str) -> int:
    row = _today.first(owner=owner, day=today())
    return row.used if row else 0


def take(owner: str, limit: int) -> str | None:
    """Take one message of today's, in one statement, so that no race takes more than there are.

    :return: the day it was taken from, for :func:`give_back`; None when nothing is left.
    """
    if limit < 1:
        return None
    day = today()
    return day if _take.execute(owner=owner, day=day, limit=limit) else None


def give_back(owner: str, day: str) -> None:
    """Return a message that was taken but never answered."""
    Allowance.update(used=Allowance.used - 1).where(
        Allowance.owner == owner, Allowance.day == day, Allowance.used > 0
    ).execute()


def forget(owner: str) -> None:
    Allowance.delete().where(Allowance.owner == owner).execute()
