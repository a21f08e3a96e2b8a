"""What somebody searches for, as words; and where these words stand in a text."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from .tables import clean

#: Of a search that is longer, the rest is left out.
LONGEST = 200
_MOST_TERMS = 8
_WORD = re.compile(r"[^\W_]+")
_CHUNK = re.compile(r'"([^"]*)"|(\S+)')
#: How much of a text a result shows, and how far in front of the first hit it begins.
_SHOWN = 180
_BEFORE = 50
_FOLDED = 20_000

#: Pieces of text, each with whether it was searched for.
Parts = list[tuple[str, bool]]


@dataclass(frozen=True)
class Query:
    """Phrases of one word or more, all of which must occur; ``open`` lets the last word go on."""

    text: str
    phrases: tuple[tuple[str, ...], ...]
    open: bool

    @classmethod
    def of(cls, text: str) -> "Query":
        """Read what was typed. Any text can be read; it may hold no word."""
        text = " ".join(clean(text)[:LONGEST].split())
        phrases = []
        for quoted, plain in _CHUNK.findall(text):
            words = tuple(_WORD.findall(quoted or plain))
            if words:
                phrases.append(words)
        phrases = phrases[:_MOST_TERMS]
        # One letter begins too many words.
        unfinished = bool(phrases) and not text.endswith('"') and len(phrases[-1][-1]) > 1
        return cls(text, tuple(phrases), unfinished and bool(_WORD.match(text[-1])))

    def fts5(self) -> str:
        """For FTS5. Words are letters and digits only, and quoted: there is no syntax in them."""
        terms = [f'"{" ".join(words)}"' for words in self.phrases]
        return " AND ".join(terms) + (" *" if self.open else "")

    def tsquery(self) -> str:
        """The same for ``to_tsquery('simple', …)``."""
        terms = [" <-> ".join(f"'{word}'" for word in words) for words in self.phrases]
        return " & ".join(f"({term})" for term in terms[:-1]) + (
            f"{' & ' if terms[1:] else ''}{terms[-1]}{':*' if self.open else ''}" if terms else ""
        )

    @cached_property
    def _folded(self) -> tuple[str, ...]:
        return tuple(fold(" ".join(words)) for words in self.phrases)

    def in_title(self, title: str) -> bool:
        """Whether a title has all words, in the middle of longer ones too."""
        folded = fold(title)
        return all(words in folded for words in self._folded)

    def mark(self, text: str) -> Parts:
        """A whole text, hits marked."""
        return _cut(text, 0, len(text), self._spans(text))

    def snippet(self, text: str) -> Parts:
        """The surroundings of the first hit on one line, hits marked."""
        spans = self._spans(text)
        begin = max(0, spans[0][0] - _BEFORE) if spans else 0
        if begin:
            # Not in the middle of a word.
            space = re.search(r"\s", text[begin : spans[0][0]])
            begin += space.end() if space else 0
        end = min(len(text), begin + _SHOWN)
        parts = _cut(text, begin, end, spans)
        if begin:
            parts.insert(0, ("…", False))
        if end < len(text):
            parts.append(("…", False))
        return [(re.sub(r"\s+", " ", part), hit) for part, hit in parts]

    def _spans(self, text: str) -> list[tuple[int, int]]:
        words = [word for phrase in self.phrases for word in phrase]
        if not words:
            return []
        last = words.pop() if self.open else None
        forms = [re.escape(word) for word in words]
        if last:
            forms.append(re.escape(last) + r"[^\W_]*")
        pattern = rf"(?<![^\W_])(?:{'|'.join(forms)})(?![^\W_])"
        found = [match.span() for match in re.finditer(pattern, text, re.IGNORECASE)]
        if found:
            return found
        # Accents: the index on SQLite knows none.
        known = {fold(word) for word in words}
        return [
            match.span()
            for match in _WORD.finditer(text[:_FOLDED])
            if (folded := fold(match[0])) in known or (last and folded.startswith(fold(last)))
        ]


def fold(text: str) -> str:
    """Without case and accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    return "".join(c for c in apart if not unicodedata.combining(c)).casefold()


def _cut(text: str, begin: int, end: int, spans: list[tuple[int, int]]) -> Parts:
    parts: Parts = []
    at = begin
    for first, last in spans:
        if first < at or first >= end:
            continue
        if first > at:
            parts.append((text[at:first], False))
        parts.append((text[first : min(last, end)], True))
        at = min(last, end)
    if at < end:
        parts.append((text[at:end], False))
    return parts
