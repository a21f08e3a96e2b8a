"""Who is here: the session's person, guests made on the way, and the door for the others."""

from typing import Any

import peewee
from flask import Flask, abort, flash, g, has_request_context, redirect, request, session, url_for
from flask_login import LoginManager, current_user
from werkzeug.wrappers import Response

from apiary import database

from . import accounts, edge, language, limits
from .accounts import Person
from .language import gettext
from .problems import problem, wants_json
from .state import here

_DOORS = frozenset({"accounts.sign_in", "accounts.sign_up", "accounts.sign_out", "operator.show"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Where a door may lead to afterwards. Names, not addresses: there is nothing to forge.
NEXT = {"chat": "chat.home", "settings": "apiary.index", "account": "accounts.account"}


def person() -> Person | None:
    """The guest or member of this request; None for nobody."""
    found = current_user._get_current_object()
    return found if isinstance(found, Person) else None


def owner() -> str:
    """The id of the guest or member of this request; 401 for nobody."""
    found = person()
    if found is None:
        abort(401)
    return found.id


def wanted_language() -> str | None:
    """The tag of the language of this request; None where there is none.

    What was chosen in the account, else in this browser, else what the browser asks for.
    """
    if not has_request_context():
        return None
    # Only who has been found already: an error may have come before that, or instead of it.
    found = g.get("_login_user")
    chosen = getattr(found, "language", None) or request.cookies.get(language_cookie())
    return chosen if chosen in language.LANGUAGES else language.of_browser()


def language_cookie() -> str:
    """The name of the cookie that keeps the choice of a browser for who signs out."""
    return "__Host-apiary-language" if here().settings.https else "apiary_language"


def register(app: Flask) -> None:
    """Open the database and find the visitor, before each request that is not a file."""
    manager = LoginManager()
    manager.init_app(app)
    # The address of a phone changes all day; the epoch is what ends a session here.
    manager.session_protection = None
    manager.user_loader(accounts.load)
    manager.unauthorized_handler(unauthorized)
    app.before_request(_open_database)
    app.before_request(_find_visitor)
    limits.register(app)
    # Behind the limits: what is refused writes no row.
    app.before_request(_keep_guest)
    app.teardown_request(_close_database)
    app.context_processor(_context)


def unauthorized() -> Response:
    """Send people to the sign-in page, and scripts away with a sentence."""
    if wants_json():
        return problem(
            401,
            gettext("You are signed out. Sign in and try again."),
            code="signed_out",
            action="sign_in",
        )
    wanted = "settings" if request.blueprint == "apiary" else "chat"
    if request.blueprint == "accounts":
        wanted = "account"
    return redirect(url_for("accounts.sign_in", next=wanted), 303)


def _is_file() -> bool:
    return request.endpoint in edge.STATIC_ENDPOINTS


def _open_database() -> None:
    if _is_file() or request.endpoint in edge.HEALTH:
        return
    try:
        database.connect(reuse_if_open=True)
    except ValueError as error:
        # What a pool raises that has lent all its connections.
        raise peewee.OperationalError(str(error)) from error


def _close_database(_: BaseException | None) -> None:
    if not database.is_closed():
        database.close()


def _find_visitor() -> Response | None:
    if _is_file() or request.endpoint in edge.HEALTH:
        return None
    found = person()
    if request.method in _SAFE:
        # An address that does not exist makes no guests.
        if found is None and request.endpoint is not None:
            _welcome()
        return None
    if request.endpoint in _DOORS:
        return None
    if found is None:
        # The cookie of a session that was ended elsewhere.
        return unauthorized()
    if found.transient and request.endpoint is not None:
        g.newcomer = found
    return None


def _keep_guest() -> None:
    if "newcomer" in g:
        accounts.persist(g.newcomer)


def _welcome() -> None:
    """Make a guest of a visitor, or empty the session that stands for nobody any more."""
    if "_user_id" in session:
        session.clear()
        flash(gettext("You were signed out."), "notice")
    if here().settings.guests:
        accounts.new_guest()


def _context() -> dict[str, Any]:
    settings = here().settings
    found = person() if not _is_file() else None
    return {
        "site_name": settings.site_name,
        "signed_in": bool(found and found.member),
        "guest": bool(found and not found.member),
        "member_name": found.name if found else None,
        "guests_allowed": settings.guests,
        "signup_open": settings.signup,
    }
