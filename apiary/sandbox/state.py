"""All that the double remembers, in memory and behind one lock."""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from flask import Request, current_app

from .journal import Journal, digest
from .ledger import ACCOUNTS, PASTE_KEY, Key
from .switches import Switches

# "Single use; expires 10 minutes after issue" (docs, OAuth).
CODE_LIFE = 600
TICKET_LIFE = 1800
KEPT = 5000


@dataclass(frozen=True)
class Ask:
    """A checked request to ``/auth``."""

    callback_url: str | None = None
    challenge: str | None = None
    method: str | None = None
    label: str = ""
    limit: float | None = None
    limit_reset: str | None = None
    expires_at: dt.datetime | None = None
    state: str | None = None
    query: str = ""


@dataclass(frozen=True)
class Grant:
    """What a code stands for."""

    ask: Ask
    user_id: str
    issued: float


class Refusal(Exception):
    """The exchange refuses: a status and OpenRouter's own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Sandbox:
    """Switches, journal, codes and keys of one app."""

    def __init__(self, switches: Switches, clock: Callable[[], float]) -> None:
        self.switches = switches
        self.clock = clock
        self.journal = Journal()
        self._lock = threading.RLock()
        self._tickets: dict[str, tuple[float, Ask]] = {}
        self._sessions: set[str] = set()
        self._grants: dict[str, Grant] = {}
        self._keys: dict[str, Key] = {}
        self.reset()

    def reset(self) -> None:
        """Forget codes, keys and journal; the key for pasting lives again."""
        with self._lock:
            self._tickets.clear()
            self._sessions.clear()
            self._grants.clear()
            self._keys.clear()
            self._remember(PASTE_KEY, ACCOUNTS[0].id, name="For pasting by hand")
        self.journal.clear()

    def now(self) -> dt.datetime:
        """Return the clock's time in UTC."""
        return dt.datetime.fromtimestamp(self.clock(), dt.UTC)

    # Consent page

    def ticket(self, ask: Ask) -> str:
        """Keep an ask for the form of a page; the ticket works once."""
        with self._lock:
            ticket = secrets.token_urlsafe(24)
            self._tickets[ticket] = (self.clock(), ask)
            _trim(self._tickets)
        return ticket

    def take_ticket(self, ticket: str) -> Ask | None:
        """Return the ask of a ticket and use it up."""
        with self._lock:
            issued, ask = self._tickets.pop(ticket, (0.0, None))
        return ask if self.clock() - issued < TICKET_LIFE else None

    def sign_in(self) -> str:
        """Open a pretend session."""
        with self._lock:
            session = secrets.token_urlsafe(24)
            self._sessions.add(session)
        return session

    def signed_in(self, session: str | None) -> bool:
        """Tell whether this browser has gone through the sign-in page."""
        with self._lock:
            return session in self._sessions

    # Codes and keys

    def issue(self, ask: Ask, user_id: str = ACCOUNTS[0].id) -> str:
        """Make a code of the form that OpenRouter's own CLI accepts."""
        with self._lock:
            code = secrets.token_urlsafe(32)
            self._grants[code] = Grant(ask, user_id, self.clock())
            _trim(self._grants)
        return code

    def redeem(self, code: str, fits: Callable[[Ask], None]) -> tuple[str, str]:
        """Turn a code into a new key and its owner's id.

        ``fits`` raises a Refusal when method or verifier do not belong to the code. A wrong
        method is only a malformed request and leaves the code alive. A wrong verifier burns
        it: what OpenRouter does is not verified, and burning is what apps must survive.
        """
        with self._lock:
            grant = self._grants.get(code)
            if grant is None:
                raise Refusal(403, "Invalid code or code_verifier")
            if self.clock() - grant.issued >= CODE_LIFE:
                raise Refusal(403, "Authorization code expired")
            try:
                fits(grant.ask)
            except Refusal as refusal:
                if refusal.status == 403:
                    del self._grants[code]
                raise
            del self._grants[code]
            ask = grant.ask
            key = self.mint(
                grant.user_id,
                name=ask.label,
                app=ask.callback_url or "",
                limit=ask.limit,
                limit_reset=ask.limit_reset,
                expires_at=ask.expires_at,
            )
        return key, grant.user_id

    def mint(self, user_id: str = ACCOUNTS[0].id, **details: object) -> str:
        """Make a key; every call makes another one. Details are fields of ``Key``."""
        key = "sk-or-v1-" + secrets.token_hex(32)
        with self._lock:
            self._remember(key, user_id, **details)
            _trim(self._keys)
        return key

    def key(self, key: str) -> Key | None:
        """Return the record of a key that still works."""
        found = self.by_hash(digest(key))
        return found if found and found.alive(self.now()) else None

    def by_hash(self, key_hash: str) -> Key | None:
        """Return the record of any key that was ever made and not forgotten."""
        with self._lock:
            return self._keys.get(key_hash)

    def keys(self) -> list[Key]:
        """Return the records of all keys, oldest first."""
        with self._lock:
            return list(self._keys.values())

    def revoke(self, key_or_hash: str) -> bool:
        """End a key, as its owner can on OpenRouter's page. False when there is none."""
        with self._lock:
            found = self._keys.get(key_or_hash) or self._keys.get(digest(key_or_hash))
            if found is not None:
                found.revoked = True
        return found is not None

    def charge(self, key: Key, cost: float, *, free: bool) -> None:
        """Charge a request to a key."""
        with self._lock:
            key.charge(self.now(), cost, free=free)

    def _remember(self, key: str, user_id: str, **details: object) -> None:
        record = Key.of(key, user_id, created=self.clock(), **details)
        self._keys[record.hash] = record


def current() -> Sandbox:
    """Return the sandbox of the running app."""
    return cast(Sandbox, current_app.extensions["sandbox"])


def bearer(request: Request) -> str:
    """Return the key of the Authorization header, or an empty string."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _trim(table: dict[str, Any]) -> None:
    while len(table) > KEPT:
        del table[next(iter(table))]
