"""``/sandbox``: the switches by hand, and the last requests."""

from __future__ import annotations

from dataclasses import fields

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from .ledger import PASTE_KEY
from .state import current
from .switches import Switches

blueprint = Blueprint("panel", __name__)


@blueprint.get("/sandbox")
def panel() -> Response:
    """Show switches and journal."""
    return _page()


@blueprint.post("/sandbox")
def change() -> AnyResponse:
    """Set the switches that the form carries, or put everything back."""
    switches = current().switches
    if request.form.get("do") == "reset":
        switches.reset()
        return redirect(url_for("panel.panel"), 303)
    known = {each.name: each for each in fields(Switches)}
    try:
        for name, value in request.form.items():
            if name != "do":
                # The form sends a hidden "0" before each box, so that an empty box counts.
                given = request.form.getlist(name)[-1] if name in known else value
                switches.set(name, given)
    except ValueError as problem:
        return _page(str(problem), 400)
    return redirect(url_for("panel.panel"), 303)


def _page(problem: str = "", status: int = 200) -> Response:
    sandbox = current()
    page = render_template(
        "panel.html",
        spec=fields(Switches),
        switches=sandbox.switches,
        problem=problem,
        paste=PASTE_KEY,
        entries=sandbox.journal.entries()[:-31:-1],
    )
    return make_response(page, status)
