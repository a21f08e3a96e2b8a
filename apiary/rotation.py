"""The key ring and what it sealed: who needs which key, and moving all of it to the first one.

Rows are changed one by one, each by one UPDATE that names the record it replaces. So whoever
writes at the same time wins, no lock is held, and a kill leaves whole rows behind: the next
run goes on with those that are left.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import peewee

from .crypto import KeyRing, Sealed, Unreadable
from .models import StoredCanary, StoredConnection, StoredFlow

#: A key that waits for its owner's answer is void long before that, in seconds.
_HELD = 3600
_CANARY = b"apiary canary"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One key: what it sealed, and whether this process holds it."""

    kid: str
    #: "encrypts", "decrypts", or "missing": it sealed something and is not in the key ring.
    role: str
    #: Connections, also rejected ones.
    stored: int
    #: Keys just made by Connect that wait for their owner's answer.
    held: int
    #: When a process first encrypted with it, Unix seconds; None for one that never did.
    since: float | None
    #: False where its canary does not open although the key is there.
    sound: bool

    @property
    def unreadable(self) -> int:
        return self.stored + self.held if self.role == "missing" else 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rotation is. All are numbers of rows."""

    #: Sealed with an older key of the ring when it began.
    total: int
    done: int = 0
    #: Changed by somebody else in the very moment: theirs stands.
    overtaken: int = 0
    #: Their key is at hand, and yet they do not open.
    damaged: int = 0
    #: Sealed with a key that is not in the ring.
    missing: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where sealed records lie in a table, and what each of them is bound to."""

    table: Any
    kid: Any
    iv: Any
    box: Any
    where: Callable[[], Any]
    context: Callable[[Any, Mapping[str, str]], tuple[str, ...]]

    def counts(self) -> dict[str, int]:
        query = self.table.select(self.kid, peewee.fn.COUNT(self.table.id)).where(self.where())
        return dict(query.group_by(self.kid).tuples())

    def needs_others(self, kids: list[str]) -> bool:
        """Whether a record may need a key that is none of these.

        Asked for what lies between them, which an index answers at once. In an order of the
        database's own it may say yes too often, but never no.
        """
        known = sorted(kids)
        gaps = (self.kid < known[0]) | (self.kid > known[-1])
        for one, next_one in pairwise(known):
            gaps |= (self.kid > one) & (self.kid < next_one)
        return bool(self.table.select().where(self.where() & gaps).exists())

    def page(self, kids: list[str], after: int, size: int) -> list[Any]:
        mine = self.where() & self.kid.in_(kids) & (self.table.id > after)
        return list(self.table.select().where(mine).order_by(self.table.id).limit(size))

    def sealed(self, row: Any) -> Sealed:
        kid, iv, box = (getattr(row, field.name) for field in (self.kid, self.iv, self.box))
        return Sealed(kid, bytes(iv or b""), bytes(box or b""))

    def swap(self, row: Any, old: Sealed, new: Sealed) -> bool:
        values = {self.kid: new.kid, self.iv: new.iv, self.box: new.box}
        mine = (self.table.id == row.id) & (self.kid == old.kid) & (self.iv == old.iv)
        return bool(self.table.update(values).where(mine).execute())


# The contexts are those of vault.put and oauth.connect: a test rotates and then uses both.
_PLACES = (
    _Place(
        StoredConnection,
        StoredConnection.kid,
        StoredConnection.iv,
        StoredConnection.sealed,
        lambda: StoredConnection.kid.is_null(False),
        lambda row, origins: ("connection", row.owner, row.provider, row.origin),
    ),
    _Place(
        StoredFlow,
        StoredFlow.held_kid,
        StoredFlow.held_iv,
        StoredFlow.held_sealed,
        lambda: StoredFlow.held_kid.is_null(False) & (StoredFlow.taken > time.time() - _HELD),
        lambda row, origins: (
            "held",
            row.owner,
            row.provider,
            origins.get(row.provider, ""),
            row.attempt,
        ),
    ),
)


