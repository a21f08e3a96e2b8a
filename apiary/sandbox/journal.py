"""What the double was asked, kept for tests and for the page at ``/sandbox``.

No key is ever kept: a bearer key appears as its SHA-256, which is also how OpenRouter
names a key in its own links (docs, OAuth, "Deep-link").
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KEPT_HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Content-Type",
    "HTTP-Referer",
    "Origin",
    "Sec-Fetch-Site",
    "User-Agent",
    "X-OpenRouter-Categories",
    "X-OpenRouter-Title",
    "X-Title",
)
_KEY = re.compile(r"sk-[A-Za-z0-9_-]{8,}")


def digest(key: str) -> str:
    """Return the name of a key: the lower-case hex SHA-256 of all of it."""
    return hashlib.sha256(key.encode()).hexdigest()


def without_keys(value: Any) -> Any:
    """Return the same JSON value with everything that looks like a key blotted out."""
    if isinstance(value, str):
        return _KEY.sub("sk-…", value)
    if isinstance(value, list):
        return [without_keys(item) for item in value]
    if isinstance(value, dict):
        return {without_keys(name): without_keys(item) for name, item in value.items()}
    return value


@dataclass
class Entry:
    """One request. ``status`` is 0 until it is answered.

    ``outcome`` tells how a stream ended: ``""`` (not a stream, or still running),
    ``finished``, ``cut`` (by the double) or ``gone`` (the client went away).
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    bearer: str = ""
    status: int = 0
    outcome: str = ""
    at: float = 0.0


class Journal:
    """A bounded list of entries that threads may share."""

    def __init__(self, length: int = 1000) -> None:
        self._entries: deque[Entry] = deque(maxlen=length)
        self._changed = threading.Condition()

    def add(self, entry: Entry) -> Entry:
        """Append an entry; it may be completed later with :meth:`note`."""
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()
        return entry

    def note(self, entry: Entry, *, status: int | None = None, outcome: str | None = None) -> None:
        """Complete an entry and wake those who wait for it."""
        with self._changed:
            if status is not None:
                entry.status = status
            if outcome is not None:
                entry.outcome = outcome
            self._changed.notify_all()

    def entries(self, path: str | None = None, method: str | None = None) -> list[Entry]:
        """Return the entries so far, oldest first."""
        with self._changed:
            return [
                entry
                for entry in self._entries
                if path in (None, entry.path) and method in (None, entry.method)
            ]

    def last(self, path: str) -> Entry:
        """Return the newest entry of a path; IndexError when there is none."""
        return self.entries(path)[-1]

    def exchanges(self) -> int:
        """Count the attempts to exchange a code."""
        return len(self.entries("/api/v1/auth/keys", "POST"))

    def chats(self) -> list[Entry]:
        """Return the chat requests."""
        return self.entries("/api/v1/chat/completions", "POST")

    def wait(self, wanted: Callable[[Entry], bool], timeout: float = 5.0) -> Entry:
        """Wait for an entry that fits, or raise TimeoutError."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for entry in self._entries:
                    if wanted(entry):
                        return entry
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError("The sandbox saw no such request.")
                self._changed.wait(left)

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self._entries.clear()

    def __len__(self) -> int:
        with self._changed:
            return len(self._entries)
