"""What stands before and after every page of the plug-in: owner, CSRF, database, headers."""

import secrets
from hashlib import sha256
from typing import NoReturn
from urllib.parse import urlsplit

from flask import Response, abort, current_app, g, jsonify, make_response, request, session
from flask_wtf.csrf import CSRFError, validate_csrf
from wtforms.validators import ValidationError

from ..db import database
from ..state import current
from ..translation import localized, say

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MARK = "_apiary_browser"
_FOREIGN = say("This request came from another site. Nothing was changed.")

#: Pages of ours: nothing inline, nothing foreign, no markup made by scripts.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
#: Pages that only lead on or say a sentence.
CSP_QUIET = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)


def open_database() -> None:
    """Open a database connection for this request, unless the host has done so."""
    if database.is_closed():
        database.connect()
        g._apiary_opened = True


def close_database(_error: BaseException | None = None) -> None:
    """Close what :func:`open_database` opened."""
    if g.pop("_apiary_opened", False) and not database.is_closed():
        database.close()


def owner() -> str:
    """The id of whoever is signed in; else the request ends here.

    Fetches get 401 and a sentence, pages the way to sign in that Flask-Login is set up with.
    """
    found = current().owner()
    if found is not None:
        return found
    sentence = localized(say("Sign in to see and change your connections."))
    if not wants_json() and hasattr(current_app, "login_manager"):
        response = current_app.login_manager.unauthorized()
        abort(make_response(response))
    if wants_json():
        refuse(401, "signed_out", sentence)
    abort(401, sentence)


def refuse(status: int, code: str, message: str) -> NoReturn:
    """End the request with a sentence as JSON."""
    response = jsonify(code=code, message=message)
    response.status_code = status
    abort(response)


def wants_json() -> bool:
    """Whether a script asks, rather than a browser for a page."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return best == "application/json"


def check_origin() -> None:
    """Refuse what another site makes a browser send."""
    if request.method in _SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site in {"cross-site", "same-site"}:
        abort(403, localized(_FOREIGN))
    origin = request.headers.get("Origin")
    # Plain-http addresses other than loopback send no Sec-Fetch headers: then Origin decides.
    if site is None and origin is not None and _host_of(origin) not in _own_hosts():
        abort(403, localized(_FOREIGN))


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _own_hosts() -> set[str]:
    public = current().settings.public_url
    return {request.host} | ({urlsplit(public).netloc} if public else set())


def check_csrf() -> None:
    """Check the token, in hosts with and without ``CSRFProtect``."""
    # CSRFProtect sets csrf_valid when it has checked the token already.
    if request.method in _SAFE or g.get("csrf_valid"):
        return
    config = current_app.config
    if not config.get("WTF_CSRF_ENABLED", True):
        return
    token = request.form.get(config.get("WTF_CSRF_FIELD_NAME", "csrf_token"))
    try:
        validate_csrf(token or request.headers.get("X-CSRFToken"))
    except ValidationError as error:
        if not request.cookies:
            raise CSRFError(
                localized(
                    say(
                        "Your browser sent no cookie. Allow cookies for this site, reload the page"
                        " and try again. Nothing was changed."
                    )
                )
            ) from None
        raise CSRFError(error.args[0]) from error
    g.csrf_valid = True


def browser() -> str:
    """A mark of this browser and of this login in it, as a hash; made when there is none."""
    if _MARK not in session:
        session[_MARK] = secrets.token_urlsafe(24)
    return sha256(session[_MARK].encode()).hexdigest()


def forget_browser(*_args: object, **_kwargs: object) -> None:
    """A new login is another browser to us, also in hosts that keep the session."""
    session.pop(_MARK, None)


def cookies_stayed_behind() -> bool:
    """Whether another site led here and the browser may have kept cookies back.

    It does so with those that are SameSite=Strict: the session's, or what a host tells its
    users by.
    """
    if request.headers.get("Sec-Fetch-Site") != "cross-site":
        return False
    name = current_app.config["SESSION_COOKIE_NAME"]
    return name not in request.cookies or current().owner() is None


def is_navigation() -> bool:
    """Whether a person follows a link, rather than a scanner, a prefetch or a script."""
    headers = request.headers
    purposes = (headers.get("Sec-Purpose", ""), headers.get("Purpose", ""))
    if request.method != "GET" or any("prefetch" in p or "prerender" in p for p in purposes):
        return False
    return headers.get("Sec-Fetch-Dest", "document") == "document"


def secure_headers(response: Response) -> Response:
    """Headers of every page; a page that needs others has set them already."""
    headers = response.headers
    if request.endpoint == "apiary.static":
        headers.setdefault("X-Content-Type-Options", "nosniff")
        return response
    headers.setdefault("Content-Security-Policy", CSP)
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers["Cache-Control"] = "no-store"
    response.vary.add("Cookie")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
    return response
