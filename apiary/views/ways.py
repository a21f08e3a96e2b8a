"""The other ways to connect, for when the popup does not work: step down by hand."""

import re
from urllib.parse import parse_qs, urlsplit

from flask import make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from ..oauth import flows, pkce
from ..oauth.connect import Answer
from ..secret import trim
from ..state import current
from .cards import card
from .forms import CodeForm
from .guards import browser, owner
from .pages import ATTEMPT, COOKIE, cookie_lost, problem


def ways(provider: str) -> ResponseReturnValue:
    """The page with all ways, from a new tab down to pasting a key."""
    shown = card(owner(), current().providers[provider], browser())
    return render_template("apiary/connect/ways.html", card=shown, back=_back_word())


def paste_code(provider: str, attempt: str) -> ResponseReturnValue:
    """Exchange a code that was copied by hand; the checks are those of the callback."""
    me, form = owner(), CodeForm()
    found = flows.by_attempt(me, attempt) if ATTEMPT.fullmatch(attempt) else None
    if found is None or found.provider != provider:
        return problem("unknown", 404)
    if found.state == "waiting":
        if found.browser != browser() or found.display != "code":
            return problem("other-browser", 409)
        verifier = request.cookies.get(COOKIE, "")
        if not pkce.matches(verifier, found.challenge):
            return problem(cookie_lost(found), 409)
        code = _code(form.code.data or "") if form.validate() else ""
        if not code:
            return problem("no-code", 422)
        issuer = current().connect.servers[provider].origin
        current().connect.finish(found, verifier, Answer.read({"code": [code]}, issuer))
    response = make_response(redirect(url_for("apiary.index", _anchor=provider), 303))
    response.delete_cookie(COOKIE, path=request.script_root + request.path)
    return response


def _code(pasted: str) -> str:
    """The code in what was pasted: the code alone, or an address with ``code=`` in it."""
    text = trim(pasted)
    if re.match(r"https?://", text):
        return parse_qs(urlsplit(text).query).get("code", [""])[0]
    return text


def _back_word() -> str:
    return "home" if request.args.get("back") == "home" else "settings"
