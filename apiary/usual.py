"""The usual event of one answer: a piece of text, in the same JSON each time.

Nearly all events of an answer differ in one string only. Once one of them was taken apart, the
next is known by the bytes before and behind that string, and nothing of it is parsed: this is two
thirds of what a token costs. What looks the least bit otherwise is left to the parser.
"""

from collections.abc import Callable

#: Stands for the text where a form is tried.
_SAMPLE = "a sample"
#: So many forms in a row are learned that no event has: some servers say something new in each.
_PATIENCE = 4
#: A longer form is not worth its memory.
_LONGEST = 4096


class Usual:
    """The form of an answer's usual event, as it goes over the wire."""

    __slots__ = ("_head", "_patience", "_seam", "_tail")

    def __init__(self) -> None:
        self._head = self._seam = self._tail = b""
        self._patience = _PATIENCE

    def learn(self, event: tuple[str, str], text: str, read: Callable[[str], str | None]) -> None:
        """Take the form of an event that says nothing but ``text``.

        :param event: name and data.
        :param read: the text of an event's data; None where it says anything else besides.
        """
        name, data = event
        string = f'"{text}"'
        if not self._patience or len(data) - len(text) > _LONGEST:
            return
        head, found, tail = data.partition(string)
        if not found or not _plain(text) or "\n" in data or "\r" in data:
            return
        self._patience -= 1
        if read(f'{head}"{_SAMPLE}"{tail}') != _SAMPLE:
            return
        line = "" if name == "message" else f"event: {name}\n"
        self._head = f'{line}data: {head}"'.encode()
        self._tail = f'"{tail}\n\n'.encode()
        self._seam = self._tail + self._head

    def read(self, piece: bytes) -> str | None:
        """The text of whole events, joined; None unless all of them have this form."""
        head, tail = self._head, self._tail
        end = len(piece) - len(tail)
        if not head or end < len(head) or not (piece.startswith(head) and piece.endswith(tail)):
            return None
        said = piece[len(head) : end]
        escaped = b"\\" in said
        if escaped and (b'\\"' in said or said.endswith(b"\\")):
            # The string may go on behind that quote.
            return None
        if self._seam in said:
            said = said.replace(self._seam, b"")
        try:
            text = said.decode()
        except UnicodeDecodeError:
            return None
        if escaped:
            # A line's end is the one escape that is frequent.
            text = text.replace("\\n", "")
        if not _plain(text):
            return None
        self._patience = _PATIENCE
        return said.decode().replace("\\n", "\n") if escaped else text


def _plain(text: str) -> bool:
    """Whether a JSON string shows this text as it is, in one way only."""
    return text.isprintable() and '"' not in text and "\\" not in text
