"""The body of an HTTP answer that is sent in chunks (RFC 9112, section 7.1), piece by piece."""

import re
from functools import lru_cache

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LONGEST_LINE = 4096
_MOST_TRAILERS = 64


class Malformed(ValueError):
    """These bytes are no chunked body; the connection must not be used again."""


class Chunks:
    """Takes the bytes of a body in any pieces and gives its content.

    ``over`` is true once its end has come; ``extra`` when bytes stood behind it.
    """

    __slots__ = ("_left", "_rest", "_trailers", "extra", "over")

    def __init__(self) -> None:
        self.over = self.extra = False
        #: Bytes of content to come, -1 before the line of a size, -2 among the trailers.
        self._left = -1
        self._rest = b""
        self._trailers = 0

    def feed(self, data: bytes) -> bytes:
        """The content in this piece, empty where there is none.

        :raises Malformed: it must not be fed again.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        found: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.over:
            if self._left > 0:
                piece = data[at : at + self._left]
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            if self._left == 0:
                if size - at < 2:
                    break
                if data[at : at + 2] != b"\r\n":
                    raise Malformed
                at += 2
                self._left = -1
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if size - at > _LONGEST_LINE:
                    raise Malformed
                break
            self._line(data[at:end])
            at = end + 2
            # Nearly always the whole of a chunk lies there.
            end = at + self._left
            if self._left > 0 and data.startswith(b"\r\n", end):
                found.append(data[at:end])
                at, self._left = end + 2, -1
        if self.over:
            self.extra = at < size
        else:
            self._rest = data[at:]
        return found[0] if len(found) == 1 else b"".join(found)

    def _line(self, line: bytes) -> None:
        if self._left == -2:
            self._trailers += 1
            self.over = not line
            if self._trailers > _MOST_TRAILERS:
                raise Malformed
            return
        self._left = _size(line) or -2


@lru_cache(maxsize=256)
def _size(line: bytes) -> int:
    """What the line before a chunk says. Answers come in chunks of few sizes."""
    number = line.partition(b";")[0].strip(b" \t")
    if not _SIZE.fullmatch(number):
        raise Malformed
    return int(number, 16)
