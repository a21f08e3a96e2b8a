"""Takes files that are to go with a message, and shows them to their owner only."""

from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from werkzeug.wrappers import Response as AnyResponse

from .. import attachments
from ..attachments import Unfit
from ..tables import Attachment
from ..visitors import owner, person, unauthorized

blueprint = Blueprint("attachments", __name__)


@blueprint.url_value_preprocessor
def _larger(endpoint: str | None, values: dict[str, Any] | None) -> None:
    # Before anything else looks at the body.
    if endpoint == "attachments.upload":
        request.max_content_length = attachments.LARGEST_IMAGE + 1024


@blueprint.before_request
def _only_somebody() -> AnyResponse | None:
    return unauthorized() if person() is None else None


@blueprint.post("/attachments")
def upload() -> tuple[Response, int]:
    """The body is the file itself; ``?name=`` says how it is called."""
    try:
        kept = attachments.store(owner(), request.args.get("name", ""), request.get_data())
    except Unfit as unfit:
        abort(400, str(unfit))
    return jsonify(as_json(kept)), 201


@blueprint.get("/attachments/<id>")
def show(id: str) -> Response:
    found = attachments.find(owner(), id) if len(id) <= 64 and "\0" not in id else None
    if found is None:
        abort(404)
    response = Response(bytes(found.data), mimetype=found.mime)
    way = "inline" if found.kind == "image" else "attachment"
    response.headers.set("Content-Disposition", way, filename=found.name)
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("/attachments/<id>/delete")
def drop(id: str) -> Response:
    """Forget a file that was not sent."""
    if "\0" not in id:
        attachments.drop(owner(), id)
    return Response(status=204)


def as_json(file: Attachment) -> dict[str, Any]:
    return {"id": file.id, "kind": file.kind, "name": file.name, "size": file.size}
