"""Server-sent events out of pieces of bytes.

The form is that of the WHATWG HTML standard, section 9.2.6. ``str.splitlines`` and
``httpx.Response.iter_lines`` also break lines at U+2028 and U+0085, which stand unescaped in
the JSON of real answers; bytes are therefore split before anything is decoded.
"""

_BOM = b"\xef\xbb\xbf"
_LF, _CR, _COLON = 10, 13, 58


class TooLarge(ValueError):
    """A line or an event is longer than the reader was told to take."""


class Parser:
    """Takes the bytes of a stream in any pieces and gives its events as they are complete.

    :param limit: bytes that one line, and the data of one event, may have.

    An event that the end of the stream cuts short is dropped, as the standard wants it.
    """

    __slots__ = ("_after_cr", "_data", "_event", "_first", "_limit", "_pieces", "_size", "_waiting")

    def __init__(self, limit: int = 256 * 1024) -> None:
        self._limit = limit
        self._first = True
        self._after_cr = False
        # The line that has not ended yet is kept in pieces: joining it to each new piece
        # would cost the square of its length.
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0

    @property
    def idle(self) -> bool:
        """Whether what is fed next begins an event."""
        return not (self._pieces or self._data or self._event or self._after_cr or self._first)

    def feed(self, chunk: bytes) -> list[tuple[str, str]]:
        """The events, as (name, data), that end within this piece.

        :raises TooLarge: the parser must not be fed again.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == _LF:
                chunk = chunk[1:]
        if not chunk:
            return []
        if b"\n" not in chunk and b"\r" not in chunk:
            self._pieces.append(chunk)
            self._waiting += len(chunk)
            if self._waiting > self._limit:
                raise TooLarge
            return []
        last = chunk[-1]
        # A CR ends its line at once; an LF that opens the next piece belongs to it.
        self._after_cr = last == _CR
        if self._pieces:
            self._pieces.append(chunk)
            chunk = b"".join(self._pieces)
            self._pieces.clear()
        lines = chunk.splitlines()
        self._waiting = 0
        if last not in (_LF, _CR):
            tail = lines.pop()
            self._pieces.append(tail)
            self._waiting = len(tail)
        if self._first:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        if self._waiting > self._limit:
            raise TooLarge
        return self._read(lines)

    def _read(self, lines: list[bytes]) -> list[tuple[str, str]]:
        events: list[tuple[str, str]] = []
        for line in lines:
            if not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    events.append((self._event or "message", data.decode("utf-8", "replace")))
                    self._data = []
                    self._size = 0
                self._event = ""
            elif line.startswith(b"data:"):
                self._add(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line[0] != _COLON:
                name, _, value = line.partition(b":")
                if name == b"event":
                    if len(value) > self._limit:
                        raise TooLarge
                    self._event = value.removeprefix(b" ").decode("utf-8", "replace")
                elif name == b"data":
                    self._add(b"")
        return events

    def _add(self, value: bytes) -> None:
        # One more for the line feed, so that a million empty lines are not free.
        self._size += len(value) + 1
        if self._size > self._limit:
            raise TooLarge
        self._data.append(value)
