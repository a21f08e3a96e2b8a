"""The Connect pages: the start in the popup, the callback, the status and the last page."""

from functools import partial
from typing import Any
from urllib.parse import urlsplit

from flask import (
    Response,
    abort,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue

from .. import blueprint
from ..config import is_loopback
from ..oauth import flows, pkce
from ..oauth.connect import Answer, other_account, read_limit
from ..oauth.flows import Flow
from ..state import current
from ..translation import localized, say, spoken
from . import pages
from .cards import card
from .forms import ConnectForm
from .guards import browser, cookies_stayed_behind, is_navigation, owner, wants_json


def start(provider: str) -> ResponseReturnValue:
    """Begin a flow and lead on to the provider's page.

    The answer is a page that leads on, not a redirect: Chromium applies form-action to every
    redirect of a form's submission, which would block it (measured, version 156).
    """
    me, form = owner(), ConnectForm()
    if not form.validate():
        abort(400, localized(say("This form does not look like ours. Nothing was started.")))
    display = form.display.data or "page"
    attempt = form.attempt.data or pkce.new_verifier()
    try:
        limit = read_limit(form.limit.data or "")
    except ValueError:
        return _refuse(me, provider, attempt, "limit", 422)
    site = _site()
    callback = None
    # Where the code is copied by hand nothing leads back here, so our own address is not needed.
    if display != "code":
        if site is None:
            return _refuse(me, provider, attempt, "address", 409)
        if urlsplit(site).netloc != request.host:
            return _elsewhere(site)
        callback = partial(blueprint.callback, site, provider)
    try:
        started = current().connect.start(
            me,
            provider,
            browser=browser(),
            attempt=attempt,
            display=display,
            back=form.back.data or "settings",
            limit=limit,
            callback=callback,
        )
    except flows.AttemptUsed:
        return pages.problem("used", 409)
    label = current().connect.servers[provider].label
    if started.callback is None:
        return pages.code(provider, attempt, label, started)
    return pages.hop(label, started.callback, started)


def _refuse(me: str, provider: str, attempt: str, reason: str, status: int) -> Response:
    """Say what hinders, in this window and to the page that waits for it."""
    _, text = pages.PROBLEMS[reason]
    flows.refuse(me, provider, browser(), attempt, "failed", text)
    return pages.problem(reason, status)


def returned(provider: str) -> ResponseReturnValue:
    """For servers that lead back to one fixed address: the flow stands in ``state``.

    The flow's cookie is sent to the flow's own address only.
    """
    states = request.args.getlist("state")
    if len(states) != 1 or not pages.ATTEMPT.fullmatch(states[0]):
        return _lead("apiary.trouble", provider=provider, reason="unknown")
    kept = {name: request.args.getlist(name) for name in ("code", "error", "iss")}
    return _lead("apiary.callback", provider=provider, flow=states[0], **kept)


def callback(provider: str, flow: str) -> ResponseReturnValue:
    """Where the provider sends the browser back to. Every branch leads to a clean address.

    All checks come before the flow is taken, and the flow is taken before anything is dialled.
    """
    if not is_navigation():
        # Link scanners and prefetches must not use up what a person is about to follow.
        response = pages.quiet(make_response("", 204))
        return response
    if cookies_stayed_behind():
        return pages.once_more()
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
        verifier = request.cookies.get(pages.COOKIE, "")
        if not pkce.matches(verifier, found.challenge):
            return _lead("apiary.trouble", provider=provider, reason=pages.cookie_lost(found))
        issuer = current().connect.servers[provider].origin
        answer = Answer.read(request.args.to_dict(flat=False), issuer)
        current().connect.finish(found, verifier, answer)
    response = _lead("apiary.done", provider=provider, attempt=found.attempt)
    response.delete_cookie(pages.COOKIE, path=request.script_root + request.path)
    return response


def status(provider: str, attempt: str) -> ResponseReturnValue:
    """How the owner's attempt stands, as JSON."""
    found = _mine(provider, attempt)
    if found is None:
        sentence = localized(say("This attempt has not arrived yet."))
        return jsonify(code="unknown_attempt", message=sentence), 404
    return jsonify(_status(found))


def cancel(provider: str, attempt: str) -> ResponseReturnValue:
    """End an attempt that still waits, or the question about a held key."""
    me = owner()
    if not pages.ATTEMPT.fullmatch(attempt):
        abort(404)
    found = _mine(provider, attempt)
    if found and found.held:
        flows.end(
            me,
            attempt,
            "cancelled",
            say(
                "The old connection was kept. The new key was deleted here; it still exists in the"
                " other account."
            ),
            was=("exchanging",),
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
    return pages.quiet(make_response(page))


def trouble(provider: str, reason: str) -> ResponseReturnValue:
    """A page for what has no flow to show."""
    if reason not in pages.PROBLEMS:
        abort(404)
    return pages.problem(reason, 200)


def _mine(provider: str, attempt: str) -> Flow | None:
    me = owner()
    found = flows.by_attempt(me, attempt) if pages.ATTEMPT.fullmatch(attempt) else None
    return found if found and found.provider == provider else None


def _status(found: Flow) -> dict[str, object]:
    connection = current().vault.last(found.owner, found.provider)
    return spoken(
        {
            "state": found.state,
            "message": found.message,
            "version": connection.version if connection else 0,
            "expires_in": found.expires_in,
            "question": other_account(found, connection),
        }
    )


def _settled(provider: str, attempt: str) -> ResponseReturnValue:
    found = _mine(provider, attempt)
    if found is None:
        abort(404)
    if wants_json():
        shown = card(found.owner, current().providers[provider], notice=found.message)
        return jsonify(_status(found) | {"card": spoken(shown.json())})
    return redirect(_back(found), 303)


def _back(found: Flow) -> str:
    home = current().home
    if found.back == "home" and home and not found.held:
        return url_for(home)
    return url_for("apiary.index", _anchor=found.provider)


def _lead(endpoint: str, **values: Any) -> Response:
    response = make_response(redirect(url_for(endpoint, **values), 303))
    response.set_data(b"")
    return pages.quiet(response)


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


def _elsewhere(site: str) -> Response:
    """The cookie must be set for the name that the provider leads back to."""
    page = render_template(
        "apiary/connect/problem.html",
        title=say("Open this site under its own address"),
        text=say(
            "Connect works under the address below only, because the provider leads back to it."
        ),
        link=site + "/",
    )
    return pages.quiet(make_response(page, 409))
