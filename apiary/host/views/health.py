"""For machines that watch over the app: is it alive, may it be asked, what has it counted."""

import hmac
import logging

import peewee
from flask import Blueprint, Response, abort, current_app, jsonify, request

from apiary import database

from .. import limits
from .. import metrics as counters
from ..state import here

_log = logging.getLogger(__name__)
blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> tuple[Response, int]:
    """200 while the database answers, else 503. Reads no session and writes nothing."""
    try:
        database.connect(reuse_if_open=True)
        database.execute_sql("SELECT 1")
    except (peewee.PeeweeException, ValueError):
        # A pool that is exhausted raises a ValueError.
        _log.warning("The health check cannot reach the database", exc_info=True)
        return jsonify(status="the database cannot be reached"), 503
    return jsonify(status="ok"), 200


def early() -> Response | None:
    """Answer before anything else looks at the database; for :meth:`Flask.before_request`."""
    if request.method not in ("GET", "HEAD"):
        return None
    if request.endpoint == "health.readyz":
        return current_app.make_response(readyz())
    return metrics() if request.endpoint == "health.metrics" else None


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """200 when requests can be served, else 503 with the reasons. Reads no session."""
    reasons = here().apiary.ready()
    if reasons:
        return jsonify(status="not ready", reasons=reasons), 503
    return jsonify(status="ready", reasons=[]), 200


@blueprint.get("/metrics")
def metrics() -> Response:
    """What this process has counted, for Prometheus; 404 while there is no operator's token."""
    if not here().settings.operator_token:
        abort(404)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    asked = scheme.lower() == "bearer"
    if asked:
        limits.take_operator()
    if not (asked and is_operators(token.strip())):
        refused = Response("Bearer token needed.\n", 401, mimetype="text/plain")
        refused.headers["WWW-Authenticate"] = "Bearer"
        return refused
    limits.forgive()
    text = here().metrics.text(**counters.gauges())
    return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def is_operators(token: str) -> bool:
    """Whether this is the operator's token; there must be one."""
    right = here().settings.operator_token
    return bool(right) and hmac.compare_digest(token.encode(), right.encode())
