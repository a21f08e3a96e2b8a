"""What a server answered: as a whole, as events that come one by one, or not usably."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from . import sse
from .errors import ProviderDown
from .translation import say
from .usual import Usual

#: unreachable: nothing was sent. timeout, broken: something was, and no whole answer came.
#: answer: one came that cannot be used.
Reason = Literal["unreachable", "timeout", "broken", "answer"]

_SENTENCES: dict[Reason, str] = {
    "unreachable": say("The server could not be reached."),
    "timeout": say("The server took too long to answer."),
    "broken": say("The connection to the server broke off."),
    "answer": say("The server's answer cannot be used."),
}
_NESTING = 64
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.S)


class Unusable(ProviderDown):
    """No usable answer came. ``sent`` is false where the request surely did not go out."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(_SENTENCES[reason])
        self.reason: Reason = reason

    @property
    def sent(self) -> bool:
        return self.reason != "unreachable"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Names of headers are in small letters.

    ``data`` is what the JSON body says, None where the body is not JSON.
    """

    status: int
    headers: Mapping[str, str]
    data: Any


class Source(Protocol):
    """Where the bytes of an answer come from."""

    #: While pausing: nothing is left to be read before the socket has more.
    dry: bool

    def read(self) -> bytes | None:
        """The next bytes, None at the end.

        :raises Unusable: cut or too slow.
        """

    def pausing(self, on: bool) -> socket.socket | None:
        """Let :meth:`read` give ``b""`` where it would have to wait for the socket; None when
        that cannot be."""

    def hurry(self, seconds: float) -> None:
        """Wait no longer than this for all that is still to come."""

    def cut(self) -> None:
        """Make a read that blocks in another thread return at once."""

    def release(self) -> None:
        """Give back what the answer holds. Never called while a read is running."""


#: Stands among the events for "nothing has come yet", where that was asked for.
PAUSE = ("pause", "")


class Said:
    """Stands among the events for those that say nothing but a piece of text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Events:
    """An answer that may be a stream of events.

    ``reply`` is the whole answer where it is not one (an error, or one document in spite of
    what was asked for), else None. Iterating gives (event, data) as they come, and :class:`Said`
    for what has a form that was learned; it ends quietly after :meth:`close` and raises
    :class:`Unusable` when the answer is cut, too slow or too long.

    :param cap: bytes that the whole answer may have on the wire.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        source: Source | None,
        *,
        cap: int = 64 * 1024 * 1024,
        reply: Reply | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.reply = reply
        self._source = source
        self._left = cap
        self._parser = sse.Parser()
        self._usual: Usual | None = None
        self._lock = threading.Lock()
        self._busy = False
        self._pausing = self._released = False
        self._closed = source is None

    def __iter__(self) -> Iterator[tuple[str, str] | Said]:
        source = self._source
        while source is not None and (chunk := self._next(source)) is not None:
            if not chunk:
                if self._pausing:
                    yield PAUSE
                continue
            self._left -= len(chunk)
            try:
                events = self._take(chunk) if self._left >= 0 else None
            except sse.TooLarge:
                events = None
            if events is None:
                self.close()
                raise Unusable("answer")
            yield from events
            if self._pausing and source.dry:
                yield PAUSE

    def learn(self, event: tuple[str, str], text: str, read: Callable[[str], str | None]) -> None:
        """Know what looks like this event by its bytes from now on; see :meth:`.Usual.learn`."""
        if self._usual is None:
            self._usual = Usual()
        self._usual.learn(event, text, read)

    def _take(self, chunk: bytes) -> list[tuple[str, str] | Said]:
        parser, usual = self._parser, self._usual
        found: list[tuple[str, str] | Said] = []
        if usual is None:
            found += parser.feed(chunk)
            return found
        if not parser.idle:
            # Here ends what the last piece broke off in.
            head, gap, chunk = chunk.partition(b"\n\n")
            found += parser.feed(head + gap)
        end = chunk.rfind(b"\n\n") + 2
        text = usual.read(chunk[:end]) if end > 1 and parser.idle else None
        if text is not None:
            found.append(Said(text))
            chunk = chunk[end:]
        if chunk:
            found += parser.feed(chunk)
        return found

    def pausing(self, on: bool) -> socket.socket | None:
        """Give :data:`PAUSE` where there is nothing to give yet, instead of waiting.

        While it is on, the socket is never closed: turn it off at the end, whatever the end.

        :return: the socket to wait for before going on; None when this answer can only wait.
        """
        with self._lock:
            source, was = self._source, self._pausing
            if source is None:
                return None
            self._pausing = False
            if not self._closed:
                found = source.pausing(on)
                self._pausing = on and found is not None
                return found
        if was:
            # Closed while its socket was waited for: it was kept open for that.
            self._release(source)
        return None

    def close(self) -> None:
        """End the answer and cut its connection. Any thread may call it, at any time."""
        with self._lock:
            if self._closed or self._source is None:
                return
            self._closed = True
            held = self._busy or self._pausing
        self._source.cut()
        if not held:
            self._release(self._source)

    def _release(self, source: Source) -> None:
        with self._lock:
            released, self._released = self._released, True
        if not released:
            source.release()

    def finish(self) -> None:
        """Read the little that should be left, so that the connection can serve again."""
        if self._source is not None:
            self._source.hurry(0.25)
        try:
            for _ in range(8):
                if self._source is None or self._next(self._source) is None:
                    return
        except Unusable:
            return
        self.close()

    def _next(self, source: Source) -> bytes | None:
        # While pausing nobody else gives the source back, so nobody needs to know that it is read.
        pausing = self._pausing
        if not pausing:
            with self._lock:
                self._busy = not self._closed
        if self._closed:
            return None
        chunk: bytes | None = None
        try:
            chunk = source.read()
        except Unusable:
            # Who closed the answer does not want to hear that it was cut.
            if not self._closed:
                raise
        finally:
            if chunk is None or not pausing:
                with self._lock:
                    self._busy = False
                    # Set before the connection goes back to its pool: a late close() must not
                    # cut the answer that it carries next.
                    self._closed = self._closed or chunk is None
                if self._closed and not pausing:
                    self._release(source)
        return None if self._closed else chunk


def parse(raw: bytes) -> Any:
    """What a JSON text says; None where it is not JSON, or not such as honest servers send.

    No NaN, no name twice in one object, no more than 64 levels.
    """
    try:
        data = json.loads(raw, parse_constant=_no, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    depth = 0
    for match in _BRACKETS.finditer(raw):
        mark = match[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth > _NESTING:
                return None
        elif mark in (b"]", b"}"):
            depth -= 1
    return data


def _no(word: str) -> Any:
    raise ValueError(word)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
