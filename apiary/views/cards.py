"""What a card shows: one provider and the owner's connection to it, as plain values."""

import time
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from ..oauth import flows
from ..oauth.connect import other_account
from ..oauth.flows import Flow
from ..providers.base import Facts, Provider
from ..state import current
from ..translation import language, say, spoken
from ..vault import Connection

#: How long the outcome of a flow is told again on a page that is loaded anew, in seconds.
_TOLD = {"cancelled": 20, "denied": 60, "expired": 300, "failed": 900, "lost": 3600}
#: Ends that nobody chose.
_FAILED = ("expired", "failed", "lost")

#: Where owners may not give an address of their own.
MEMBERS_ONLY = say("Guests cannot add endpoints. Sign up first.")
#: Which addresses they may give, by ``APIARY_CUSTOM_ENDPOINTS``.
_ADDRESSES = {
    "public": say("This site calls it, not your browser: it needs a public address with https."),
    "lan": say(
        "This site calls it, not your browser: at a public address with https, or one in its local"
        " network."
    ),
}

#: How often a limit begins anew, in the words that OpenRouter uses.
_RESETS = {"daily": say("daily"), "weekly": say("weekly"), "monthly": say("monthly")}


@dataclass(frozen=True, slots=True)
class Card:
    """One card. ``can_connect`` is true where Connect takes the place of the key field."""

    provider: Provider
    connection: Connection | None
    can_connect: bool
    #: One sentence about what happened last, "" when there is nothing to say.
    notice: str = ""
    #: Whether that sentence says that something did not work.
    failed: bool = False
    #: Where the notice's own link leads, "" without one.
    notice_url: str = ""
    #: The flow whose key of another account waits for an answer.
    question: Flow | None = None
    #: Why this owner can connect nothing here, "" where they can.
    closed: str = ""

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def state(self) -> str:
        return self.connection.state if self.connection else "none"

    @property
    def source(self) -> str:
        return self.connection.source if self.connection and self.state != "none" else ""

    @property
    def version(self) -> int:
        return self.connection.version if self.connection else 0

    @property
    def status(self) -> str:
        """The one line that says how things are."""
        connection = self.connection
        match self.state:
            case "connected" if connection:
                if connection.base_url:
                    return say("Connected to {place}", place=connection.origin)
                if not connection.key_sha256:
                    return say("Connected to {place}", place=self.provider.label)
                return say("Connected as {name}", name=connection.identity)
            case "rejected":
                return say("{label} no longer accepts this key.", label=self.provider.label)
            case "unreadable":
                return say(
                    "The stored key cannot be read with this site's encryption keys."
                    " Connect again or delete it."
                )
        return say("Not connected.")

    @property
    def key_page(self) -> str:
        """Where the key's owner can see and delete it at the provider."""
        connection = self.connection
        if connection is None or not connection.key_sha256:
            return ""
        return self.provider.key_page(connection.key_sha256) or self.provider.keys_url

    @property
    def receipt(self) -> str:
        """After a disconnect: what is left at the provider."""
        if self.connection is None or self.connection.refused or not self.key_page:
            return ""
        return say(
            "Our copy is deleted and nothing else; conversations stay. The key itself still exists;"
            " whether it is revoked cannot be checked from here any more."
        )

    @property
    def how(self) -> str:
        if self.source == "key" and self.connection and not self.connection.key_sha256:
            return say("without a key")
        return {"oauth": say("by Connect"), "key": say("pasted key")}.get(self.source, "")

    @property
    def label(self) -> str:
        """What the key is called."""
        connection = self.connection
        if connection is None or self.state == "none":
            return ""
        return connection.label if connection.key_sha256 else say("no key")

    @property
    def addresses(self) -> str:
        """Which addresses an owner may give, "" where there is nothing to say."""
        return _ADDRESSES.get(current().settings.custom_endpoints, "")

    @property
    def usage(self) -> str:
        """What the key has used."""
        facts = self._facts
        return language().money(facts.usage if facts else None)

    @property
    def limit(self) -> str:
        """The key's limit and what is left of it, "" while nothing is known."""
        facts = self._facts
        if facts is None or not facts.known:
            return ""
        if facts.limit is None:
            return say("none on this key")
        money = language().money
        limit, left = money(facts.limit), money(facts.limit_remaining)
        if not facts.limit_reset:
            return say("{limit}, {left} left", limit=limit, left=left)
        reset = _RESETS.get(facts.limit_reset, facts.limit_reset)
        return say("{limit} {reset}, {left} left", limit=limit, reset=reset, left=left)

    @property
    def plan(self) -> str:
        facts = self._facts
        if facts is None or not facts.known or facts.free_tier is None:
            return say("unknown")
        return say("free tier") if facts.free_tier else say("paid")

    @property
    def _facts(self) -> Facts | None:
        return self.connection.facts if self.connection and self.state != "none" else None

    @property
    def share(self) -> int | None:
        """How much of the key's limit is used, in percent; None without a limit."""
        facts = self.connection.facts if self.connection else None
        if not facts or not facts.limit or facts.limit_remaining is None:
            return None
        used = (facts.limit - facts.limit_remaining) / facts.limit
        return max(0, min(100, round(used * 100)))

    @property
    def question_text(self) -> str:
        return other_account(self.question, self.connection) if self.question else ""

    def json(self) -> dict[str, Any]:
        """The card for scripts. There is no key material in it."""
        connection = self.connection if self.state != "none" else None
        facts = connection.facts if connection else None
        return {
            "provider": self.name,
            "state": self.state,
            "version": self.version,
            "source": self.source or None,
            "identity": connection.identity if connection else None,
            "label": self.label or None,
            "base_url": connection.base_url or None if connection else None,
            "since": _iso(connection.since) if connection else None,
            "usage": _number(facts.usage) if facts else None,
            "limit": _number(facts.limit) if facts else None,
            "limit_remaining": _number(facts.limit_remaining) if facts else None,
            "limit_reset": facts.limit_reset if facts else None,
            "free_tier": facts.free_tier if facts else None,
            "known": facts.known if facts else False,
            "verified": facts.verified if facts else None,
            "checked": _iso(connection.checked) if connection and connection.checked else None,
            "how": self.how,
            "facts": spoken({"usage": self.usage, "limit": self.limit, "plan": self.plan}),
            "share": self.share,
            "status": self.status,
            "notice": self.notice,
            "failed": self.failed,
            "notice_url": self.notice_url,
            "receipt": self.receipt,
            "key_page": self.key_page,
            "question": self.question_text,
            "question_attempt": self.question.attempt if self.question else None,
        }


