"""Starting a flow and finishing it. Nothing here knows Flask, nor one server from another."""

import dataclasses
import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Protocol

from ..crypto import Unreadable
from ..db import PASSING, database, reopen
from ..errors import ApiaryError
from ..providers.base import Facts, Provider
from ..secret import Secret
from ..translation import say
from ..vault import Connection, Vault, shorten
from . import flows, pkce
from .flows import Flow

_log = logging.getLogger("apiary")
_CODE = re.compile(r"[\x21-\x7e]{1,512}")
#: Seconds between two tries to keep a key, at most.
_PAUSE = 1.0


class ExchangeRefused(Exception):
    """The server said no: no key was made. Carries a sentence for people."""


class ExchangeLost(Exception):
    """The exchange was begun and its outcome is unknown: a key may exist at the server."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What an exchange brings: the key, and the server's id of the account if it tells one."""

    key: Secret
    account: str | None


class AuthServer(Protocol):
    """The server that asks the user and exchanges the code; one small file for each."""

    #: The name of its provider.
    name: str
    label: str
    #: What it calls itself in ``iss``, where it does (RFC 9207).
    origin: str
    #: True where it leads back to one registered address only. Then it is given the part of the
    #: callback before the last slash as ``redirect_uri`` and the part behind it as ``state``.
    one_callback: bool

    def authorize_url(self, callback: str | None, challenge: str, limit: str = "") -> str:
        """Where the browser goes to ask the user.

        :param callback: where to lead back to; its last part is secret and different each time.
            None makes the server show the code for copying.
        :param challenge: of PKCE, with the method S256.
        :param limit: what the key may spend, in USD, or "".
        """

    def exchange(self, code: str, verifier: str) -> Grant:
        """Exchange the code, once.

        :raises ExchangeRefused: the server said no; no key was made for us.
        :raises ExchangeLost: the outcome is unknown; a key may have been made.
        """


