"""The list of conversations: more of it, folders, pins, and deletions taken back."""

from flask import Blueprint, Response, flash, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from .. import conversations, shelf
from ..language import gettext
from ..problems import wants_json
from ..visitors import owner, person, unauthorized
from . import inputs

blueprint = Blueprint("shelf", __name__)


@blueprint.before_request
def _only_somebody() -> AnyResponse | None:
    return unauthorized() if person() is None else None


@blueprint.get("/conversations")
def older() -> Response:
    """The part of the list that follows the first ``?after=`` ones."""
    text = request.args.get("after", "")
    after = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
    found = conversations.listed(owner(), after)
    return jsonify(
        conversations=[
            {
                "url": url_for("chat.show", id=one.id),
                "title": one.title,
                "pinned": one.pinned is not None,
            }
            for one in found
        ],
        more=len(found) == conversations.LISTED,
    )


@blueprint.post("/folders/move")
def move() -> Response:
    """Put ``conversations`` into ``folder``; null takes them out of theirs."""
    shelf.move(owner(), inputs.ids("conversations"), inputs.folder("folder", or_none=True))
    return Response(status=204)


@blueprint.post("/folders/rename")
def rename_folder() -> Response:
    """Call ``folder`` by another ``name``."""
    shelf.rename_folder(owner(), str(inputs.folder("folder")), str(inputs.folder("name")))
    return Response(status=204)


@blueprint.post("/folders/delete")
def delete_folder() -> Response:
    """Take everything out of ``folder``; says what lay in it, for the way back."""
    return jsonify(conversations=shelf.delete_folder(owner(), str(inputs.folder("folder"))))


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
        flash(gettext("The conversation is back."), "notice")
    return _shown(id)


def _shown(id: str) -> AnyResponse:
    if request.is_json or wants_json():
        return Response(status=204)
    return redirect(url_for("chat.show", id=id), 303)
