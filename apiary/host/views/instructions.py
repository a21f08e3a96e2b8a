"""Keeps what a model is told before the first message."""

from flask import Blueprint, Response, abort, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from .. import conversations, instructions
from ..language import gettext
from ..problems import wants_json
from ..visitors import owner, person, unauthorized
from .inputs import text_or_none

blueprint = Blueprint("instructions", __name__)


@blueprint.before_request
def _only_somebody() -> AnyResponse | None:
    return unauthorized() if person() is None else None


@blueprint.post("/c/<id>/instructions")
def keep(id: str) -> AnyResponse:
    """``text`` for this conversation; null, or a form's ``use=default``, for the default."""
    conversation = conversations.find(owner(), id)
    text = text_or_none("text", instructions.LONGEST)
    if not request.is_json and request.form.get("use") == "default":
        text = None
    instructions.keep(conversation, text)
    return _done(url_for("chat.show", id=conversation.id))


@blueprint.post("/instructions")
def keep_default() -> AnyResponse:
    """``text`` for every conversation that has none of its own."""
    mine = owner()
    text = text_or_none("text", instructions.LONGEST)
    if text is None:
        abort(400, gettext("The text is missing."))
    instructions.keep_default(mine, text)
    return _done(url_for("chat.home"))


def _done(page: str) -> AnyResponse:
    if request.is_json or wants_json():
        return Response(status=204)
    return redirect(page, 303)
