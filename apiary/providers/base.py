"""What a provider is, and the plain values that go in and out of one."""

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from ..secret import Secret


@dataclass(frozen=True, slots=True)
class Model:
    """One model that can be asked.

    Prices are in USD for a million tokens, None where the provider does not tell them.
    ``context`` is in tokens, ``created`` in Unix seconds.
    """

    id: str
    name: str
    context: int | None = None
    prompt_price: Decimal | None = None
    completion_price: Decimal | None = None
    #: The price depends on where a router sends the request; it must not be multiplied.
    varies: bool = False
    inputs: tuple[str, ...] = ("text",)
    created: int | None = None

    @property
    def free(self) -> bool:
        return self.prompt_price == 0 and self.completion_price == 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a provider tells about a key. Everything may be unknown; nothing is invented.

    Amounts are in USD. ``limit`` None with ``known`` true means that the key has no limit of
    its own. ``verified`` is false where an answer does not prove that the key is good.
    """

    verified: bool = True
    known: bool = False
    #: An e-mail address or a name, only if the response really carried one.
    identity: str | None = None
    #: The provider's own id of the account.
    account: str | None = None
    #: The provider's own masked form of the key.
    label: str | None = None
    usage: Decimal | None = None
    limit: Decimal | None = None
    limit_remaining: Decimal | None = None
    limit_reset: str | None = None
    free_tier: bool | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The next piece of what the model thinks aloud; not part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, and the cost in USD where the provider tells it."""

    prompt_tokens: int
    completion_tokens: int
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The last event of a complete answer.

    ``finish_reason`` is ``stop``, ``length``, ``tool_calls``, ``content_filter`` or another
    word of the provider's.
    """

    finish_reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing has come yet. Only where ``pausing`` of a running answer was called."""


Event = Delta | Reasoning | Usage | Done | Pause


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A question with all that went before.

    ``messages`` are ``{"role": "system"|"user"|"assistant", "content": str}``; the content of a
    user's message may also be a list of parts as OpenAI's wire form has them.
    ``user`` is a stable pseudonym of the person, never a name.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    max_tokens: int | None = None
    user: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Stream(Protocol):
    """The events of an answer as they come.

    Iterating raises an :class:`~apiary.errors.ApiaryError` when the answer breaks off.
    """

    def __iter__(self) -> Iterator[Event]: ...

    def close(self) -> None:
        """End the answer and cut the connection to the provider. Any thread may call it."""


class Provider(abc.ABC):
    """A company or server that answers chat requests.

    One small file, one class, one contract test. A provider keeps no key: it is handed one
    for each call, puts it into that request's header and forgets it.
    """

    #: Lower-case word that stands in addresses and in the database.
    name: str
    #: The same for people.
    label: str
    #: scheme://host[:port] that keys of this provider are bound to and sent to.
    origin: str
    #: How its keys begin; a hint for keys pasted into the wrong field, never a gate.
    key_prefixes: tuple[str, ...] = ()
    #: False where a server may be asked without a key.
    needs_key: bool = True
    #: True where the list of models does not depend on the key.
    one_list: bool = False
    #: True for an endpoint whose address its owner gives; see :meth:`at`.
    takes_address: bool = False
    #: Where people make and delete keys, "" where there is no such page.
    keys_url: str = ""
    #: Where people buy credits, "" where there is no such page.
    credits_url: str = ""

    @abc.abstractmethod
    def check(self, key: Secret) -> Facts:
        """Ask the provider about a key.

        :raises KeyRejected: the provider says that the key is not good.
        :raises ProviderDown: no usable answer came; nothing is known about the key.
        :raises ApiaryError: another error of the tree, such as RateLimited.
        """

    @abc.abstractmethod
    def models(self, key: Secret | None) -> list[Model]:
        """The models that can be asked, in the provider's own order.

        :raises ApiaryError: as for :meth:`check`.
        """

    @abc.abstractmethod
    def stream(self, key: Secret, request: ChatRequest) -> Stream:
        """Send the question. Returns once the provider has begun to answer.

        :raises ApiaryError: the provider refused before it began.
        """

    def at(self, base_url: str) -> "Provider":
        """The provider at an owner's own address; itself where it has one of its own."""
        return self

    def key_page(self, key_sha256: str) -> str:
        """The address where the owner of that very key can see and delete it, or ""."""
        return ""
