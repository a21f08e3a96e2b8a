"""Times on pages: written in UTC for browsers without scripts, and turned by times.js into the
reader's own."""

from datetime import UTC, date, datetime

from flask import Flask
from markupsafe import Markup

from . import language


def register(app: Flask) -> None:
    """Give templates ``moment`` and ``day``."""
    app.jinja_env.filters.update(moment=moment, day=day)


def moment(value: datetime | str | float) -> Markup:
    """A ``<time>`` for a point in time: a datetime, its ISO form, or Unix seconds."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif not isinstance(value, datetime):
        value = datetime.fromtimestamp(value, UTC)
    value = value.astimezone(UTC)
    words = f"{language.day(value)}, {value:%H:%M} UTC"
    return Markup('<time datetime="{}">{}</time>').format(value.isoformat("T", "seconds"), words)


def day(value: date | str) -> Markup:
    """A ``<time>`` for a day of the calendar."""
    found = date.fromisoformat(value) if isinstance(value, str) else value
    return Markup('<time datetime="{}">{}</time>').format(found.isoformat(), language.day(found))
