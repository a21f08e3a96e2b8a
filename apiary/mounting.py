"""What must be right before Apiary serves in somebody else's app: names, database, tables.

What an app has got wrong is said while it is mounted, where that can be known then; what is
wrong with a database costs our own pages only.
"""

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import peewee
from flask import Blueprint, Flask, request
from jinja2 import Environment
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.routing import Rule

from . import db, rotation
from .errors import ConfigError
from .state import current
from .translation import localized, say

_log = logging.getLogger("apiary")
_VARIABLE = re.compile(r"<([^<>]*:)?\w+>")


def check_settings(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is nearly one of ours; others may share the prefix.

    :raises ConfigError: with the name that was most likely meant.
    """
    names = {name.removeprefix("APIARY_"): name for name in known}
    for name in sorted(given):
        if not name.startswith("APIARY_") or name in names.values():
            continue
        near = difflib.get_close_matches(name.removeprefix("APIARY_"), names, n=1)
        if near:
            raise ConfigError(f"{name} is not a setting of Apiary. Did you mean {names[near[0]]}?")


def folders(app: Flask, name: str, given: Iterable[str | Path]) -> list[Path]:
    """Folders that an argument names, as Flask looks for its own: beside the app's code.

    :raises ConfigError: there is none.
    """
    found = [Path(app.root_path, folder) for folder in given]
    for folder in found:
        if not folder.is_dir():
            raise ConfigError(f"{name} names {folder}, which is no folder.")
    return found


def handed_over(given: peewee.Database | peewee.DatabaseProxy) -> peewee.Database:
    """The database of the host's own, ready to be opened.

    :raises ConfigError: it is none, or nobody has told it yet which one it is.
    """
    found = given.obj if isinstance(given, peewee.DatabaseProxy) else given
    if found is None or (isinstance(found, peewee.Database) and found.deferred):
        raise ConfigError(
            "The database given to Apiary has no address yet. Call its initialize() or init()"
            " before init_app."
        )
    if not isinstance(found, peewee.Database):
        raise ConfigError(
            "Apiary(database=...) takes a peewee Database. An address goes into"
            " APIARY_DATABASE_URL."
        )
    return found


def register(app: Flask, pages: Blueprint) -> None:
    """Register our pages where nothing of the host's own stands.

    :raises ConfigError: one of the host's does, or bears our name.
    """
    if pages.name in app.blueprints:
        raise ConfigError(
            f'This app has a blueprint named "{pages.name}" already, which is the name of ours.'
            " Give that one another name."
        )
    _check_templates(app.jinja_env)
    app.register_blueprint(pages)
    _check_places(app)


def _check_templates(env: Environment) -> None:
    """Refuse an app in which our pages would show foreign text as HTML, or not be read at all."""
    escaped = env.autoescape
    if not (escaped("apiary/base.html") if callable(escaped) else escaped):
        raise ConfigError(
            "This app does not escape what its templates show, and Apiary's pages show what"
            " strangers wrote. Leave Jinja's autoescape on for names that end in .html."
        )
    if (env.block_start_string, env.variable_start_string) != ("{%", "{{"):
        raise ConfigError(
            "This app gives Jinja other marks than {% and {{, which Apiary's templates are"
            " written with. Change the marks of the library in the browser instead."
        )


def _check_places(app: Flask) -> None:
    """Refuse a page of the host's where one of ours stands: one of them would never be seen."""
    rules = list(app.url_map.iter_rules())
    ours = {place: rule for rule in rules if _is_ours(rule) for place in _places(rule)}
    for rule in filter(lambda rule: not _is_ours(rule), rules):
        for mine in filter(None, map(ours.get, _places(rule))):
            if mine.host == rule.host or (mine.host or "").startswith("<"):
                raise ConfigError(
                    f"The page {mine.rule} is {rule.endpoint} already. Mount Apiary elsewhere:"
                    ' Apiary(url_prefix="/models").'
                )


def _is_ours(rule: Rule) -> bool:
    return str(rule.endpoint).startswith("apiary.")


def _places(rule: Rule) -> Iterator[tuple[str | None, str, str]]:
    """What leads to this page beside the host; what its variables are called is no matter."""
    for way in (rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}:
        yield rule.subdomain, _VARIABLE.sub(r"<\1>", rule.rule), way


def upgrade(database: peewee.Database, migrations: Mapping[str, Path]) -> None:
    """Upgrade an embedded database, which has no operator who would do it.

    :raises ConfigError: it cannot be used.
    """
    try:
        db.upgrade(database, migrations)
    except (peewee.PeeweeException, OSError) as error:
        raise ConfigError(
            f"The database {database.database} cannot be used: {error}. Its file and its folder"
            " must be writable for this account."
        ) from error


def before_use(*, whole_app: bool, embedded: bool) -> Callable[[], None]:
    """What each process looks at before its first page: tables, key ring, the way home.

    :param whole_app: old tables stop every page of the app, whose own tables are looked after
        here too; else they stop ours only.
    :param embedded: the tables are up to date already.
    """
    upgraded, placed, looked, tried = embedded, False, False, False

    def check() -> None:
        nonlocal upgraded, placed, looked, tried
        ours = request.blueprint == "apiary"
        if not upgraded and (ours or whole_app):
            _refuse_old_tables()
            upgraded = True
        if ours and not placed:
            # Most hosts add their pages after their extensions.
            _check_home()
            _check_places(db.sender())
            placed = True
        # A database that is away must not keep the host's pages waiting more than once.
        if not looked and (ours or whole_app or not tried):
            looked, tried = _look_at_key_ring(), True

    return check


def _look_at_key_ring() -> bool:
    try:
        with db.connected():
            missing = rotation.look(current().vault.ring)
    except db.ERRORS:
        # The page that needs the database says so; the next request looks again.
        return False
    if missing:
        _log.error("%s", missing)
    return True


def _check_home() -> None:
    home, app = current().home, db.sender()
    if home is not None and home not in app.view_functions:
        raise ConfigError(f"Apiary(home=...): {home!r} is no endpoint of this app.")


def _refuse_old_tables() -> None:
    state = current()
    try:
        missing = db.pending(state.database, state.migrations)
    except db.ERRORS as error:
        _log.exception("the database cannot be reached")
        raise ServiceUnavailable(localized(db.sentence(error))) from None
    if missing:
        _log.error("the database is not up to date (%s): run `flask apiary upgrade`", missing)
        sentence = say(
            "This site's database is not up to date. Its operator has to run: flask apiary upgrade"
        )
        raise ServiceUnavailable(localized(sentence))
