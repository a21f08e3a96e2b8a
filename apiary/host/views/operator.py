"""The operator's page: what the doctor says, versions and counts. The token is the only key."""

import platform
import sqlite3
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import peewee
from flask import Blueprint, Response, abort, make_response, render_template, request

from apiary import database

from .. import limits
from ..language import gettext
from ..state import here
from ..tables import Account, Conversation, Message
from .forms import OperatorForm
from .health import is_operators

blueprint = Blueprint("operator", __name__)
_PACKAGES = ("flask-apiary", "flask", "werkzeug", "peewee", "httpx", "cryptography", "gunicorn")


@blueprint.route("/operator", methods=["GET", "POST"])
def show() -> Response:
    """Ask for the token, or show the page to who brings it. Nothing remembers the operator.

    The token comes as a field of the form, or by ``Authorization: Bearer`` from a program.
    """
    if not here().settings.operator_token:
        abort(404)
    form = OperatorForm()
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else (form.token.data or "").strip()
    if not token:
        return _page(form, 400 if request.method == "POST" else 200)
    if not is_operators(token):
        return _page(form, 403, error=gettext("This is not the operator's token."))
    limits.forgive()
    dial = form.dial.data if request.method == "POST" else False
    return _page(
        form,
        200,
        checks=here().apiary.doctor(offline=not dial),
        versions=_versions(),
        counts=_counts(),
    )


def _page(form: OperatorForm, status: int, **values: Any) -> Response:
    return make_response(render_template("operator.html", form=form, **values), status)


def _versions() -> list[tuple[str, str]]:
    found = [("Python", platform.python_version()), ("SQLite", sqlite3.sqlite_version)]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    if isinstance(database.obj, peewee.PostgresqlDatabase):
        found.append(("PostgreSQL", str(_first("SHOW server_version"))))
    return found


def _first(sql: str) -> object:
    run: Callable[[str], Any] = database.execute_sql
    return run(sql).fetchone()[0]


def _counts() -> list[tuple[str, int]]:
    members = Account.select().where(Account.name.is_null(False)).count()
    return [
        (gettext("members"), members),
        (gettext("guests"), Account.select().count() - members),
        (gettext("conversations"), Conversation.select().count()),
        (gettext("messages"), Message.select().count()),
        (gettext("answers being written, by this process"), len(here().answers.all_running())),
    ]
