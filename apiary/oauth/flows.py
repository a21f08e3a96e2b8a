"""One-time flows: put, take once, expire, cap. The state of a flow changes only here.

    waiting ──▶ exchanging ──▶ connected | failed | lost | cancelled
       └──────▶ denied | cancelled | expired | superseded | failed
    lost ──▶ connected: the clock was set forward, and the exchange was not dead after all

Each change is one UPDATE with the old state in its WHERE, so that of two callbacks, in two
processes if need be, one wins. Times are Unix seconds by the server's clock, which may be set
back: a time that is to come counts as one that is long past.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass

import peewee

from .. import signals
from ..crypto import Sealed
from ..db import database, sender
from ..models import StoredFlow as Row
from ..translation import localized, say

#: A verifier's cookie and its flow live this long, in seconds.
LIFETIME = 300
#: No exchange takes as long as this; one that seems to has died.
EXCHANGE_LIMIT = 60
#: How many flows of one browser may wait at the same time.
WAITING_AT_ONCE = 3
#: Ended flows are kept this long, to answer a reload or a replay with their outcome.
KEPT = 3600
#: The clocks of several machines differ by as much as this.
_SKEW = 5

_SENTENCES = {
    "waiting": say("Waiting for approval."),
    "exchanging": say("Approved. Fetching your key…"),
    "connected": say("Connected."),
    "denied": say("You declined the request. Nothing was saved."),
    "cancelled": say("Connecting was cancelled. Nothing was saved."),
    "expired": say("Connecting took longer than five minutes and was stopped. Nothing was saved."),
    "superseded": say("Another window finished connecting first. This one is no longer needed."),
    "failed": say("Connecting did not work. Nothing was saved."),
    "lost": say(
        "The connection broke while your key was being fetched. A key may exist in your account"
        " that could not be saved here: delete it there, then connect again."
    ),
}


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as its owner may see it; ``expires_in`` is in whole seconds."""

    id: int
    attempt: str
    owner: str
    provider: str
    browser: str
    challenge: str
    display: str
    back: str
    state: str
    message: str
    started: float
    ended: float
    expires_in: int
    #: The other account whose key waits for the owner's answer, "" when none does.
    held_account: str = ""
    held: Sealed | None = None


class AttemptUsed(Exception):
    """The attempt was already begun and has ended, or was cancelled before it arrived."""


def put(
    *,
    owner: str,
    provider: str,
    browser: str,
    challenge: str,
    attempt: str,
    display: str,
    back: str,
) -> str:
    """Begin a flow and return its secret id.

    The same attempt sent twice (a double click) is one flow, whose newest id counts.

    :raises AttemptUsed: the attempt has ended already.
    """
    flow = secrets.token_urlsafe(32)
    now = time.time()
    values = {
        "flow_sha256": _hash(flow),
        "challenge": challenge,
        "browser": browser,
        "display": display,
        "back": back,
        "started": now,
    }
    with database.atomic():
        _sweep(now)
        renewed = (
            Row.update(values)
            .where(Row.owner == owner, Row.attempt == attempt, Row.state == "waiting")
            .execute()
        )
        if not renewed:
            if Row.select().where(Row.owner == owner, Row.attempt == attempt).exists():
                raise AttemptUsed
            Row.insert(
                owner=owner, provider=provider, attempt=attempt, state="waiting", **values
            ).execute()
        waiting = (
            Row.select(Row.id)
            .where(
                Row.owner == owner,
                Row.browser == browser,
                Row.provider == provider,
                Row.state == "waiting",
            )
            .order_by(Row.started.desc(), Row.id.desc())
            .offset(WAITING_AT_ONCE)
            # SQLite wants a limit where there is an offset.
            .limit(1000)
        )
        _end(Row.id.in_([row.id for row in waiting]), "superseded")
    return flow


def find(flow: str) -> Flow | None:
    """The flow with this secret id, None when there is none (or no longer)."""
    return _seen(Row.get_or_none(Row.flow_sha256 == _hash(flow)))


def by_attempt(owner: str, attempt: str) -> Flow | None:
    """The owner's own flow that this attempt began; None until its start has arrived."""
    return _seen(Row.get_or_none(Row.owner == owner, Row.attempt == attempt))


def latest(owner: str, browser: str, provider: str) -> Flow | None:
    """The flow that this browser began last and that was not answered by a newer one."""
    query = (
        Row.select()
        .where(Row.owner == owner, Row.browser == browser, Row.provider == provider)
        .order_by(Row.started.desc(), Row.id.desc())
    )
    return _seen(query.first())


