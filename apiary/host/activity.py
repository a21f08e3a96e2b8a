"""What happened with an account, kept for its owner to see: sign-ins, connections, exports."""

import ipaddress
import logging
import time
from datetime import UTC, datetime
from typing import Any

import peewee
from flask import Flask, has_request_context, request

from apiary import connected, database, disconnected, rejected

from .language import gettext, lazy_gettext
from .state import here
from .tables import Account, Table, clean

_log = logging.getLogger(__name__)

KEPT = 90 * 24 * 3600.0
SHOWN = 50
#: The same from the same network within this many seconds is one row that counts.
_AGAIN = 3600.0
_LONGEST = 255
_HERE = "this machine"

SENTENCES = {
    "sign-in": lazy_gettext("Signed in"),
    "sign-in-failed": lazy_gettext("Somebody tried to sign in with a wrong password"),
    "sign-up": lazy_gettext("Signed up"),
    "sign-out-everywhere": lazy_gettext("Signed out everywhere"),
    "password": lazy_gettext("Password changed"),
    "password-failed": lazy_gettext("Somebody gave a wrong current password"),
    "connected": lazy_gettext("Connected"),
    "disconnected": lazy_gettext("Disconnected"),
    "rejected": lazy_gettext("The provider no longer accepts the key"),
    "export": lazy_gettext("Data exported"),
}


class Activity(Table):
    """``network`` is coarse on purpose, "" where no request did it; ``times`` counts repeats."""

    owner = peewee.ForeignKeyField(Account, on_delete="CASCADE", index=False)
    at = peewee.DoubleField(default=time.time)
    kind = peewee.CharField(max_length=32)
    detail = peewee.CharField(max_length=255, default="")
    network = peewee.CharField(max_length=64, default="")
    times = peewee.IntegerField(default=1)


def note(owner: str, kind: str, detail: str = "") -> None:
    """Write down what happened. Of an owner who has no account (any more) nothing is kept.

    The work is the same for an owner who does not exist, and a failure breaks nothing.
    """
    now = time.time()
    detail, network = clean(detail)[:_LONGEST], _network()
    same = (
        (Activity.owner == owner)
        & (Activity.kind == kind)
        & (Activity.detail == detail)
        & (Activity.network == network)
        & (Activity.at > now - _AGAIN)
    )
    try:
        # A transaction of its own or a savepoint: signals are sent in the middle of things.
        with database.atomic():
            Activity.delete().where(Activity.at < now - KEPT).execute()
            if not Activity.update(at=now, times=Activity.times + 1).where(same).execute():
                values = (now, kind, detail, network, 1)
                row = Account.select(Account.id, *(peewee.Value(v) for v in values))
                fields = [Activity.owner, Activity.at, Activity.kind, Activity.detail]
                fields += [Activity.network, Activity.times]
                Activity.insert_from(row.where(Account.id == owner), fields).execute()
    except peewee.PeeweeException:
        _log.warning("What happened could not be written down: %s", kind, exc_info=True)


def shown(owner: str) -> list[dict[str, Any]]:
    """The last entries, the newest first, in words."""
    rows = Activity.select().where(Activity.owner == owner, Activity.at > time.time() - KEPT)
    return [_told(row) for row in rows.order_by(Activity.at.desc()).limit(SHOWN)]


def everything(owner: str) -> list[dict[str, Any]]:
    """All entries, for an export."""
    rows = Activity.select().where(Activity.owner == owner).order_by(Activity.at)
    return [_told(row) for row in rows]


def _told(row: Activity) -> dict[str, Any]:
    at = datetime.fromtimestamp(row.at, UTC)
    return {
        "at": at.isoformat(timespec="seconds"),
        "kind": row.kind,
        "what": str(SENTENCES.get(row.kind, row.kind)),
        "detail": _detail(row.detail),
        "network": gettext("this machine") if row.network == _HERE else row.network,
        "times": row.times,
    }


def _detail(kept: str) -> str:
    """What is kept is English; it is said in the language of who looks."""
    what, comma, how = kept.rpartition(", by ")
    if comma and how == "Connect":
        return gettext("%(provider)s, by Connect", provider=what)
    if comma and how == "a pasted key":
        return gettext("%(provider)s, by a pasted key", provider=what)
    return kept


def _network() -> str:
    """Where a request came from, as coarse as helps to tell home from elsewhere: /24 or /48."""
    if not has_request_context():
        return ""
    try:
        ip = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return _HERE
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def _heard(sender: Flask, kind: str, owner: str, provider: str, how: str = "") -> None:
    # One process may hold other apps too that Apiary is mounted in.
    if "apiary.host" in sender.extensions:
        labels = {p.name: p.label for p in here().apiary.providers()}
        note(owner, kind, f"{labels.get(provider, provider)}{how}")


@connected.connect
def _connected(sender: Flask, owner: str, provider: str, source: str, **_: Any) -> None:
    how = ", by Connect" if source == "oauth" else ", by a pasted key"
    _heard(sender, "connected", owner, provider, how)


@disconnected.connect
def _disconnected(sender: Flask, owner: str, provider: str, **_: Any) -> None:
    _heard(sender, "disconnected", owner, provider)


@rejected.connect
def _rejected(sender: Flask, owner: str, provider: str, **_: Any) -> None:
    _heard(sender, "rejected", owner, provider)
