"""Take a file of conversations in."""

from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from .. import imports
from ..language import gettext
from ..visitors import owner, person, unauthorized

blueprint = Blueprint("imports", __name__)


@blueprint.url_value_preprocessor
def _larger_body(endpoint: str | None, values: dict[str, Any] | None) -> None:
    # Before the check of the token, which reads the whole form already. For files only:
    # fields of a form stay within the limit of all other pages.
    request.max_content_length = imports.LARGEST_FILE + 64 * 1024


@blueprint.post("/account/import")
def take_in() -> AnyResponse:
    if person() is None:
        return unauthorized()
    mine = owner()
    file = request.files.get("file")
    data = b""
    if file:
        with file.stream as stream:
            data = stream.read(imports.LARGEST_FILE + 1)
    if not data:
        return _back(gettext("Choose a file first."), "error")
    if len(data) > imports.LARGEST_FILE:
        return too_large()
    try:
        report = imports.take_in(mine, data)
    except imports.Refused as refused:
        return _back(refused.message, "error")
    return _back(report.sentence(), "notice")


@blueprint.errorhandler(RequestEntityTooLarge)
def too_large(_: object = None) -> AnyResponse:
    return _back(imports.too_large(), "error")


def _back(message: str, category: str) -> AnyResponse:
    flash(message, category)
    return redirect(url_for("accounts.account"), 303)  # what is told stands at the top
