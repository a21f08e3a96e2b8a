"""``/api/v1/models`` and its relatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from . import catalogue
from .replies import as_json, authenticate, failure
from .state import bearer, current

blueprint = Blueprint("listing", __name__)

_LIMIT, _LIMIT_MAX = 500, 1000
_FILTERS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "input_modalities": lambda model: model["architecture"]["input_modalities"],
    "supported_parameters": lambda model: model["supported_parameters"],
    "model_authors": lambda model: [model["id"].partition("/")[0].lstrip("~")],
}


@blueprint.get("/api/v1/models")
def models() -> Response:
    """List the models. No key is needed, but a dead one is refused even here."""
    if status := current().switches.models_status:
        return failure(status, "Staged by the sandbox")
    if bearer(request):
        found = authenticate()
        if isinstance(found, Response):
            return found
    return _page("/api/v1/models", _wanted())


@blueprint.get("/api/v1/models/user")
def models_of_user() -> Response:
    """List the models that this key's owner may use: here, all of them."""
    found = authenticate()
    if isinstance(found, Response):
        return found
    return _page("/api/v1/models/user", list(catalogue.models()))


@blueprint.get("/api/v1/models/count")
def count() -> Response:
    """Count the models."""
    return as_json({"data": {"count": len(_wanted())}})


@blueprint.get("/api/v1/model/<path:model_id>")
def one(model_id: str) -> Response:
    """Describe one model; an alias leads to its target."""
    model = catalogue.find(model_id)
    if model is None:
        return failure(404, f"Model {model_id} not found")
    return as_json({"data": model})


def _wanted() -> list[dict[str, Any]]:
    """Apply the documented filters that a picker may use."""
    chosen = list(catalogue.models())
    if needle := request.args.get("q", "").lower():
        chosen = [m for m in chosen if needle in m["id"] or needle in m["name"].lower()]
    outputs = set(request.args.get("output_modalities", "text").split(","))
    if "all" not in outputs:
        chosen = [m for m in chosen if outputs & set(m["architecture"]["output_modalities"])]
    for name, values in _FILTERS.items():
        if asked := set(filter(None, request.args.get(name, "").split(","))):
            chosen = [m for m in chosen if asked <= set(values(m))]
    return chosen


def _page(path: str, chosen: list[dict[str, Any]]) -> Response:
    """Cut out a page. Without offset and limit the whole list comes (paging is opt-in)."""
    try:
        offset = int(request.args.get("offset", 0))
        limit = int(request.args.get("limit", _LIMIT))
    except ValueError:
        offset = limit = -1
    if offset < 0 or not 1 <= limit <= _LIMIT_MAX:
        return failure(400, "Invalid request parameters")
    paged = "offset" in request.args or "limit" in request.args
    page = chosen[offset : offset + limit] if paged else chosen
    following = None
    if paged and offset + limit < len(chosen):
        args = request.args.to_dict() | {"offset": str(offset + limit), "limit": str(limit)}
        following = f"{path}?{urlencode(args)}"
    return as_json({"data": page, "total_count": len(chosen), "links": {"next": following}})
