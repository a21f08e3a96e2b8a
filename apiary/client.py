"""What a host calls: the models of an owner's provider, and its answers."""

import logging
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .db import ERRORS, answering, connected, sender
from .errors import ApiaryError, KeyRejected, NotConnected
from .providers.base import ChatRequest, Done, Event, Model, Provider, Reasoning, Stream, Usage
from .providers.base import Delta as Delta
from .secret import Secret
from .translation import say
from .vault import Vault

_log = logging.getLogger("apiary")
#: A list of models younger than this, in seconds, is not asked for again.
_FRESH = 600.0
#: After a failed refresh the old list serves for this long before the next try.
_RETRY = 30.0
#: So many seconds at most one who has no list waits while another asks for it.
_PATIENCE = 10.0
#: Lists that are kept, and models in all of them: those that were asked for last. A list of an
#: endpoint that somebody added may be long without end; a thousand models take a megabyte.
_LISTS, _MODELS = 500, 100_000

Messages = Sequence[Mapping[str, Any]]
#: Called with the owner, the provider's name and the messages; gives other messages, or None.
BeforeSend = Callable[[str | None, str, Messages], Messages | None]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A provider's models and how old the list is.

    ``fetched_at`` is in Unix seconds, 0 when it never came. ``problem`` is a sentence when the
    last refresh failed; the list is then the one from before.
    """

    models: list[Model]
    fetched_at: float
    problem: str | None = None

    @property
    def stale(self) -> bool:
        return self.problem is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    text: str
    reasoning: str
    finish_reason: str
    usage: Usage | None


class _List:
    """A list of models as it is kept, for one state of a connection."""

    def __init__(self, version: int | None) -> None:
        self.version = version
        self.catalogue = Catalogue([], 0)
        #: When to ask again, by the monotonic clock.
        self.next_try = 0.0
        #: Held by who asks.
        self.asking = threading.Lock()


class Client:
    """Asks providers with their owners' keys."""

    def __init__(
        self,
        vault: Vault,
        providers: Mapping[str, Provider],
        before_send: BeforeSend | None = None,
    ) -> None:
        self._vault = vault
        self._providers = providers
        self._before_send = before_send
        #: By owner, provider and the hash of a key that the host gave.
        self._lists: OrderedDict[tuple[str | None, str, str], _List] = OrderedDict()
        self._lock = threading.Lock()

    def provider(self, name: str) -> Provider:
        """The provider of that name.

        :raises NotConnected: there is none.
        """
        try:
            return self._providers[name]
        except KeyError:
            raise NotConnected(
                say("There is no provider named {name}.", name=repr(name)), provider=name
            ) from None

    def bound(self, owner: str | None, name: str) -> Provider:
        """The provider, at the address that the owner gave where it takes one.

        :raises NotConnected: there is no such provider.
        """
        provider = self.provider(name)
        if not provider.takes_address or owner is None:
            return provider
        with answering():
            connection = self._vault.get(owner, name)
        return provider.at(connection.base_url) if connection else provider

    def catalogue(
        self, owner: str | None, name: str, *, api_key: str | Secret | None = None
    ) -> Catalogue:
        """The models, from a list of at most ten minutes ago; an older one if a refresh fails.

        :raises NotConnected: the owner has no connection, KeyUnreadable: it cannot be read.
        """
        provider = self.bound(owner, name)
        key, version = self._key(owner, provider, api_key)
        kept = self._list(owner, provider, key, version)
        if time.monotonic() < kept.next_try:
            return kept.catalogue
        # While one asks, others are served the old list; where there is none they wait for it.
        if not kept.asking.acquire(timeout=0 if kept.catalogue.models else _PATIENCE):
            return kept.catalogue
        try:
            if time.monotonic() >= kept.next_try:
                self._refresh(kept, owner, provider, key, version)
            return kept.catalogue
        finally:
            kept.asking.release()

    def _list(
        self, owner: str | None, provider: Provider, key: Secret, version: int | None
    ) -> _List:
        """The list that is kept: another key or address may be offered other models."""
        slot = (owner, provider.name, "" if version is not None else key.sha256)
        if provider.one_list:
            slot, version = (None, provider.name, ""), None
        with self._lock:
            kept = self._lists.get(slot)
            if kept is None or kept.version != version:
                kept = self._lists[slot] = _List(version)
            self._lists.move_to_end(slot)
            while len(self._lists) > _LISTS:
                self._lists.popitem(last=False)
        return kept

    def _shrink(self) -> None:
        with self._lock:
            many = sum(len(kept.catalogue.models) for kept in self._lists.values())
            while many > _MODELS and len(self._lists) > 1:
                _, oldest = self._lists.popitem(last=False)
                many -= len(oldest.catalogue.models)

    def _refresh(
        self,
        kept: _List,
        owner: str | None,
        provider: Provider,
        key: Secret,
        version: int | None,
    ) -> None:
        try:
            kept.catalogue = Catalogue(provider.models(key), time.time())
            kept.next_try = time.monotonic() + _FRESH
            self._shrink()
        except ApiaryError as error:
            if isinstance(error, KeyRejected):
                self._reject(owner, provider.name, version)
            kept.catalogue = replace(kept.catalogue, problem=error.message)
            kept.next_try = time.monotonic() + (_RETRY if kept.catalogue.models else 2.0)

    def stream(
        self,
        owner: str | None,
        name: str,
        request: ChatRequest,
        api_key: str | Secret | None = None,
    ) -> Stream:
        """Ask, and return the events of the answer as they come.

        :param api_key: a key of the host's own; else the owner's connection pays.
        :raises ApiaryError: before the answer begins, or while it is iterated.
        """
        provider = self.bound(owner, name)
        key, version = self._key(owner, provider, api_key)
        if self._before_send is not None:
            changed = self._before_send(owner, name, request.messages)
            request = request if changed is None else replace(request, messages=changed)
        try:
            stream = provider.stream(key, request)
        except KeyRejected as error:
            self._reject(owner, name, version)
            raise _refused(provider, error, version) from None
        app = sender()

        def reject() -> None:
            with app.app_context():
                self._reject(owner, name, version)

        return _Watched(stream, lambda error: _refused(provider, error, version), reject)

    def complete(
        self,
        owner: str | None,
        name: str,
        request: ChatRequest,
        api_key: str | Secret | None = None,
    ) -> Answer:
        """As :meth:`stream`, but waits for the whole answer."""
        text: list[str] = []
        reasoning: list[str] = []
        usage, finish = None, "stop"
        stream = self.stream(owner, name, request, api_key)
        try:
            for event in stream:
                match event:
                    case Delta(piece):
                        text.append(piece)
                    case Reasoning(piece):
                        reasoning.append(piece)
                    case Usage():
                        usage = event
                    case Done(reason):
                        finish = reason
        finally:
            stream.close()
        return Answer("".join(text), "".join(reasoning), finish, usage)

    def _key(
        self, owner: str | None, provider: Provider, api_key: str | Secret | None
    ) -> tuple[Secret, int | None]:
        """The key, and the version of the connection where it is a stored one."""
        if api_key is not None:
            return (api_key if isinstance(api_key, Secret) else Secret(api_key)), None
        if owner is None:
            raise NotConnected(
                say("{label} is not connected.", label=provider.label), provider=provider.name
            )
        with answering():
            return self._vault.use(owner, provider)

    def _reject(self, owner: str | None, name: str, version: int | None) -> None:
        if owner is None or version is None:
            return
        try:
            with connected():
                self._vault.reject(owner, name, version)
        except ERRORS:
            # That the key was refused is what counts; who asks next finds it out again.
            _log.warning("A refused key could not be marked", exc_info=True)


