"""The small pages on a flow's way: leading on, taking a code, saying what went wrong."""

import re
from urllib.parse import urlsplit

from flask import Response, make_response, render_template, request, url_for

from ..oauth import flows
from ..oauth.connect import Started
from ..oauth.flows import Flow
from ..translation import say
from .guards import CSP_QUIET

COOKIE = "apiary_flow"
ATTEMPT = re.compile(r"[A-Za-z0-9_-]{16,64}")

#: Endings that have no flow of this browser's to show. Each has a clean address.
PROBLEMS = {
    "unknown": (
        say("This link is not valid any more"),
        say(
            "It was used already, or it is too old. Nothing was saved. Go back to the"
            " settings and press Connect again."
        ),
    ),
    "other-browser": (
        say("This was started in another browser"),
        say(
            "Nothing was saved. Go back to the browser where you pressed Connect, or start"
            " again here. If this is the same browser, it did not send its cookie: allow"
            " cookies for this site."
        ),
    ),
    "cookie": (
        say("The cookie of this attempt is gone"),
        say(
            "Your browser did not send the cookie of this attempt. Nothing was saved. Allow"
            " cookies for this site and press Connect again."
        ),
    ),
    "other-account": (
        say("You changed account while connecting"),
        say(
            "Connect was pressed by another account of this site than the one signed in now."
            " Nothing was saved. Start again from the settings."
        ),
    ),
    "signed-out": (
        say("You were signed out while connecting"),
        say("Nothing was saved. Sign in and press Connect again."),
    ),
    "used": (
        say("This attempt has ended already"),
        say(
            "It was cancelled, or it is an old page. Nothing was saved. Go back to the"
            " settings and press Connect again."
        ),
    ),
    "address": (
        say("Connect is not possible from this address"),
        say(
            "This site's own address is not known. Its operator has to set APIARY_PUBLIC_URL"
            " to the address that browsers see. Nothing was saved; you can still paste a key"
            " of another provider."
        ),
    ),
    "no-code": (
        say("There is no code in that"),
        say(
            "Copy the whole code that the provider shows and paste it. Go back to try again;"
            " the attempt still waits."
        ),
    ),
    "limit": (
        say("That is not an amount"),
        say(
            "The spending cap must be an amount in US dollars, such as 5 or 12.50. Nothing"
            " was started."
        ),
    ),
}


def once_more() -> Response:
    """A page of ours that leads to this same address: what it leads to is sent every cookie."""
    here = request.script_root + request.full_path
    page = render_template("apiary/connect/back.html", url=here, host=request.host)
    return quiet(make_response(page))


def hop(label: str, callback: str, started: Started) -> Response:
    """The page that leads on to the provider."""
    page = render_template("apiary/connect/hop.html", url=started.url, label=label)
    response = quiet(make_response(page))
    back = urlsplit(callback)
    _keep(response, started.verifier, back.path, back.scheme == "https")
    return response


def code(provider: str, attempt: str, label: str, started: Started) -> Response:
    """The page that takes the code which the provider shows."""
    path = url_for("apiary.paste_code", provider=provider, attempt=attempt)
    page = render_template(
        "apiary/connect/code.html", url=started.url, label=label, provider=provider, action=path
    )
    response = make_response(page)
    _keep(response, started.verifier, path, request.is_secure)
    return response


def cookie_lost(flow: Flow) -> str:
    """End a flow that nobody can finish any more, and say so to the page that waits for it."""
    flows.end(flow.owner, flow.attempt, "failed", PROBLEMS["cookie"][1], was=("waiting",))
    return "cookie"


def problem(reason: str, status: int) -> Response:
    title, text = PROBLEMS[reason]
    page = render_template("apiary/connect/problem.html", title=title, text=text)
    return quiet(make_response(page, status))


def quiet(response: Response) -> Response:
    """For pages on the popup's way: no referrer to anybody, no policy that severs the opener."""
    response.headers["Content-Security-Policy"] = CSP_QUIET
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    return response


def _keep(response: Response, verifier: str, path: str, secure: bool) -> None:
    """Keep the verifier in the browser, for its own flow's path only.

    So flows in two windows do not meet. ``__Host-`` would forbid the path.
    """
    response.set_cookie(
        COOKIE,
        verifier,
        max_age=flows.LIFETIME,
        path=path,
        secure=secure,
        httponly=True,
        samesite="Lax",
    )
