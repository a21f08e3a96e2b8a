"""Sentences that can be said in other languages than English.

A sentence is built where something happens, and that place neither knows nor asks who will read
it: it stays English in logs, in commands and for programs, and is said in the reader's language
where it is shown. The catalogues are gettext's and lie in ``translations/``.
"""

import gettext
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

from flask import current_app, has_app_context, has_request_context
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

DOMAIN = "apiary"
OWN = Path(__file__).resolve().parent / "translations"
_Other = TypeVar("_Other")
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,8}){0,3}")
#: What a host's selector may give is bounded by what exists; this bounds what it makes up.
_MOST = 64


class Sentence(str):
    """English text that knows how it was made.

    To programs it is that text. A template that shows it shows it in the reader's language;
    elsewhere :func:`localized` does that.
    """

    __slots__ = ("_count", "_many", "_one", "_values")

    _one: str
    _many: str
    _count: int | None
    _values: Mapping[str, Any]

    def __new__(
        cls, one: str, many: str = "", count: int | None = None, values: Mapping[str, Any] = {}
    ) -> "Sentence":
        text = one if count in (None, 1) else many
        made = super().__new__(cls, text.format(**values) if values else text)
        made._one, made._many, made._count, made._values = one, many, count, values
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Sentence, (self._one, self._many, self._count, dict(self._values))

    def __html__(self) -> str:
        return escape(self.said(language()))

    def said(self, language: "Language") -> str:
        """The sentence in a language, sentences inside it too."""
        if language.catalogue is None:
            return str(self)
        if self._count is None:
            text = language.catalogue.gettext(self._one)
        else:
            text = language.catalogue.ngettext(self._one, self._many, self._count)
        if not self._values:
            return text
        return text.format(**{k: localized(v, language) for k, v in self._values.items()})


def say(text: str, **values: Any) -> Sentence:
    """A sentence, with ``{names}`` for the values in it."""
    return Sentence(text, values=values)


def say_n(one: str, many: str, count: int, **values: Any) -> Sentence:
    """A sentence about a number of things; ``{count}`` is that number."""
    return Sentence(one, many, count, values | {"count": count})


class Language:
    """One language: its tag and its catalogue, which English does without."""

    def __init__(self, tag: str, catalogue: gettext.NullTranslations | None, words: str) -> None:
        self.tag = tag
        self.catalogue = catalogue
        #: What the scripts say, as a JSON object from English to this language; "" for English.
        # It is JSON already; nothing in it may end the element that it stands in.
        self.words = htmlsafe_json_dumps(words, dumps=str)
        self._texts: dict[str, Markup] = {}

    def say(self, text: str, **values: Any) -> Markup:
        """For templates, where the text itself is trusted and what is put into it is not."""
        said = self._texts.get(text)
        if said is None:
            found = text if self.catalogue is None else self.catalogue.gettext(text)
            said = self._texts[text] = Markup(found)
        if not values:
            return said
        # As Markup.format does, in a tenth of the time.
        return Markup(str.format(said, **{name: escape(v) for name, v in values.items()}))

    def said(self, value: Any) -> Any:
        """For templates: what :func:`localized` gives, without asking for the language anew."""
        return value.said(self) if isinstance(value, Sentence) else value

    def money(self, amount: Decimal | None) -> Sentence:
        """An amount in USD."""
        if amount is None:
            return say("unknown")
        if 0 < amount < Decimal("0.01"):
            return say("under {amount}", amount=self.money(Decimal("0.01")))
        return say("${amount}", amount=f"{amount:.2f}".replace(".", self._point))

    def moment(self, moment: datetime) -> Sentence:
        """A date with its time, in UTC."""
        return say(
            "{day} {month} {year}, {time} UTC",
            day=moment.day,
            month=_MONTHS[moment.month - 1],
            year=f"{moment.year}",
            time=f"{moment:%H:%M}",
        )

    @cached_property
    def _point(self) -> str:
        # Translators: what stands between the whole and its parts in an amount such as 0.25
        return say(".").said(self)


ENGLISH = Language("en", None, "")
_MONTHS = (
    say("January"),
    say("February"),
    say("March"),
    say("April"),
    say("May"),
    say("June"),
    say("July"),
    say("August"),
    say("September"),
    say("October"),
    say("November"),
    say("December"),
)


class Languages:
    """The languages of one app.

    :param ask: the tag of the language of who is asking, such as ``de`` or ``pt_BR``; None for
        English.
    :param folders: further catalogues ``<tag>/LC_MESSAGES/apiary.mo``, which go before ours.
    """

    def __init__(self, ask: Callable[[], str | None], folders: Iterable[Path] = ()) -> None:
        self._ask = ask
        self._folders = (*folders, OWN)
        self._known: dict[str, Language] = {}

    def current(self) -> Language:
        """The language of who is asking."""
        try:
            tag = self._ask()
        except RuntimeError:
            # It looked at the request where there is none: a thread, a command.
            if has_request_context():
                raise
            return ENGLISH
        return self.of(tag) if tag else ENGLISH

    def of(self, tag: str) -> Language:
        """The language of a tag: that very one, or the one without the country, or English."""
        if (known := self._known.get(tag)) is None:
            known = self._load(tag)
            if len(self._known) < _MOST:
                self._known[tag] = known
        return known

    def _load(self, tag: str) -> Language:
        if not _TAG.fullmatch(tag):
            return ENGLISH
        parts = tag.replace("-", "_").split("_")
        for length in range(len(parts), 0, -1):
            name = "_".join(parts[:length])
            found = [place for f in self._folders if (place := f / name / "LC_MESSAGES").is_dir()]
            if found:
                break
        else:
            return ENGLISH
        chain: gettext.NullTranslations | None = None
        words = ""
        for place in found:
            with (place / f"{DOMAIN}.mo").open("rb") as file:
                catalogue = gettext.GNUTranslations(file)
            chain = chain or catalogue
            if catalogue is not chain:
                chain.add_fallback(catalogue)
            if not words and (place / f"{DOMAIN}.json").exists():
                words = (place / f"{DOMAIN}.json").read_text("utf-8")
        return Language(name.replace("_", "-"), chain, words)


def language() -> Language:
    """The language of who is asking; English where nobody is."""
    state = current_app.extensions.get("apiary") if has_app_context() else None
    languages: Languages | None = getattr(state, "languages", None)
    return ENGLISH if languages is None else languages.current()


@overload
def localized(value: str, into: Language | str | None = None) -> str: ...
@overload
def localized(value: _Other, into: Language | str | None = None) -> _Other: ...
def localized(value: Any, into: Language | str | None = None) -> Any:
    """A sentence in the language of who is asking; anything else as it is.

    :param into: a language or its tag instead, for text that is made where no request is.
    """
    if not isinstance(value, Sentence):
        return value
    if isinstance(into, str):
        languages: Languages = current_app.extensions["apiary"].languages
        into = languages.of(into)
    return value.said(into or language())


def spoken(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with every sentence among the values in the language of who is asking."""
    into = language()
    return {name: localized(value, into) for name, value in values.items()}


def babel_locale() -> str | None:
    """What Flask-Babel chose in an app that has it; None elsewhere."""
    if "babel" not in current_app.extensions:
        return None
    try:
        from flask_babel import get_locale
    except ImportError:
        return None
    return str(found) if (found := get_locale()) else None
