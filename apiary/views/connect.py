"""The Connect pages: the start in the popup, the callback, the status and the last page."""

import re
from typing import Any
from urllib.parse import urlsplit

from flask import (
    Response,
    abort,
    current_app,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue

from ..config import is_loopback
from ..oauth import flows, pkce
from ..oauth.connect import Answer, other_account, read_limit
from ..oauth.flows import Flow
from ..state import current
from .cards import card
from .forms import ConnectForm
from .guards import CSP_QUIET, browser, is_navigation, owner, wants_json

COOKIE = "apiary_flow"
_ATTEMPT = re.compile(r"[A-Za-z0-9_-]{16,64}")

#: Endings that have no flow of this browser's to show. Each has a clean address.
PROBLEMS = {
    "unknown": (
        "This link is not valid any more",
        "It was used already, or it is too old. Nothing was saved. Go back to the settings and"
        " press Connect again.",
    ),
    "other-browser": (
        "This was started in another browser",
        "Nothing was saved. Go back to the browser where you pressed Connect, or start again"
        " here. If this is the same browser, it did not send its cookie: allow cookies for this"
        " site.",
    ),
    "other-account": (
        "You changed account while connecting",
        "Connect was pressed by another account of this site than the one signed in now."
        " Nothing was saved. Start again from the settings.",
    ),
    "signed-out": (
        "You were signed out while connecting",
        "Nothing was saved. Sign in and press Connect again.",
    ),
    "used": (
        "This attempt has ended already",
        "It was cancelled, or it is an old page. Nothing was saved. Go back to the settings and"
        " press Connect again.",
    ),
    "address": (
        "Connect is not possible from this address",
        "This site's own address is not known. Its operator has to set APIARY_PUBLIC_URL to the"
        " address that browsers see. Nothing was saved; you can still paste a key of another"
        " provider.",
    ),
    "limit": (
        "That is not an amount",
        "The spending cap must be an amount in US dollars, such as 5 or 12.50. Nothing was"
        " started.",
    ),
}


def start(provider: str) -> ResponseReturnValue:
    """Begin a flow and lead on to the provider's page.

    The answer is a page that leads on, not a redirect: Chromium applies form-action to every
    redirect of a form's submission, which would block it (measured, version 156).
    """
    me, form = owner(), ConnectForm()
    if not form.validate():
        abort(400, "This form does not look like ours. Nothing was started.")
    try:
        limit = read_limit(form.limit.data or "")
    except ValueError:
        return problem("limit", 422)
    site = _site()
    if site is None:
        return problem("address", 409)
    if urlsplit(site).netloc != request.host:
        return _elsewhere(site)
    try:
        started = current().connect.start(
            me,
            provider,
            browser=browser(),
            attempt=form.attempt.data or pkce.new_verifier(),
            display=form.display.data or "page",
            back=form.back.data or "settings",
            limit=limit,
            callback=lambda flow: _external("apiary.callback", site, provider=provider, flow=flow),
        )
    except flows.AttemptUsed:
        return problem("used", 409)
    server = current().connect.servers[provider]
    page = render_template("apiary/connect/hop.html", url=started.url, label=server.label)
    response = _quiet(make_response(page))
    response.set_cookie(
        COOKIE,
        started.verifier,
        max_age=flows.LIFETIME,
        # Its own flow's path only, so that flows in two windows do not meet.
        path=urlsplit(started.callback).path,
        secure=started.callback.startswith("https:"),
        httponly=True,
        samesite="Lax",
    )
    return response


def callback(provider: str, flow: str) -> ResponseReturnValue:
    """Where the provider sends the browser back to. Every branch leads to a clean address.

    All checks come before the flow is taken, and the flow is taken before anything is dialled.
    """
    if not is_navigation():
        # Link scanners and prefetches must not use up what a person is about to follow.
        response = _quiet(make_response("", 204))
        return response
    found = flows.find(flow)
    me = current().owner()
    if me is None:
        return _lead("apiary.trouble", provider=provider, reason="signed-out")
    if found is None or found.provider != provider:
        return _lead("apiary.trouble", provider=provider, reason="unknown")
    if found.owner != me:
        return _lead("apiary.trouble", provider=provider, reason="other-account")
    if found.browser != browser():
        return _lead("apiary.trouble", provider=provider, reason="other-browser")
    if found.state == "waiting":
        verifier = request.cookies.get(COOKIE, "")
        if not pkce.matches(verifier, found.challenge):
            return _lead("apiary.trouble", provider=provider, reason="other-browser")
        issuer = current().connect.servers[provider].origin
        answer = Answer.read(request.args.to_dict(flat=False), issuer)
        current().connect.finish(found, flow, verifier, answer)
        if answer.code is not None:
            current().client.drop_list(me, provider)
    response = _lead("apiary.done", provider=provider, attempt=found.attempt)
    response.delete_cookie(COOKIE, path=request.script_root + request.path)
    return response


def status(provider: str, attempt: str) -> ResponseReturnValue:
    """How the owner's attempt stands, as JSON."""
    found = _mine(provider, attempt)
    if found is None:
        response = jsonify(code="unknown_attempt", message="This attempt has not arrived yet.")
        return response, 404
    return jsonify(_status(found))


def cancel(provider: str, attempt: str) -> ResponseReturnValue:
    """End an attempt that still waits, or the question about a held key."""
    me = owner()
    if not _ATTEMPT.fullmatch(attempt):
        abort(404)
    found = _mine(provider, attempt)
    if found and found.held:
        flows.end(
            me,
            attempt,
            "cancelled",
            "The old connection was kept. The new key was deleted here; it still exists in the"
            " other account.",
            was="exchanging",
        )
    else:
        flows.cancel(me, provider, browser(), attempt)
    return _settled(provider, attempt)


def replace(provider: str, attempt: str) -> ResponseReturnValue:
    """The owner's yes to a key of another account."""
    current().connect.replace(owner(), attempt)
    return _settled(provider, attempt)


def done(provider: str, attempt: str) -> ResponseReturnValue:
    """The popup's last page: tells the settings page and closes, or is the way back."""
    found = _mine(provider, attempt)
    if found is None:
        return _lead("apiary.trouble", provider=provider, reason="unknown")
    if found.display == "page":
        return redirect(_back(found), 303)
    page = render_template(
        "apiary/connect/done.html",
        flow=found,
        back=_back(found),
        label=current().connect.servers[provider].label,
        question=other_account(found, current().vault.get(found.owner, provider)),
    )
    return _quiet(make_response(page))


def trouble(provider: str, reason: str) -> ResponseReturnValue:
    """A page for what has no flow to show."""
    if reason not in PROBLEMS:
        abort(404)
    return problem(reason, 200)


def problem(reason: str, status: int) -> Response:
    title, text = PROBLEMS[reason]
    page = render_template("apiary/connect/problem.html", title=title, text=text)
    return _quiet(make_response(page, status))


def _mine(provider: str, attempt: str) -> Flow | None:
    me = owner()
    found = flows.by_attempt(me, attempt) if _ATTEMPT.fullmatch(attempt) else None
    return found if found and found.provider == provider else None


def _status(found: Flow) -> dict[str, object]:
    connection = current().vault.last(found.owner, found.provider)
    return {
        "state": found.state,
        "message": found.message,
        "version": connection.version if connection else 0,
        "expires_in": found.expires_in,
        "question": other_account(found, connection),
    }


def _settled(provider: str, attempt: str) -> ResponseReturnValue:
    found = _mine(provider, attempt)
    if found is None:
        abort(404)
    if wants_json():
        shown = card(found.owner, current().providers[provider], notice=found.message)
        return jsonify(_status(found) | {"card": shown.json()})
    return redirect(_back(found), 303)


def _back(found: Flow) -> str:
    home = current().home
    if found.back == "home" and home and not found.held:
        return url_for(home)
    return url_for("apiary.index", _anchor=found.provider)


def _lead(endpoint: str, **values: Any) -> Response:
    response = make_response(redirect(url_for(endpoint, **values), 303))
    response.set_data(b"")
    return _quiet(response)


def _quiet(response: Response) -> Response:
    """For pages on the popup's way: no referrer to anybody, no policy that severs the opener."""
    response.headers["Content-Security-Policy"] = CSP_QUIET
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    return response


def _site() -> str | None:
    """This site's address as browsers see it. Nothing that a request says goes into it.

    Without APIARY_PUBLIC_URL only this machine itself is known: the name is one of three, the
    port is the one that the server listens on.
    """
    public = current().settings.public_url
    if public:
        return public
    name = urlsplit(f"//{request.host}").hostname
    if not is_loopback(name):
        return None
    shown = f"[{name}]" if name and ":" in name else name
    port = request.environ.get("SERVER_PORT", "80")
    return f"http://{shown}" + ("" if port == "80" else f":{port}") + request.script_root


def _external(endpoint: str, site: str, **values: str) -> str:
    parts = urlsplit(site)
    adapter = current_app.url_map.bind(
        parts.netloc, script_name=parts.path or "/", url_scheme=parts.scheme
    )
    return adapter.build(endpoint, values, force_external=True)


def _elsewhere(site: str) -> Response:
    """The cookie must be set for the name that the provider leads back to."""
    page = render_template(
        "apiary/connect/problem.html",
        title="Open this site under its own address",
        text="Connect works under the address below only, because the provider leads back to it.",
        link=site + "/",
    )
    return _quiet(make_response(page, 409))
