"""Pin a conversation, and take a deletion back."""

from flask import Blueprint, Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from .. import conversations, shelf
from ..problems import wants_json
from ..visitors import owner, person, unauthorized

blueprint = Blueprint("shelf", __name__)


@blueprint.before_request
def _only_somebody() -> AnyResponse | None:
    return unauthorized() if person() is None else None


@blueprint.post("/c/<id>/pin")
def pin(id: str) -> AnyResponse:
    conversation = conversations.find(owner(), id)
    shelf.pin(conversation, True)
    return _shown(id)


@blueprint.post("/c/<id>/unpin")
def unpin(id: str) -> AnyResponse:
    conversation = conversations.find(owner(), id)
    shelf.pin(conversation, False)
    return _shown(id)


@blueprint.post("/c/<id>/restore")
def restore(id: str) -> AnyResponse:
    shelf.restore(owner(), id)
    if not request.is_json and not wants_json():
        flash("The conversation is back.", "notice")
    return _shown(id)


def _shown(id: str) -> AnyResponse:
    if request.is_json or wants_json():
        return Response(status=204)
    return redirect(url_for("chat.show", id=id), 303)