def usage(ring: KeyRing) -> list[KeyUse]:
    """Every key of the ring, the encrypting one first, then those that are missing."""
    stored, held = (place.counts() for place in _PLACES)
    canaries = {row.kid: row for row in StoredCanary.select()}
    others = sorted((stored.keys() | held.keys() | canaries.keys()) - set(ring.kids))
    found = []
    for kid in [*ring.kids, *others]:
        role = "decrypts" if kid in ring else "missing"
        canary = canaries.get(kid)
        found.append(
            KeyUse(
                kid=kid,
                role="encrypts" if kid == ring.kids[0] else role,
                stored=stored.get(kid, 0),
                held=held.get(kid, 0),
                since=canary.since if canary else None,
                sound=canary is None or kid not in ring or _opens(ring, canary),
            )
        )
    return found


def unreadable(ring: KeyRing) -> int:
    """How many records the key ring does not open. Quick where there are none."""
    if not any(place.needs_others(ring.kids) for place in _PLACES):
        return 0
    return sum(use.unreadable for use in usage(ring))


def look(ring: KeyRing) -> str:
    """Leave a canary of the encrypting key, and say what is wrong with the ring, "" if nothing.

    For the start of a process. It writes only when a key is new.
    """
    _leave_canary(ring)
    others = StoredCanary.select().where(StoredCanary.kid.not_in(ring.kids)).exists()
    if not others and not any(place.needs_others(ring.kids) for place in _PLACES):
        return ""
    missing = [use for use in usage(ring) if use.role == "missing"]
    if not missing:
        return ""
    names = ", ".join(use.kid for use in missing)
    return (
        f"The key ring lacks {names}, which sealed keys of this database; of those that are"
        f" stored now {sum(use.unreadable for use in missing)} cannot be read. Nothing was changed."
        " Put the key back into APIARY_ENCRYPTION_KEYS, or see: flask apiary keys status"
    )


def rotate(
    ring: KeyRing, origins: Mapping[str, str], *, batch: int = 100, dry_run: bool = False
) -> Iterator[Progress]:
    """Seal everything anew with the first key; tells after each batch how far it is.

    :param origins: the origin of each provider by name.
    :param dry_run: open every row and write none.
    """
    old = ring.kids[1:]
    totals: Counter[str] = Counter()
    for place in _PLACES:
        totals.update(place.counts())
    now = Progress(
        total=sum(totals[kid] for kid in old),
        missing=sum(count for kid, count in totals.items() if kid not in ring),
    )
    yield now
    if not dry_run:
        _leave_canary(ring)
    for place in _PLACES:
        after = 0
        while rows := place.page(old, after, batch):
            for row in rows:
                now = _turn(ring, origins, place, row, now, dry_run)
            after = rows[-1].id
            yield now


def _turn(
    ring: KeyRing,
    origins: Mapping[str, str],
    place: _Place,
    row: Any,
    now: Progress,
    dry_run: bool,
) -> Progress:
    sealed = place.sealed(row)
    try:
        renewed = ring.renew(sealed, *place.context(row, origins))
    except Unreadable:
        return replace(now, damaged=now.damaged + 1)
    if dry_run or place.swap(row, sealed, renewed):
        return replace(now, done=now.done + 1)
    return replace(now, overtaken=now.overtaken + 1)


def needing(ring: KeyRing, kid: str, origins: Mapping[str, str]) -> int:
    """How many rows would be lost without this key. Damaged ones are lost with it, too."""
    needed = 0
    for place in _PLACES:
        after = 0
        while rows := place.page([kid], after, 500):
            for row in rows:
                try:
                    ring.open(place.sealed(row), *place.context(row, origins))
                except Unreadable:
                    needed += kid not in ring
                else:
                    needed += 1
            after = rows[-1].id
    return needed


def forget(kid: str) -> bool:
    """Forget that a key was ever used. False when nothing was known of it."""
    return bool(StoredCanary.delete().where(StoredCanary.kid == kid).execute())


def _leave_canary(ring: KeyRing) -> None:
    if not StoredCanary.select().where(StoredCanary.kid == ring.kids[0]).exists():
        sealed = ring.seal(_CANARY, "canary")
        StoredCanary.insert(
            kid=sealed.kid, iv=sealed.iv, sealed=sealed.box, since=time.time()
        ).on_conflict_ignore().execute()


def _opens(ring: KeyRing, canary: StoredCanary) -> bool:
    sealed = Sealed(canary.kid, bytes(canary.iv), bytes(canary.sealed))
    try:
        return ring.open(sealed, "canary") == _CANARY
    except Unreadable:
        return False
