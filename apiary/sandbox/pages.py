"""The pages of a signed-in owner: keys, one key with its revoke button, credits."""

from __future__ import annotations

import datetime as dt

from flask import (
    Blueprint,
    Response,
    abort,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from .ledger import PASTE_KEY, account
from .replies import failure
from .state import current

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def home() -> AnyResponse:
    """Lead to the page with the switches."""
    return redirect(url_for("panel.panel"))


@blueprint.get("/settings/keys")
def keys() -> str:
    """List every key."""
    sandbox = current()
    return render_template(
        "keys.html", keys=sandbox.keys()[::-1], now=sandbox.now(), paste=PASTE_KEY
    )


@blueprint.get("/keys/<key_hash>")
def key(key_hash: str) -> str:
    """Show one key. The address is the documented deep link: the SHA-256 of the key."""
    sandbox = current()
    found = sandbox.by_hash(key_hash)
    if found is None:
        abort(404)
    return render_template(
        "key.html",
        key=found,
        now=sandbox.now(),
        owner=account(found.user_id),
        created=dt.datetime.fromtimestamp(found.created, dt.UTC),
    )


@blueprint.post("/keys/<key_hash>/revoke")
def revoke(key_hash: str) -> AnyResponse:
    """Revoke a key, as its owner can at OpenRouter; the API offers a user key no such call."""
    if not current().revoke(key_hash):
        abort(404)
    return redirect(url_for("pages.key", key_hash=key_hash), 303)


@blueprint.get("/settings/credits")
def credits_page() -> str:
    """Stand in for the page where credits are bought."""
    return render_template("credits.html")


@blueprint.get("/settings/privacy")
def privacy() -> str:
    """Stand in for the privacy settings."""
    return render_template("privacy.html")


@blueprint.app_errorhandler(404)
def missing(_: Exception) -> Response:
    """Answer 404 in the form that fits: JSON below /api/, a page elsewhere."""
    if request.path.startswith("/api/"):
        return failure(404, "Not Found")
    page = render_template(
        "refused.html", title="Not found", problem="There is nothing at this address."
    )
    return make_response(page, 404)