def take(flow: Flow) -> bool:
    """Use the flow up, before anything is dialled. True for exactly one caller, in time."""
    now = time.time()
    return bool(
        Row.update(state="exchanging", taken=now)
        .where(
            Row.id == flow.id,
            Row.state == "waiting",
            Row.started.between(now - LIFETIME, now + _SKEW),
        )
        .execute()
    )


def end(owner: str, attempt: str, state: str, message: str = "", *, was: tuple[str, ...]) -> bool:
    """Move a flow to a final state. False when it was in none of the states ``was`` any more."""
    mine = (Row.owner == owner) & (Row.attempt == attempt) & Row.state.in_(was)
    return _end(mine, state, message)


def supersede(owner: str, provider: str, keep: str) -> None:
    """After a success: the owner's other waiting flows are no longer needed."""
    _end(
        (Row.owner == owner)
        & (Row.provider == provider)
        & (Row.attempt != keep)
        & (Row.state == "waiting"),
        "superseded",
    )


def cancel(owner: str, provider: str, browser: str, attempt: str) -> Flow | None:
    """Cancel what still waits, also an attempt whose start is still on its way."""
    mine = (Row.owner == owner) & (Row.attempt == attempt)
    if not _end(mine & (Row.state == "waiting"), "cancelled"):
        refuse(owner, provider, browser, attempt, "cancelled")
    return by_attempt(owner, attempt)


def refuse(
    owner: str, provider: str, browser: str, attempt: str, state: str, message: str = ""
) -> None:
    """Note an attempt that ended before it began, for the page that waits for it.

    An attempt that is known already is left as it is.
    """
    now = time.time()
    _sweep(now)
    Row.insert(
        owner=owner,
        provider=provider,
        attempt=attempt,
        browser=browser,
        challenge="",
        display="popup",
        back="settings",
        state=state,
        message=localized(message),
        started=now,
        ended=now,
    ).on_conflict_ignore().execute()


def hold(owner: str, attempt: str, sealed: Sealed, account: str) -> bool:
    """Keep a sealed key with its flow until the owner has said whether to replace the old one."""
    return bool(
        Row.update(
            held_kid=sealed.kid,
            held_iv=sealed.iv,
            held_sealed=sealed.box,
            held_account=account,
            taken=time.time(),
        )
        .where(Row.owner == owner, Row.attempt == attempt, Row.state == "exchanging")
        .execute()
    )


def held(owner: str, provider: str) -> Flow | None:
    """The flow whose key waits for the owner's answer."""
    query = (
        Row.select()
        .where(
            Row.owner == owner,
            Row.provider == provider,
            Row.state == "exchanging",
            Row.held_sealed.is_null(False),
        )
        .order_by(Row.taken.desc())
    )
    flow = _seen(query.first())
    return flow if flow and flow.held else None


def _end(where: peewee.Expression, state: str, message: str = "") -> bool:
    # A key that was held is gone with its flow, however it ends.
    changed: int = (
        Row.update(
            state=state,
            message=localized(message),
            ended=time.time(),
            held_kid=None,
            held_iv=None,
            held_sealed=None,
        )
        .where(where)
        .execute()
    )
    if changed:
        signals.attempt_ended.send(sender(), outcome=state, count=changed)
    return bool(changed)


def _sweep(now: float) -> None:
    Row.delete().where(Row.started < now - KEPT).execute()


def _seen(row: Row | None) -> Flow | None:
    """The row, after what the clock has done to it was written down."""
    if row is None:
        return None
    now = time.time()
    age = now - row.started
    overdue = ""
    if row.state == "waiting" and not -_SKEW <= age <= LIFETIME:
        overdue = "expired"
    elif row.state == "exchanging":
        held = row.held_sealed is not None
        if not -_SKEW <= now - row.taken <= (LIFETIME if held else EXCHANGE_LIMIT):
            overdue = "cancelled" if held else "lost"
    if overdue:
        _end((Row.id == row.id) & (Row.state == row.state), overdue)
        row = Row.get_by_id(row.id)
    sealed = None
    if row.held_sealed is not None:
        sealed = Sealed(row.held_kid or "", bytes(row.held_iv or b""), bytes(row.held_sealed))
    return Flow(
        id=row.id,
        attempt=row.attempt,
        owner=row.owner,
        provider=row.provider,
        browser=row.browser,
        challenge=row.challenge,
        display=row.display,
        back=row.back,
        state=row.state,
        message=row.message or _SENTENCES[row.state],
        started=row.started,
        ended=row.ended,
        expires_in=max(0, int(LIFETIME - age)) if row.state == "waiting" else 0,
        held_account=row.held_account if sealed else "",
        held=sealed,
    )


def _hash(flow: str) -> str:
    return hashlib.sha256(flow.encode()).hexdigest()