def card(
    owner: str,
    provider: Provider,
    browser: str | None = None,
    notice: str = "",
    failed: bool = False,
) -> Card:
    """The card of a provider for an owner.

    :param browser: its mark, to tell the outcome of a flow that it began.
    :param failed: whether ``notice`` says that something did not work.
    """
    state = current()
    connection = state.vault.last(owner, provider.name)
    can_connect = provider.name in state.connect.servers
    question = flows.held(owner, provider.name) if can_connect else None
    url = ""
    if not notice and can_connect and browser:
        flow = flows.latest(owner, browser, provider.name)
        notice = _outcome(flow, connection)
        failed = bool(notice and flow and flow.state in _FAILED)
        # The key that may exist can be deleted by its owner only, and only there.
        url = provider.keys_url if notice and flow and flow.state == "lost" else ""
    may = not provider.takes_address or state.may_add_endpoint(owner)
    closed = "" if may else MEMBERS_ONLY
    return Card(provider, connection, can_connect, notice, failed, url, question, closed)


def cards(owner: str, browser: str | None = None) -> list[Card]:
    """The cards of all providers."""
    return [card(owner, provider, browser) for provider in current().providers.values()]


def _outcome(flow: Flow | None, connection: Connection | None) -> str:
    """What is worth telling again about the last flow: only what failed, and not for ever."""
    if flow is None or time.time() - flow.ended > _TOLD.get(flow.state, 0):
        return ""
    if connection and connection.state == "connected" and connection.since.timestamp() > flow.ended:
        return ""
    return flow.message


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
