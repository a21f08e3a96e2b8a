"""Whether the app is alive, for whoever watches over it."""

import logging

import peewee
from flask import Blueprint, Response, jsonify

from apiary import database

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
