"""Our events on the wire, and their numbers.

A number says whose event it is: those of an answer follow on a number that is made of its name,
so of its id and of how often it was continued. A reader that comes back with a number of
another answer, or of this one before it went on, is known by that and never given the rest of a
text that it has not read.
"""

import json
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from json.encoder import encode_basestring
from typing import Any

#: So far apart are the numbers of two answers: no answer has as many events.
_SPAN = 1_000_000
#: Numbers of events that are made of a saved row begin here, beyond those of all answers; who
#: comes back with one has to begin anew. A number in a script is exact up to there.
SAVED = 9_000_000_000_000_000
#: Kinds of events that hold a piece of text and nothing else, ``{"text": …}``.
TEXTS = frozenset({"delta", "reasoning"})
_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def before(name: str) -> int:
    """The number on which the first event of this answer follows.

    Of one message it differs each time that it goes on: CRC-32 tells neighbours apart.
    """
    return (zlib.crc32(name.encode()) + 1) * _SPAN


def is_of(name: str, number: int) -> bool:
    """Whether an event of this number belongs to this answer."""
    return 0 < number - before(name) < _SPAN


def read_number(text: str) -> int:
    """What a reader saw last; 0 for nothing, and for what is no number."""
    return int(text[:16]) if text.isascii() and text.isdigit() else 0


def encode(number: int, kind: str, data: dict[str, Any]) -> bytes:
    """One event on the wire. JSON has no line break in it, so one data line holds it."""
    return f"id: {number}\nevent: {kind}\ndata: {_dump(data)}\n\n".encode()


def parse(batch: bytes) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The events of our own wire form, as they were encoded together."""
    for piece in batch.split(b"\n\n")[:-1]:
        number, kind, data = piece.split(b"\n", 2)
        yield int(number[4:]), kind[7:].decode(), json.loads(data[6:])


def behind(batch: bytes, number: int) -> bytes:
    """The events whose number is greater."""
    if not batch or int(batch[4 : batch.index(b"\n")]) > number:
        return batch
    pieces = batch.split(b"\n\n")[:-1]
    return b"".join(p + b"\n\n" for p in pieces if int(p[4 : p.index(b"\n")]) > number)


class Events:
    """The events of one answer: what each says, one behind the other, and where each ends.

    As they go over the wire they would take six times as much for as long as they are kept; so
    they are put into that form for who reads them, nearly always once.
    """

    def __init__(self, name: str) -> None:
        self._before = before(name)
        #: JSON as UTF-8; of text what stands between its quotes, so that all of it makes one too.
        self._said = bytearray()
        self._ends = array("I")
        #: Which event is the first of another kind than the one before, and what kind.
        self._turns = array("I")
        self._kinds: list[str] = []

    @property
    def count(self) -> int:
        return len(self._ends)

    @property
    def last(self) -> int:
        """The number of the last one."""
        return self._before + len(self._ends)

    def has(self, number: int) -> bool:
        return self._before < number <= self.last

    def append(self, kind: str, data: dict[str, Any]) -> None:
        if not self._kinds or self._kinds[-1] != kind:
            self._turns.append(len(self._ends))
            self._kinds.append(kind)
        said = encode_basestring(data["text"])[1:-1] if kind in TEXTS else _dump(data)
        self._said += said.encode()
        self._ends.append(len(self._said))

    def text(self, kind: str) -> str:
        """All of the text of one kind."""
        found = b"".join(
            self._said[self._end(first) : self._end(behind)]
            for kind_, first, behind in self._runs(0)
            if kind_ == kind
        )
        text: str = json.loads(b'"%b"' % found)
        return text

    def behind(self, number: int) -> bytes:
        """Those with a greater number."""
        found = []
        for kind, first, behind in self._runs(max(0, number - self._before)):
            form, begin = _form(kind), self._end(first)
            for at in range(first, behind):
                end = self._ends[at]
                found.append(form % (self._before + at + 1, self._said[begin:end]))
                begin = end
        return b"".join(found)

    def _runs(self, at: int) -> Iterator[tuple[str, int, int]]:
        """From one on: a kind, its first one and the one behind its last, by their places."""
        turn = bisect_right(self._turns, at)
        while at < len(self._ends):
            until = self._turns[turn] if turn < len(self._turns) else len(self._ends)
            yield self._kinds[turn - 1], at, until
            at, turn = until, turn + 1

    def _end(self, at: int) -> int:
        """Where the one before ends."""
        return self._ends[at - 1] if at else 0


@cache
def _form(kind: str) -> bytes:
    data = '{"text":"%b"}' if kind in TEXTS else "%b"
    return f"id: %d\nevent: {kind}\ndata: {data}\n\n".encode()
