"""Search: JSON for the page's script, a page of its own for everybody else."""

from typing import Any

from flask import Blueprint, jsonify, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from ..problems import wants_json
from ..search import Found, Result, search
from ..visitors import owner, person, unauthorized

blueprint = Blueprint("search", __name__)


@blueprint.get("/search")
def index() -> AnyResponse | str:
    if person() is None:
        return unauthorized()
    found = search(owner(), request.args.get("q", ""))
    if wants_json():
        return jsonify(_json(found))
    return render_template("search.html", found=found, address=_address)


def _json(found: Found) -> dict[str, Any]:
    return {
        "query": found.query.text,
        "more": found.more,
        "results": [
            {
                "url": _address(result),
                "title": result.title,
                "role": result.role,
                "snippet": result.snippet,
                "updated": result.updated,
            }
            for result in found.results
        ],
    }


def _address(result: Result) -> str:
    place = f"m-{result.message}" if result.message else None
    return url_for("chat.show", id=result.conversation, _anchor=place)
