"""A key in clear, wrapped so that it cannot be printed by accident."""

import hashlib
import re
from pathlib import Path

# Visible ASCII only: anything else either breaks an HTTP header or was pasted by mistake.
_KEY = re.compile(r"[\x21-\x7e]{8,512}")


class Secret:
    """Text that shows itself only to who asks by :meth:`reveal`.

    It has no useful ``repr``, cannot be formatted, pickled or compared by accident.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(•••)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")

    @property
    def sha256(self) -> str:
        """Lowercase hex digest; OpenRouter names a key by it in the address of its page."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    @property
    def masked(self) -> str:
        """As much as may be shown: the last four characters of a key of decent length."""
        return f"…{self._text[-4:]}" if len(self._text) >= 16 else "…"


def is_key(text: str) -> bool:
    """True for 8 to 512 visible ASCII characters."""
    return _KEY.fullmatch(text) is not None


def trim(text: str) -> str:
    """A pasted key without the white space and the quotes that came along."""
    before = None
    while before != text:
        before, text = text, text.strip().strip("\"'`“”‘’")
    return text


def private_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, for this account only.

    ``mkdir(mode=…, parents=True)`` applies the mode to the last one alone.

    :raises OSError: it cannot be made.
    """
    if not folder.exists():
        private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
