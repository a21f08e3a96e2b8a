"""A local double of OpenRouter, for trying and testing without an account or a network.

Run it with ``flask --app apiary.sandbox run -p 3001``. It imports nothing of the rest of the
package, and nothing imports it. Facts about OpenRouter in the modules cite where they were
read: "docs" is OpenRouter's documentation, "OpenAPI document" its published schema, "SDK" the
official client libraries.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, g, request

from . import chat, consent, exchange, keyinfo, listing, pages, panel
from .journal import KEPT_HEADERS, Entry, Journal, digest, without_keys
from .ledger import ACCOUNTS, PASTE_KEY, Account
from .replies import failure
from .state import Ask, Sandbox, bearer, current
from .switches import Switches, from_environment

__all__ = [
    "ACCOUNTS",
    "PASTE_KEY",
    "Account",
    "Ask",
    "Entry",
    "Journal",
    "Sandbox",
    "Switches",
    "create_app",
    "digest",
]

# form-action must let the consent form's redirect reach any app.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action *; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_BODY_LIMIT = 20 * 1024**2


def create_app(clock: Callable[[], float] = time.time, **switches: Any) -> Flask:
    """Build the double. Switches given here win over ``SANDBOX_<NAME>``."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _BODY_LIMIT
    settings = Switches(**(from_environment(os.environ) | switches))
    app.extensions["sandbox"] = Sandbox(settings, clock)
    for module in (chat, consent, exchange, keyinfo, listing, pages, panel):
        app.register_blueprint(module.blueprint)
    app.before_request(_enter)
    app.before_request(_same_site)
    app.after_request(_leave)
    return app


def _enter() -> None:
    """Write the request into the journal before anything else happens."""
    g.entry = None
    if request.path == "/sandbox" or request.endpoint == "static":
        return
    sandbox = current()
    key = bearer(request)
    g.entry = sandbox.journal.add(
        Entry(
            method=request.method,
            path=request.path,
            query={name: without_keys(value) for name, value in request.args.items()},
            headers={
                name: without_keys(request.headers[name])
                for name in KEPT_HEADERS
                if name in request.headers
            },
            body=without_keys(request.get_json(silent=True)) if request.is_json else None,
            bearer=digest(key) if key else "",
            at=sandbox.clock(),
        )
    )


def _same_site() -> Response | None:
    """Refuse forms that another site sends: the pages here have no other protection."""
    page = not request.path.startswith("/api/")
    hostile = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if page and hostile and request.method == "POST":
        return failure(403, "This form belongs to another site.")
    return None


def _leave(response: Response) -> Response:
    """Complete the journal and harden the pages."""
    if g.entry is not None:
        current().journal.note(g.entry, status=response.status_code)
    if response.mimetype == "text/html" and not request.path.startswith("/api/"):
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
    return response
