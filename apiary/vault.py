"""Where credentials lie encrypted: put, reveal, forget for (owner, provider)."""

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from . import signals
from .crypto import KeyRing, Sealed, Unreadable
from .db import database, sender
from .errors import KeyUnreadable, NotConnected
from .models import StoredConnection as Row
from .models import StoredFlow
from .providers.base import Facts, Provider
from .secret import Secret
from .translation import say


@dataclass(frozen=True, slots=True)
class Connection:
    """What may be known of a connection; never key material.

    ``state`` is ``connected``, ``rejected`` (the provider answered 401), ``unreadable`` (sealed
    with a key that the key ring does not hold) or ``none`` (disconnected; what is left is the
    receipt). ``source`` is ``oauth`` or ``key``. Amounts in ``facts`` are in USD.
    """

    owner: str
    provider: str
    state: str
    source: str
    version: int
    origin: str
    base_url: str
    masked: str
    account: str
    key_sha256: str
    since: datetime
    facts: Facts
    #: When the provider last told the facts, None when it never did.
    checked: datetime | None
    #: Of what is left after a disconnect: the provider had refused the key before.
    refused: bool = False

    @property
    def identity(self) -> str:
        """The best name that the provider really gave; never an invented one.

        An e-mail address or a name, else the shortened account id with the masked key.
        """
        if self.facts.identity:
            return self.facts.identity
        label = self.facts.label or self.masked
        return f"{shorten(self.account)} · {label}" if self.account else label

    @property
    def label(self) -> str:
        return self.facts.label or self.masked


# Between a question and its answer, so they are made once.
_one = database.prepare(
    lambda owner, provider: Row.select().where(Row.owner == owner, Row.provider == provider)
)
_all = database.prepare(
    lambda owner: (
        Row.select().where(Row.owner == owner, Row.state != "none").order_by(Row.since.desc())
    )
)


