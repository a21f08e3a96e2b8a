"""What goes wrong, as a calm page for people or as JSON for scripts. Never a traceback."""

import logging

import peewee
from flask import (
    Flask,
    Response,
    current_app,
    g,
    jsonify,
    make_response,
    render_template,
    request,
    url_for,
)
from flask_wtf.csrf import CSRFError
from markupsafe import escape
from werkzeug.exceptions import HTTPException

from apiary import ApiaryError, DatabaseDown, localized

from .conversations import NoSuchConversation
from .language import gettext, lazy_gettext, ngettext, tongue
from .orders import Refusal
from .state import here
from .tries import TooOften

_log = logging.getLogger(__name__)

# Title, and what happened and what to do next.
_TEXTS = {
    400: (
        lazy_gettext("That did not work"),
        lazy_gettext("The request could not be understood. Go back and try again."),
    ),
    401: (
        lazy_gettext("Please sign in"),
        lazy_gettext("This page is for people who have signed in."),
    ),
    403: (lazy_gettext("Not allowed"), lazy_gettext("This is not allowed from here.")),
    404: (
        lazy_gettext("Not found"),
        lazy_gettext("There is nothing here. It may have been deleted."),
    ),
    405: (
        lazy_gettext("Not possible"),
        lazy_gettext("This address does not take that kind of request."),
    ),
    413: (
        lazy_gettext("Too large"),
        lazy_gettext("That was too large to take. Send less at once."),
    ),
    429: (
        lazy_gettext("Too often"),
        lazy_gettext("That was too often in a short time. Wait a moment and try again."),
    ),
    500: (
        lazy_gettext("Something went wrong"),
        lazy_gettext("It is not your fault. The operator finds the reason in the log."),
    ),
    503: (
        lazy_gettext("Just a moment"),
        lazy_gettext("The site cannot answer right now. Try again in a moment."),
    ),
}
_EXPIRED = lazy_gettext("This page is out of date. Go back, reload it and try again.")


def wants_json() -> bool:
    """Whether a script asked rather than a person."""
    accept = request.headers.get("Accept", "")
    return (
        request.is_json
        or "application/json" in accept
        or ("text/event-stream" in accept and "text/html" not in accept)
    )


def problem(
    status: int,
    message: str = "",
    *,
    code: str = "",
    action: str = "",
    retry_after: float | None = None,
    bare: bool = False,
) -> Response:
    """The response for something that went wrong.

    :param retry_after: in seconds.
    :param bare: leave the frame of the site away, which greets who asks.
    """
    title, usual = _TEXTS.get(status, _TEXTS[500 if status >= 500 else 400])
    title, message = str(title), str(message or usual)
    if wants_json():
        body: dict[str, object] = {"code": code or f"http_{status}", "message": message}
        body["action"] = action
        if retry_after is not None:
            body["retry_after"] = retry_after
        response = jsonify(body)
    else:
        page = _bare(title, message) if bare else _page(status, title, message)
        response = make_response(page)
    response.status_code = status
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after)))
    return response


def _page(status: int, title: str, message: str) -> str:
    try:
        return render_template(
            "error.html", status=status, title=title, message=message, back=url_for("chat.home")
        )
    except Exception:
        # A request that is turned away early has no database, nor has one while it is away: then
        # there is nobody to greet.
        return _bare(title, message)


def _bare(title: str, message: str) -> str:
    try:
        # Not render_template: what that brings to every page asks the database who is here.
        page = current_app.jinja_env.get_template("bare.html")
        return page.render(
            tongue().names, title=title, message=message, site_name=here().settings.site_name
        )
    except Exception:
        # An unknown Host leaves nothing to build addresses from.
        return (
            f'<!doctype html><html lang="{tongue().tag}"><title>{escape(title)}</title>'
            f"<h1>{escape(title)}</h1><p>{escape(message)}</p></html>"
        )


def register(app: Flask) -> None:
    """Answer for every error of the app, the plug-in's pages included."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(CSRFError, lambda _: problem(400, _EXPIRED, code="csrf"))
    app.register_error_handler(NoSuchConversation, lambda _: problem(404, code="not_found"))
    app.register_error_handler(TooOften, _too_often)
    app.register_error_handler(Refusal, _refusal)
    app.register_error_handler(ApiaryError, _apiary)
    app.register_error_handler(DatabaseDown, _database)
    app.register_error_handler(peewee.PeeweeException, _database)
    app.register_error_handler(Exception, _unexpected)


def _http(error: HTTPException) -> Response | HTTPException:
    status = error.code or 500
    if status < 400:
        return error
    # Sentences of our own are worth showing; those that come with the framework are not.
    default = type(error).description
    said = error.description if error.description != default else None
    response = problem(status, said if status in (400, 403, 429, 503) and said else "")
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def _too_often(error: TooOften) -> Response:
    seconds = error.wait
    return problem(
        429,
        ngettext(
            "That was too often in a short time. Try again in %(num)s second.",
            "That was too often in a short time. Try again in %(num)s seconds.",
            seconds,
        ),
        code="too_often",
        action="wait",
        retry_after=seconds,
    )


def _refusal(error: Refusal) -> Response:
    return problem(
        error.status,
        error.message,
        code=error.code,
        action=error.action,
        retry_after=error.retry_after,
    )


def _apiary(error: ApiaryError) -> Response:
    return problem(502, localized(error.message), code=error.code, action=error.action)


def _database(error: Exception) -> Response:
    _log.error("The database failed", exc_info=error)
    known = localized(error.message) if isinstance(error, DatabaseDown) else ""
    return problem(
        503,
        known or gettext("The database cannot be used right now. Try again in a moment."),
        code="database",
        action="retry",
        # Who asks could not be found, and to look again would take as long as it did before.
        bare="_login_user" not in g,
    )


def _unexpected(error: Exception) -> Response:
    # The route, not the address: that may hold what is the user's, or a one-time id.
    _log.error("A request failed: %s %s", request.method, request.url_rule, exc_info=error)
    return problem(500)
