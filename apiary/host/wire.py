"""Our events on the wire, and their numbers.

A number says whose event it is: those of an answer follow on a number that is made of its name,
so of its id and of how often it was continued. A reader that comes back with a number of
another answer, or of this one before it went on, is known by that and never given the rest of a
text that it has not read.
"""

import json
import zlib
from array import array
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import Any

#: So far apart are the numbers of two answers: no answer has as many events.
_SPAN = 1_000_000
#: Numbers of events that are made of a saved row begin here, beyond those of all answers; who
#: comes back with one has to begin anew. A number in a script is exact up to there.
SAVED = 9_000_000_000_000_000
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
    if len(data) == 1 and "text" in data:
        # Nearly all of them; the general way costs ten times this.
        text = f'{{"text":{encode_basestring(data["text"])}}}'
    else:
        text = _dump(data)
    return f"id: {number}\nevent: {kind}\ndata: {text}\n\n".encode()


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
    """The events of one answer, one behind the other, and where each ends."""

    def __init__(self, name: str) -> None:
        self._before = before(name)
        self._wire = bytearray()
        self._ends = array("I")

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
        self._wire += encode(self.last + 1, kind, data)
        self._ends.append(len(self._wire))

    def behind(self, number: int) -> bytes:
        """Those with a greater number."""
        at = number - self._before
        if at >= len(self._ends):
            return b""
        return bytes(memoryview(self._wire)[self._ends[at - 1] if at > 0 else 0 :])