class Vault:
    """The connections of one app's owners, sealed with one key ring."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    def get(self, owner: str, provider: str) -> Connection | None:
        """The connection, also a rejected or unreadable one; None when there is none."""
        found = self.last(owner, provider)
        return found if found and found.state != "none" else None

    def last(self, owner: str, provider: str) -> Connection | None:
        """As :meth:`get`, but after a disconnect what is left of it, with the state ``none``."""
        row = _one.first(owner=owner, provider=provider)
        return self._seen(row) if row else None

    def all(self, owner: str) -> list[Connection]:
        """The owner's connections, the newest first."""
        return [self._seen(row) for row in _all.rows(owner=owner)]

    def put(
        self,
        owner: str,
        provider: Provider,
        key: Secret,
        *,
        source: str,
        facts: Facts,
        base_url: str = "",
    ) -> Connection:
        """Seal the key and make it the owner's one connection to the provider.

        One statement writes it, so two at once leave one readable row. Sends ``connected``.
        """
        sealed = self.ring.seal(
            key.reveal().encode(), "connection", owner, provider.name, provider.origin
        )
        now = time.time()
        values: dict[str, Any] = {
            "state": "connected",
            "source": source,
            "origin": provider.origin,
            "base_url": base_url,
            "kid": sealed.kid,
            "iv": sealed.iv,
            "sealed": sealed.box,
            "key_sha256": key.sha256 if key else "",
            "masked": key.masked if key else "no key",
            "account": facts.account or "",
            "facts": _dump(facts),
            "checked": now if facts.known else 0,
            "since": now,
            "refused": False,
        }
        insert = Row.insert(owner=owner, provider=provider.name, version=1, **values)
        insert.on_conflict(
            conflict_target=[Row.owner, Row.provider],
            preserve=[getattr(Row, name) for name in values],
            update={Row.version: Row.version + 1},
        ).execute()
        connection = self.get(owner, provider.name)
        if connection is None:
            # Disconnected by the same owner between the two statements: later of the two wins.
            raise NotConnected(say("The connection was deleted meanwhile."), provider=provider.name)
        signals.connected.send(
            sender(),
            owner=owner,
            provider=provider.name,
            version=connection.version,
            source=source,
        )
        return connection

    def reveal(self, owner: str, provider: Provider) -> Secret:
        """The key in clear, for one outbound request.

        :raises NotConnected: there is no connection, or its key is bound to another origin.
        :raises KeyUnreadable: it cannot be decrypted. Nothing was changed.
        """
        return self.use(owner, provider)[0]

    def use(self, owner: str, provider: Provider) -> tuple[Secret, int]:
        """As :meth:`reveal`, with the version of the connection that it belongs to.

        :raises NotConnected: there is no connection, or its key is bound to another origin.
        :raises KeyUnreadable: it cannot be decrypted. Nothing was changed.
        """
        row = _one.first(owner=owner, provider=provider.name)
        if row is None or row.state == "none" or row.origin != provider.origin:
            raise NotConnected(
                say("{label} is not connected. Connect it in the settings.", label=provider.label),
                provider=provider.name,
            )
        return self._open(row, provider), row.version

    def _open(self, row: Row, provider: Provider) -> Secret:
        sealed = Sealed(row.kid or "", bytes(row.iv or b""), bytes(row.sealed or b""))
        try:
            plain = self.ring.open(sealed, "connection", row.owner, row.provider, row.origin)
        except Unreadable:
            raise KeyUnreadable(
                say(
                    "The stored {label} key cannot be read with this site's encryption keys."
                    " Nothing was lost; connect again, or ask the operator.",
                    label=provider.label,
                ),
                provider=provider.name,
            ) from None
        return Secret(plain.decode())

    def forget(self, owner: str, provider: str) -> Connection | None:
        """Delete the key. Returns what is left for the receipt, None when there was nothing.

        Sends ``disconnected``.
        """
        changed = (
            Row.update(
                state="none",
                refused=Row.state == "rejected",
                kid=None,
                iv=None,
                sealed=None,
                facts="{}",
                version=Row.version + 1,
            )
            .where(Row.owner == owner, Row.provider == provider, Row.state != "none")
            .execute()
        )
        left = self.last(owner, provider)
        if not changed or left is None:
            return None
        signals.disconnected.send(sender(), owner=owner, provider=provider, version=left.version)
        return left

    def note(self, owner: str, provider: str, version: int, facts: Facts) -> None:
        """Keep what the provider just told about this very key; takes back a ``rejected``."""
        mine = (Row.owner == owner) & (Row.provider == provider) & (Row.version == version)
        values: dict[str, Any] = {}
        if facts.known:
            values |= {"facts": _dump(facts), "checked": time.time()}
        if facts.account:
            values["account"] = facts.account
        with database.atomic():
            if values:
                Row.update(values).where(mine, Row.state != "none").execute()
            Row.update(state="connected", version=Row.version + 1).where(
                mine, Row.state == "rejected"
            ).execute()

    def reject(self, owner: str, provider: str, version: int) -> None:
        """Mark that the provider answered 401 to this very key. Sends ``rejected``, once."""
        changed = (
            Row.update(state="rejected", version=Row.version + 1)
            .where(
                Row.owner == owner,
                Row.provider == provider,
                Row.version == version,
                Row.state == "connected",
            )
            .execute()
        )
        if changed:
            signals.rejected.send(sender(), owner=owner, provider=provider, version=version + 1)

    def forget_owner(self, owner: str) -> None:
        """Delete every row of an owner whose account ends."""
        with database.atomic():
            Row.delete().where(Row.owner == owner).execute()
            StoredFlow.delete().where(StoredFlow.owner == owner).execute()

    def _seen(self, row: Row) -> Connection:
        readable = row.state == "none" or row.kid in self.ring
        return Connection(
            owner=row.owner,
            provider=row.provider,
            state=row.state if readable else "unreadable",
            source=row.source,
            version=row.version,
            origin=row.origin,
            base_url=row.base_url,
            masked=row.masked,
            account=row.account,
            key_sha256=row.key_sha256,
            since=datetime.fromtimestamp(row.since, UTC),
            facts=_load(row.facts),
            checked=datetime.fromtimestamp(row.checked, UTC) if row.checked else None,
            refused=row.refused,
        )


def shorten(account: str) -> str:
    """An opaque account id, short enough for a line: its beginning and its end."""
    return account if len(account) <= 16 else f"{account[:9]}…{account[-4:]}"


_AMOUNTS = ("usage", "limit", "limit_remaining")


def _dump(facts: Facts) -> str:
    return json.dumps(
        {k: str(v) if isinstance(v, Decimal) else v for k, v in asdict(facts).items()}
    )


def _load(text: str) -> Facts:
    values = json.loads(text)
    for name in _AMOUNTS:
        if values.get(name) is not None:
            values[name] = Decimal(values[name])
    return Facts(**values)
