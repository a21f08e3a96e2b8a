"""``GET /api/v1/key`` and ``GET /api/v1/credits``."""

from __future__ import annotations

from flask import Blueprint, Response

from .ledger import describe
from .replies import as_json, authenticate, failure
from .state import current

blueprint = Blueprint("keyinfo", __name__)


@blueprint.get("/api/v1/key")
@blueprint.get("/api/v1/auth/key")  # the old name, still used by OpenRouter's own CLI
def key() -> Response:
    """Describe the key of the request."""
    if status := current().switches.key_status:
        return failure(status, "Staged by the sandbox")
    found = authenticate()
    if isinstance(found, Response):
        return found
    sandbox, record = found
    return as_json({"data": describe(record, sandbox.now())})


@blueprint.get("/api/v1/credits")
def credit() -> Response:
    """Refuse a user key; one report of 2026 got a 200 with zeros instead."""
    found = authenticate()
    if isinstance(found, Response):
        return found
    if current().switches.credits == "zeros":
        return as_json({"data": {"total_credits": 0, "total_usage": 0}})
    return failure(403, "Only management keys can perform this operation")
