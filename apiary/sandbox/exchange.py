"""``POST /api/v1/auth/keys``: a code and its verifier become a key.

The answers are those of OpenRouter's documentation (guides, authentication, OAuth) and of
its OpenAPI document.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from . import deviations, pkce
from .connection import Connection
from .replies import as_json, failure
from .state import Ask, Refusal, current

blueprint = Blueprint("exchange", __name__)

_PATH = "/api/v1/auth/keys"


@blueprint.post(_PATH)
def exchange() -> Response:
    """Exchange a code, unless a switch stages something else."""
    sandbox = current()
    switches = sandbox.switches
    line = Connection.of(request)
    line.pause(switches.exchange_delay)
    if (staged := deviations.before(switches.exchange, switches.pace, line)) is not None:
        return staged
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        return failure(400, "Invalid request parameters")
    code, verifier = body.get("code"), body.get("code_verifier")
    method = body.get("code_challenge_method")
    if (
        not isinstance(code, str)
        or not isinstance(verifier, str | None)
        or method not in (*pkce.METHODS, None)
    ):
        return failure(400, "Invalid request parameters")

    def fits(ask: Ask) -> None:
        if ask.challenge is None or switches.lenient:
            return
        # The documentation asks for the same value in both steps.
        if method != ask.method:
            raise Refusal(400, "Invalid code_challenge_method")
        if not pkce.matches(verifier or "", ask.challenge, ask.method or "plain"):
            raise Refusal(403, "Invalid code or code_verifier")

    try:
        key, user_id = sandbox.redeem(code, fits)
    except Refusal as refusal:
        return failure(refusal.status, refusal.message)
    staged = deviations.after(switches.exchange, switches.pace, line, key, user_id)
    return staged or as_json({"key": key, "user_id": user_id})


@blueprint.route(_PATH, methods=["GET", "PUT", "PATCH", "DELETE"])
def wrong_method() -> Response:
    """Refuse every method but POST."""
    return failure(405, "Method not allowed", headers={"Allow": "POST"})


@blueprint.route("/api/v1/elsewhere", methods=["GET", "POST"])
def elsewhere() -> Response:
    """Be the trap behind the staged redirect: a client that follows it finds a key here."""
    return as_json({"key": "sk-or-v1-" + "e" * 64, "user_id": "user_elsewhere"})
