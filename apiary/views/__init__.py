"""The plug-in's web edge: its pages, one blueprint for each app."""

import logging
from collections.abc import Iterable, Mapping
from typing import cast

import flask_login
from flask import Blueprint, Flask, current_app, jsonify, render_template
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup
from werkzeug.exceptions import ServiceUnavailable

from .. import db as db
from .._assets import STATIC, TEMPLATES
from ..blueprint import Pages
from ..errors import DatabaseDown
from ..oauth.connect import AuthServer
from ..state import current
from ..translation import language, localized
from . import connect, guards, settings, ways
from .cards import card

_log = logging.getLogger("apiary")


def make_blueprint(
    servers: Mapping[str, AuthServer],
    url_prefix: str,
    host: str | None = None,
    subdomain: str | None = None,
) -> Blueprint:
    """The pages for one app. What the flag does not allow has no route at all.

    :param servers: the OAuth servers that are switched on, by provider.
    """
    pages = Pages(
        "apiary",
        "apiary",
        url_prefix=url_prefix,
        host=host,
        subdomain=subdomain,
        template_folder=str(TEMPLATES),
        static_folder=str(STATIC / "apiary"),
        static_url_path="/static",
    )
    pages.before_request(guards.check_origin)
    pages.before_request(guards.check_csrf)
    pages.before_request(guards.open_database)
    pages.teardown_request(guards.close_database)
    pages.after_request(guards.secure_headers)
    for kind in (DatabaseDown, *db.ERRORS):
        pages.register_error_handler(kind, _database_failed)
    pages.record_once(lambda setup: _wire(cast(Flask, setup.app)))

    pages.add_url_rule("/", "index", settings.index)
    pages.add_url_rule("/<provider>", "card", settings.show)
    pages.add_url_rule("/<provider>/key", "save_key", settings.save_key, methods=["POST"])
    pages.add_url_rule("/<provider>/check", "check", settings.check, methods=["POST"])
    pages.add_url_rule(
        "/<provider>/disconnect", "disconnect", settings.disconnect, methods=["POST"]
    )
    if servers:
        who = _one_of(servers)
        post = ["POST"]
        pages.add_url_rule(f"{who}/connect", "connect", connect.start, methods=post)
        pages.add_url_rule(f"{who}/callback/<flow>", "callback", connect.callback)
        pages.add_url_rule(f"{who}/flows/<attempt>", "flow", connect.status)
        pages.add_url_rule(f"{who}/flows/<attempt>/cancel", "cancel", connect.cancel, methods=post)
        pages.add_url_rule(
            f"{who}/flows/<attempt>/replace", "replace", connect.replace, methods=post
        )
        pages.add_url_rule(
            f"{who}/flows/<attempt>/code", "paste_code", ways.paste_code, methods=post
        )
        pages.add_url_rule(f"{who}/ways", "ways", ways.ways)
        pages.add_url_rule(f"{who}/done/<attempt>", "done", connect.done)
        pages.add_url_rule(f"{who}/trouble/<reason>", "trouble", connect.trouble)
    fixed = [name for name, server in servers.items() if server.one_callback]
    if fixed:
        who = _one_of(fixed)
        pages.add_url_rule(f"{who}/callback", "returned", connect.returned)
    return pages


def _one_of(names: Iterable[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"/<any({quoted}):provider>"


def _database_failed(error: Exception) -> ResponseReturnValue:
    """503 and a sentence. A page looks as the host's own page for that status does."""
    sentence = localized(db.sentence(error))
    _log.error("a page of the settings could not use the database", exc_info=error)
    if guards.wants_json():
        return jsonify(code="database", message=sentence), 503
    return current_app.handle_user_exception(ServiceUnavailable(sentence))


def _wire(app: Flask) -> None:
    """What the pages need from the app around them."""
    app.jinja_env.globals["apiary_card"] = _card
    app.jinja_env.globals["apiary_csrf_token"] = generate_csrf
    app.jinja_env.globals["apiary_language"] = language
    # A weak reference would be gone at once: the handlers live as long as their module.
    flask_login.user_logged_in.connect(guards.forget_browser, app)
    flask_login.user_logged_out.connect(guards.forget_browser, app)


def _card(provider: str, back: str = "settings") -> Markup | str:
    """One card, for a page of the host's own; "" when nobody is signed in.

    The host's page loads ``settings.js`` and ``apiary.css`` from the ``apiary.static`` endpoint.
    """
    owner = current().owner()
    found = current().providers.get(provider)
    if owner is None or found is None:
        return ""
    with db.answering():
        shown = card(owner, found, guards.browser())
    # Rendered by Jinja with autoescape, so it may stand in another page as it is.
    return Markup(render_template("apiary/settings/card_alone.html", card=shown, back=back))