def _refused(provider: Provider, error: KeyRejected, version: int | None) -> KeyRejected:
    """What to say when a key is refused that was once accepted and stored."""
    if version is None:
        return error
    return KeyRejected(
        say(
            "{label} no longer accepts this key. Connect it again; your message is kept.",
            label=provider.label,
        ),
        provider=provider.name,
    )


class _Watched:
    """A stream that tells when the provider no longer accepts the key.

    Who pauses must not wait, for the database neither: then the connection is marked at the
    close.
    """

    def __init__(
        self,
        stream: Stream,
        refused: Callable[[KeyRejected], KeyRejected],
        reject: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._refused = refused
        self._reject = reject
        self._pausing = self._owed = False

    def __iter__(self) -> Iterator[Event]:
        try:
            yield from self._stream
        except KeyRejected as error:
            if self._pausing:
                self._owed = True
            else:
                self._reject()
            raise self._refused(error) from None

    def pausing(self, on: bool) -> socket.socket | None:
        """As for a provider's own answer, which may do without."""
        ask: Callable[[bool], socket.socket | None] | None = getattr(self._stream, "pausing", None)
        sock = ask(on) if ask else None
        self._pausing = sock is not None and on
        return sock

    def close(self) -> None:
        self._stream.close()
        if self._owed:
            self._owed = False
            self._reject()
