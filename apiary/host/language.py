"""The language of who reads: chosen by Flask-Babel, said from catalogues that are read once."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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
from markupsafe import Markup

from apiary import localized

#: The languages, each by its tag and in its own words; the first is that of the sources.
LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}
ENGLISH = "en"
_FOLDER = Path(__file__).resolve().parent / "translations"


@dataclass(frozen=True, slots=True)
class Tongue:
    """A language with its catalogue, and the signs in its numbers."""

    tag: str
    catalogue: NullTranslations
    group: str
    point: str
    #: Their names by number, from 1.
    months: Mapping[int, str]
    #: What scripts say, as a JSON object from English to this language; "" for English.
    words: Markup


@cache
def _load(tag: str) -> Tongue:
    catalogue: NullTranslations = NullTranslations()
    words = ""
    if tag != ENGLISH:
        catalogue = Translations.load(str(_FOLDER), [tag])
        words = (_FOLDER / tag / "LC_MESSAGES" / "messages.json").read_text("utf-8")
    locale = Locale.parse(tag)
    signs, months = locale.number_symbols["latn"], locale.months["format"]["wide"]
    return Tongue(tag, catalogue, signs["group"], signs["decimal"], months, Markup(words))


def register(app: Flask, wanted: Callable[[], str | None]) -> None:
    """Set Flask-Babel up; the plug-in asks it too.

    :param wanted: gives the tag of the language of who is asking, None where nobody is.
    """
    # Its own functions for templates look everything up anew for each text.
    Babel(app, configure_jinja=False, default_locale=ENGLISH, locale_selector=wanted)
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: tongue().catalogue.gettext(text),
        lambda one, many, count: tongue().catalogue.ngettext(one, many, count),
        newstyle=True,
    )
    app.jinja_env.globals.update(tongue=tongue, number=number, cost_of=cost)


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
    return f"{count:,}".replace(",", tongue().group)


def amount(value: Decimal | float, places: int) -> str:
    """An amount in USD to read."""
    text, found = f"{value:,.{places}f}", tongue()
    if found.tag != ENGLISH:
        text = text.translate({ord(","): found.group, ord("."): found.point})
    return gettext("$%(amount)s", amount=text)


def cost(value: Decimal) -> str:
    """What an answer cost, to read: no false zero for a small amount."""
    if value == 0:
        return amount(value, 0)
    if value < Decimal("0.0001"):
        return gettext("under %(amount)s", amount=amount(0.0001, 4))
    return amount(value, 4)


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
