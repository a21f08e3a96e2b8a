"""What was used, as pictures with tables behind them, and as a file."""

from flask import Blueprint, Response, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from .. import exports, payers, usage
from ..state import here
from ..visitors import owner, person, unauthorized

blueprint = Blueprint("usage", __name__)


@blueprint.before_request
def _only_somebody() -> AnyResponse | None:
    return unauthorized() if person() is None else None


@blueprint.get("/usage")
def index() -> str:
    days = _days()
    connections = here().apiary.connections(owner())
    return render_template(
        "usage.html",
        usage=usage.summary(usage.lines(owner(), days), days),
        days=days,
        periods=usage.PERIODS,
        budgets=[c for c in connections if c.state == "connected" and c.facts.known],
        label_of=payers.label_of,
        dollars=usage.dollars,
    )


@blueprint.get("/usage.csv")
def table() -> Response:
    days = _days()
    text = usage.as_csv(usage.lines(owner(), days))
    return exports.attachment(text, "text/csv", f"apiary-usage-{days}-days.csv")


def _days() -> int:
    wanted = request.args.get("days", "")
    return int(wanted) if wanted in {str(days) for days in usage.PERIODS} else 30
