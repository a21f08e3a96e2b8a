"""``GET /auth``: sign-in, consent page and the redirect back to the app.

Which parameters there are and what they mean is written in OpenRouter's documentation
(guides, authentication, OAuth) and in its SDKs; ``usage_limit_type`` and ``expires_at`` are
documented only as body fields of ``/auth/keys/code``, with the same checks.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import string
import time
from urllib.parse import quote

from flask import Blueprint, Request, Response, make_response, render_template, request

from . import callback, pkce
from .ledger import ACCOUNTS, account
from .state import Ask, Sandbox, current

blueprint = Blueprint("consent", __name__)

_SESSION = "sandbox_session"
# Minute precision is rejected, as by the real schema.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@blueprint.get("/auth")
def auth() -> Response:
    """Show the consent page, or the sign-in page before it."""
    sandbox = current()
    try:
        ask = _read(request, sandbox)
    except ValueError as problem:
        return _refused(str(problem), 400)
    if sandbox.switches.sign_in and not sandbox.signed_in(request.cookies.get(_SESSION)):
        page = render_template("sign_in.html", ticket=sandbox.ticket(ask))
        return _isolated(make_response(page))
    page = render_template(
        "consent.html",
        ask=ask,
        app=callback.app_name(ask.callback_url) if ask.callback_url else None,
        accounts=ACCOUNTS,
        ticket=sandbox.ticket(ask),
    )
    return _isolated(make_response(page))


@blueprint.post("/sign-in")
def sign_in() -> Response:
    """Sign in and go on to the consent page."""
    sandbox = current()
    ask = sandbox.take_ticket(request.form.get("ticket", ""))
    if ask is None:
        return _used_up()
    answer = _redirect(f"/auth?{ask.query}")
    answer.set_cookie(_SESSION, sandbox.sign_in(), httponly=True, samesite="Lax")
    return answer


@blueprint.post("/auth")
def decide() -> Response:
    """Take the decision and go back to the app."""
    sandbox = current()
    ask = sandbox.take_ticket(request.form.get("ticket", ""))
    if ask is None:
        return _used_up()
    time.sleep(sandbox.switches.auth_delay)
    if request.form.get("decision") != "approve":
        return _denied(sandbox, ask)
    code = sandbox.issue(ask, account(request.form.get("account", "")).id)
    if ask.callback_url is None:
        return _isolated(make_response(render_template("code.html", code=code)))
    answer = {
        "ok": [("code", code)],
        "missing": [],
        "long": [("code", code * 200)],
        "short": [("code", code[:8])],
        "duplicate": [("code", "first" + code), ("code", code)],
    }[sandbox.switches.code]
    return _back(sandbox, ask, ask.callback_url, answer)


def _read(asked: Request, sandbox: Sandbox) -> Ask:
    """Check the parameters, or raise a ValueError with a sentence for the page."""
    given = {name: value for name, value in asked.args.items() if value}
    target = given.get("callback_url")
    if target is not None and (problem := callback.problem(target)):
        raise ValueError(problem)
    challenge, method = given.get("code_challenge"), given.get("code_challenge_method")
    if challenge is None and target is None:
        raise ValueError("Without a callback_url a code_challenge is required.")
    if challenge is None and method is not None:
        raise ValueError("code_challenge_method is given, but code_challenge is not.")
    if challenge is not None:
        # RFC 7636 section 4.3: without a method the challenge is plain.
        method = method or "plain"
        if method not in pkce.METHODS:
            raise ValueError("code_challenge_method must be S256 or plain.")
        if not pkce.well_formed(challenge, method):
            raise ValueError(f"code_challenge is not a well-formed {method} challenge.")
    label = given.get("key_label", "")
    if len(label) > 100:
        raise ValueError("key_label must have at most 100 characters.")
    period = given.get("usage_limit_type")
    if period not in (None, "daily", "weekly", "monthly"):
        raise ValueError("usage_limit_type must be daily, weekly or monthly.")
    return Ask(
        callback_url=target,
        challenge=challenge,
        method=method,
        label=label,
        limit=_amount(given.get("limit")),
        limit_reset=period,
        expires_at=_moment(given.get("expires_at"), sandbox.now()),
        state=asked.args.get("state"),
        query=asked.query_string.decode("ascii", "replace"),
    )


def _amount(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < 1e9:
        raise ValueError("limit must be an amount in US dollars.")
    return amount


def _moment(text: str | None, now: dt.datetime) -> dt.datetime | None:
    if text is None:
        return None
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expires_at must be written YYYY-MM-DDTHH:MM:SSZ.") from None
    if moment <= now:
        raise ValueError("expires_at must lie in the future.")
    return moment


def _denied(sandbox: Sandbox, ask: Ask) -> Response:
    if ask.callback_url is None:
        page = render_template("refused.html", title="Denied", problem="No code was made.")
        return _isolated(make_response(page))
    # Reports disagree on what the app gets: nothing at all, or an error.
    words = "The user denied the request"
    if sandbox.switches.deny == "markup":
        words = "<img src=x onerror=alert(1)><b>denied</b>"
    answer = [("error", "access_denied"), ("error_description", words)]
    return _back(sandbox, ask, ask.callback_url, [] if sandbox.switches.deny == "bare" else answer)


def _back(sandbox: Sandbox, ask: Ask, target: str, answer: list[tuple[str, str]]) -> Response:
    """Redirect to the app. Whether OpenRouter echoes ``state`` is not documented."""
    if ask.state is not None:
        answer = (
            answer
            + {
                "drop": [],
                "echo": [("state", ask.state)],
                "change": [("state", ask.state[::-1] + "x")],
                "duplicate": [("state", "first" + ask.state), ("state", ask.state)],
            }[sandbox.switches.state]
        )
    return _redirect(callback.with_query(target, answer, sandbox.switches.callback_extra))


def _redirect(target: str) -> Response:
    # A header set by hand: flask.redirect would re-encode the app's address, which must come
    # back as it was. ASCII only, because it is a header.
    location = quote(target, safe=string.punctuation)
    return _isolated(Response(status=303, headers={"Location": location}))


def _isolated(answer: Response) -> Response:
    if coop := current().switches.coop:
        answer.headers["Cross-Origin-Opener-Policy"] = coop
    return answer


def _used_up() -> Response:
    return _refused("This page was used already, or is too old. Start again from the app.", 409)


def _refused(problem: str, status: int) -> Response:
    page = render_template("refused.html", title="OpenRouter would refuse this", problem=problem)
    return _isolated(make_response(page, status))
