"""What a person reads on a page: its texts, and the attributes that are read out or shown."""

from html.parser import HTMLParser

_SPOKEN = {"alt", "aria-label", "content", "data-label", "label", "placeholder", "title"}
_UNREAD = {"script", "style", "template"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.language = ""
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread += tag in _UNREAD
        values = dict(attrs)
        if tag == "html":
            self.language = values.get("lang") or ""
        if tag == "meta" and values.get("name") != "description":
            return
        self.texts += [value for name, value in attrs if name in _SPOKEN and value]

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in _UNREAD

    def handle_data(self, data: str) -> None:
        if not self._unread and (text := " ".join(data.split())):
            self.texts.append(text)


def read(page: str) -> list[str]:
    """The texts of a page, in their order."""
    reader = _Reader()
    reader.feed(page)
    return reader.texts


def language(page: str) -> str:
    """What the page says its language is."""
    reader = _Reader()
    reader.feed(page)
    return reader.language


def left_in_english(english: str, other: str, names: set[str]) -> set[str]:
    """Texts of the other page that are those of the English one.

    :param names: what has no other form: names of companies and people, amounts, addresses.
    """
    told = {text for text in read(english) if any(c.isalpha() for c in text)}
    return {text for text in read(other) if text in told} - names
