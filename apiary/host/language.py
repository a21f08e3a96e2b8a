"""The language of who reads: chosen by Flask-Babel, said from catalogues that are read once."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from decimal import Decimal
from functools import cache
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from babel import Locale
from babel.support import Translations
from flask import Flask, request
from flask_babel import Babel, LazyString, force_locale, get_locale
from flask_babel import lazy_gettext as lazy_gettext
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from apiary import localized

#: The languages, each by its tag and in its own words; the first is that of the sources.
LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}
ENGLISH = "en"
_FOLDER = Path(__file__).resolve().parent / "translations"


class Tongue:
    """A language: its catalogue, the signs in its numbers, and what templates say with it.

    There is one for each language, which the templates of a page ask as often as they have texts.
    """

    def __init__(self, tag: str, catalogue: NullTranslations, words: str) -> None:
        locale = Locale.parse(tag)
        signs = locale.number_symbols["latn"]
        self.tag = tag
        self.catalogue = catalogue
        self.group: str = signs["group"]
        self.point: str = signs["decimal"]
        #: Their names by number, from 1.
        self.months: Mapping[int, str] = locale.months["format"]["wide"]
        #: What scripts say, as a JSON object from English to this language; "" for English.
        # It is JSON already; nothing in it may end the element that it stands in.
        self.words = htmlsafe_json_dumps(words, dumps=str)
        self._texts: dict[str, Markup] = {}
        self._tokens: str = catalogue.gettext("%(read)s tokens in, %(written)s out")
        self.names = {
            "tongue": self,
            "_": self.say,
            "ngettext": self.say_n,
            "number": self.number,
            "cost_of": self.cost,
            "tokens_of": self.tokens,
        }

    def say(self, text: str, **values: Any) -> Markup:
        """For templates, where the text itself is trusted and what is put into it is not."""
        said = self._texts.get(text)
        if said is None:
            said = self._texts[text] = Markup(self.catalogue.gettext(text))
        return _filled(said, values) if values else said

    def say_n(self, one: str, many: str, count: int, **values: Any) -> Markup:
        """The same about a number of things, which is ``%(num)s``."""
        said = Markup(self.catalogue.ngettext(one, many, count))
        return _filled(said, {"num": self.number(count), **values})

    def number(self, count: int) -> str:
        """A whole number to read."""
        return f"{count:,}".replace(",", self.group)

    def tokens(self, read: int, written: int) -> str:
        """The tokens that an answer took, to read."""
        return self._tokens % {"read": self.number(read), "written": self.number(written)}

    def amount(self, value: Decimal | float, places: int) -> str:
        """An amount in USD to read."""
        text = f"{value:,.{places}f}"
        if self.tag == ENGLISH:
            return f"${text}"
        text = text.translate({ord(","): self.group, ord("."): self.point})
        return self.catalogue.gettext("$%(amount)s") % {"amount": text}

    def cost(self, value: Decimal) -> str:
        """What an answer cost, to read: no false zero for a small amount."""
        if value == 0:
            return self.amount(value, 0)
        if value < Decimal("0.0001"):
            under = self.catalogue.gettext("under %(amount)s")
            return under % {"amount": self.amount(0.0001, 4)}
        return self.amount(value, 4)


def _filled(text: Markup, values: Mapping[str, Any]) -> Markup:
    # As ``%`` of Markup does, in a tenth of the time.
    return Markup(str.__mod__(text, {name: escape(v) for name, v in values.items()}))


@cache
def _load(tag: str) -> Tongue:
    catalogue: NullTranslations = NullTranslations()
    words = ""
    if tag != ENGLISH:
        catalogue = Translations.load(str(_FOLDER), [tag])
        words = (_FOLDER / tag / "LC_MESSAGES" / "messages.json").read_text("utf-8")
    return Tongue(tag, catalogue, words)


def register(app: Flask, wanted: Callable[[], str | None]) -> None:
    """Set Flask-Babel up; the plug-in asks it too.

    :param wanted: gives the tag of the language of who is asking, None where nobody is.
    """
    # Its own functions for templates look everything up anew for each text.
    Babel(app, configure_jinja=False, default_locale=ENGLISH, locale_selector=wanted)
    app.context_processor(lambda: tongue().names)


def tongue() -> Tongue:
    """The language of who is asking; English where nobody is."""
    locale = get_locale()
    return _load(locale.language if locale else ENGLISH)


def gettext(text: str, **values: Any) -> str:
    """A text in the language of who is asking, with ``%(names)s`` for the values in it."""
    said: str = tongue().catalogue.gettext(text)
    return said % values if values else said


def ngettext(one: str, many: str, count: int, **values: Any) -> str:
    """A text about a number of things. ``%(num)s`` is the number as it is written."""
    said: str = tongue().catalogue.ngettext(one, many, count)
    return said % {"num": number(count), **values}


def spoken(text: Any, tag: str) -> str:
    """A text that was made for nobody yet, in a language; where no request is."""
    if isinstance(text, LazyString):
        with speaking(tag):
            return str(text)
    return str(localized(text, tag))


def speaking(tag: str) -> AbstractContextManager[None]:
    """Lets all that is said inside be said in a language."""
    if tag == ENGLISH and get_locale() is None:
        return nullcontext()
    found: AbstractContextManager[None] = force_locale(tag)
    return found


def gettext_noop(text: str) -> str:
    """Marks a text that is said later."""
    return text


def number(count: int) -> str:
    """A whole number to read."""
    return tongue().number(count)


def amount(value: Decimal | float, places: int) -> str:
    """An amount in USD to read."""
    return tongue().amount(value, places)


def cost(value: Decimal) -> str:
    """What an answer cost, to read."""
    return tongue().cost(value)


def day(value: date) -> str:
    """A day of the calendar, to read."""
    # Translators: a date such as 26 November 2026
    pattern = gettext("%(day)s %(month)s %(year)s")
    month = tongue().months[value.month]
    return pattern % {"day": value.day, "month": month, "year": value.year}


def of_browser() -> str:
    """The language that the browser asks for, as far as there is one of ours."""
    found: str = request.accept_languages.best_match(LANGUAGES, ENGLISH)
    return found