@dataclass(frozen=True, slots=True)
class Started:
    """A flow that has begun. The verifier is for this browser's cookie only."""

    verifier: str
    #: Where the server leads back to, None where it shows the code.
    callback: str | None
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to the callback address, as far as it counts."""

    code: str | None
    error: str | None

    @classmethod
    def read(cls, query: Mapping[str, list[str]], issuer: str) -> "Answer":
        """Read the query of a callback.

        Of duplicates, odd characters, both answers at once or a foreign ``iss`` (RFC 9207)
        nothing is believed; what is left is an error without words.
        """
        codes, errors, issuers = (query.get(name, []) for name in ("code", "error", "iss"))
        if len(codes) > 1 or len(errors) > 1 or (codes and errors) or issuers not in ([], [issuer]):
            return cls(None, "malformed")
        if codes and not _CODE.fullmatch(codes[0]):
            return cls(None, "malformed")
        return cls(codes[0] if codes else None, errors[0] if errors else None)


class Connect:
    """The flows of one app."""

    #: Seconds for which a key just made waits for a database that cannot be used. The window of
    #: the user waits with it; an exchange and this are over before ``flows.EXCHANGE_LIMIT``.
    patience = 15.0

    def __init__(
        self,
        vault: Vault,
        servers: Mapping[str, AuthServer],
        providers: Mapping[str, Provider],
    ) -> None:
        self.servers = servers
        self._vault = vault
        self._providers = providers

    def start(
        self,
        owner: str,
        provider: str,
        *,
        browser: str,
        attempt: str,
        display: str,
        back: str,
        limit: str,
        callback: Callable[[str], str] | None,
    ) -> Started:
        """Begin a flow.

        :param browser: a mark of this browser and this login in it.
        :param callback: makes the callback address for a flow id; None where the server shall
            show the code for copying.
        :param limit: what the key may spend in USD, as :func:`read_limit` returns it.
        :raises AttemptUsed: the attempt has ended already.
        """
        verifier = pkce.new_verifier()
        challenge = pkce.challenge(verifier)
        flow = flows.put(
            owner=owner,
            provider=provider,
            browser=browser,
            challenge=challenge,
            attempt=attempt,
            display=display,
            back=back,
        )
        address = callback(flow) if callback else None
        url = self.servers[provider].authorize_url(address, challenge, limit)
        return Started(verifier, address, url)

    def finish(self, flow: Flow, verifier: str, answer: Answer) -> None:
        """Use the flow up and exchange the code; the flow's row tells how it ended.

        The caller has made sure that this owner's browser began the flow. It is taken before
        anything is dialled, so that a second callback finds it gone.
        """
        if not flows.take(flow):
            return
        server = self.servers[flow.provider]
        if answer.error or not answer.code:
            # OpenRouter is reported to send neither a code nor an error when the user says no.
            declined = answer.error in (None, "access_denied")
            self._end(flow, "denied" if declined else "failed")
            return
        try:
            grant = server.exchange(answer.code, verifier)
        except ExchangeRefused as refused:
            self._end(flow, "failed", refused.args[0] if refused.args else "")
            return
        except ExchangeLost:
            _log.warning("connect: the outcome of an exchange with %s is unknown", server.label)
            self._end(flow, "lost")
            return
        except Exception:
            # What a server of the host's did not foresee may have happened before or after.
            _log.exception("connect: the exchange with %s failed", server.label)
            self._end(flow, "lost")
            return
        try:
            self._keep_in_time(flow, grant)
        except Exception:
            # Whatever hinders us from storing it: the key exists, and only its owner can end it.
            _log.exception("connect: a key from %s could not be stored", server.label)
            self._end(flow, "lost")

    def replace(self, owner: str, attempt: str) -> Connection | None:
        """The owner's yes: the key of the other account takes the old one's place."""
        flow = flows.by_attempt(owner, attempt)
        if flow is None or flow.held is None:
            return None
        provider = self._providers[flow.provider]
        try:
            plain = self._vault.ring.open(flow.held, *_context(flow, provider))
        except Unreadable:
            self._end(flow, "lost")
            return None
        grant = Grant(Secret(plain.decode()), flow.held_account or None)
        return self._store(flow, grant, self._facts(flow, grant))

    def _keep_in_time(self, flow: Flow, grant: Grant) -> None:
        """Keep the key, and try again for a while where the database cannot be used.

        The code is used up and the server is not asked again, so until then the key lies here
        and nowhere else. Each try is whole or nothing, also one that was done and not confirmed.
        """
        end = time.monotonic() + self.patience
        pause = 0.1
        # Asked once, and only where it is needed.
        facts = cache(lambda: self._facts(flow, grant))
        while True:
            try:
                return self._keep(flow, grant, facts)
            except PASSING as error:
                # A host's own transaction has failed as a whole, and is not ours to begin again.
                if time.monotonic() >= end or database.in_transaction():
                    raise
                if pause == 0.1:
                    label = self.servers[flow.provider].label
                    _log.warning("connect: a key from %s cannot be stored yet: %s", label, error)
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE)
            with suppress(*PASSING):
                reopen()

    def _keep(self, flow: Flow, grant: Grant, facts: Callable[[], Facts]) -> None:
        before = self._vault.get(flow.owner, flow.provider)
        if before and before.account and grant.account and before.account != grant.account:
            provider = self._providers[flow.provider]
            sealed = self._vault.ring.seal(grant.key.reveal().encode(), *_context(flow, provider))
            flows.hold(flow.owner, flow.attempt, sealed, grant.account)
            return
        self._store(flow, grant, facts())

    def _store(self, flow: Flow, grant: Grant, facts: Facts) -> Connection | None:
        with database.atomic():
            # Whoever moves the flow out of "exchanging" decides: a flow that was cancelled
            # meanwhile stores nothing. One that only seemed to be lost, to whoever looked after
            # the clock was set, is not: here is its key.
            if not self._end(flow, "connected", was=("exchanging", "lost")):
                return None
            connection = self._vault.put(
                flow.owner, self._providers[flow.provider], grant.key, source="oauth", facts=facts
            )
            flows.supersede(flow.owner, flow.provider, flow.attempt)
        return connection

    def _facts(self, flow: Flow, grant: Grant) -> Facts:
        """What the key can tell about itself. A key just made is kept even if it tells nothing."""
        try:
            facts = self._providers[flow.provider].check(grant.key)
        except ApiaryError:
            facts = Facts()
        return dataclasses.replace(facts, account=grant.account or facts.account)

    def _end(
        self,
        flow: Flow,
        state: str,
        message: str = "",
        was: tuple[str, ...] = ("exchanging",),
    ) -> bool:
        return flows.end(flow.owner, flow.attempt, state, message, was=was)


def other_account(flow: Flow, connection: Connection | None) -> str:
    """The question for the owner of a held key, "" when there is none."""
    if flow.held is None:
        return ""
    before = shorten(connection.account) if connection else say("the one before")
    return say(
        "You approved with another account ({account}) than before ({before})."
        " The old connection is kept until you answer.",
        account=shorten(flow.held_account),
        before=before,
    )


def read_limit(text: str) -> str:
    """A spending cap as typed, as plain USD with at most two decimals; "" for none.

    :raises ValueError: it is not an amount between 0.01 and 1,000,000.
    """
    text = text.strip().removeprefix("$").strip().replace(",", ".")
    if not text:
        return ""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not amount.is_finite() or not Decimal("0.01") <= amount <= 1_000_000:
        raise ValueError(text)
    rounded = amount.quantize(Decimal("0.01"))
    return str(rounded.normalize() if rounded % 1 else rounded.quantize(Decimal(1)))


def _context(flow: Flow, provider: Provider) -> tuple[str, ...]:
    return ("held", flow.owner, flow.provider, provider.origin, flow.attempt)
