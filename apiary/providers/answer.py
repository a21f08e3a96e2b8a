"""A running answer: events of a provider's wire form, turned into ours one by one."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import ProviderDown
from ..replies import Events, Unusable
from ..translation import say
from . import refusals
from .base import Delta, Done, Event, Reasoning

try:
    # Where it is installed: a fifth of what a token costs is its JSON.
    import orjson

    _quick: Callable[[str], Any] = orjson.loads
except ImportError:
    _quick = json.loads

_TEXT = (Delta, Reasoning)
#: Characters of text that one answer may have.
_LONGEST = 2 * 1024 * 1024


class Answer:
    """Our events of one answer. It can be iterated once.

    Close it, or iterate to its end: it holds a connection until then.

    :param events: the running answer.
    :param read: turns the wire's events into ours; it raises an ApiaryError where the provider
        says that something went wrong, and gives ``Done`` last if and only if the answer is
        whole.
    :param provider: the name that errors carry.
    """

    def __init__(
        self, events: Events, read: Callable[[Events], Iterator[Event]], provider: str
    ) -> None:
        self._events = events
        self._read = read
        self._provider = provider
        self._used = False
        self._closed = False

    def __iter__(self) -> Iterator[Event]:
        if self._used:
            raise RuntimeError("an answer can be iterated once")
        self._used = True
        return self._run()

    def _run(self) -> Iterator[Event]:
        left = _LONGEST
        whole = False
        try:
            for event in self._read(self._events):
                if isinstance(event, _TEXT):
                    left -= len(event.text)
                    if left < 0:
                        break
                whole = isinstance(event, Done)
                yield event
            if whole:
                self._events.finish()
        except Unusable:
            pass
        finally:
            self._events.close()
        if left < 0:
            raise ProviderDown(
                say("The answer is longer than Apiary takes. What came is kept."),
                provider=self._provider,
            )
        if not whole and not self._closed:
            raise refusals.broken(self._provider)

    def pausing(self, on: bool) -> socket.socket | None:
        """Give ``Pause`` where nothing has come yet, instead of waiting.

        While it is on, the socket is never closed: turn it off at the end, whatever the end.

        :return: the socket to wait for before going on; None when this answer can only wait.
        """
        return self._events.pausing(on)

    def close(self) -> None:
        """End the answer; iterating it then ends without an error. Any thread may call it."""
        self._closed = True
        self._events.close()


def load(data: str) -> dict[str, Any] | None:
    """The JSON object of one event, None where it is none."""
    try:
        found = _quick(data)
    except (ValueError, RecursionError):
        # It is stricter: half of a surrogate pair, for one, is no reason to lose an answer.
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None
