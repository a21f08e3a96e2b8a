"""What may be wrong with an installation, and how to mend it: plain checks, no printing.

A check says one sentence and, unless all is well, one remedy. None of them holds a secret, so
a page may show them too.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from .blueprint import callback_pattern
from .config import is_loopback
from .findings import Check as Check
from .reach import providers
from .state import State
from .stored import database, vault

_MEGABYTE = 1024 * 1024
_LEAST_FREE, _LITTLE_FREE = 100 * _MEGABYTE, 1024 * _MEGABYTE
_SHORTEST_SECRET = 16
_WEB_ROOTS = frozenset({"public_html", "htdocs", "wwwroot", "static"})


def examine(state: State, app: Flask, *, offline: bool = False) -> list[Check]:
    """Everything. Needs an app context.

    :param offline: dial nobody but the database.
    """
    parts: list[Callable[[], Iterator[Check]]] = [
        lambda: flags(state),
        lambda: address(state, app),
        lambda: proxies(state, app),
        lambda: owner(state, app),
        lambda: secrets(state, app),
        lambda: instance(state, app),
        lambda: database(state),
        lambda: vault(state),
    ]
    if not offline:
        parts.append(lambda: providers(state))
    return [check for part in parts for check in part()]


def flags(state: State) -> Iterator[Check]:
    """The flag, as it was read."""
    settings = state.settings
    shown = (
        "on: the OpenRouter card has a Connect button"
        if settings.openrouter_oauth
        else "off: the OpenRouter card takes a pasted key"
    )
    yield Check("flags", "ok", f"OPENROUTER_OAUTH is {shown}.")
    if urlsplit(settings.openrouter_url).scheme == "http":
        yield Check(
            "flags",
            "warn",
            f"APIARY_OPENROUTER_URL is {settings.openrouter_url}, a sandbox on this machine.",
            "For the real OpenRouter, leave APIARY_OPENROUTER_URL empty.",
        )


def owner(state: State, app: Flask) -> Iterator[Check]:
    """Whether the app says who is asking."""
    if state.asks_flask_login and not hasattr(app, "login_manager"):
        yield Check(
            "owner",
            "wrong",
            "Nothing says who is signed in, so no page of Apiary can be shown.",
            "Set up Flask-Login in this app, or pass Apiary(owner=...), a function that returns"
            " the current user's id.",
        )


def address(state: State, app: Flask) -> Iterator[Check]:
    """The site's address, and the callback address that OpenRouter will be given."""
    public, connects = state.settings.public_url, state.settings.openrouter_oauth
    if public is None:
        yield Check(
            "address",
            "warn" if connects else "ok",
            "APIARY_PUBLIC_URL is not set"
            + ("; Connect works on this machine only." if connects else "."),
            "Set APIARY_PUBLIC_URL to the address that browsers see." if connects else "",
        )
        return
    parts = urlsplit(public)
    local = is_loopback(parts.hostname)
    if parts.scheme == "http" and not local:
        yield Check(
            "address",
            "wrong" if connects else "warn",
            f"APIARY_PUBLIC_URL is {public}: plain http on a name that is not this machine."
            + (" OpenRouter leads users back to https, or to localhost." if connects else "")
            + " Cookies and pasted keys travel in the clear.",
            "Put a reverse proxy with TLS in front, and set APIARY_PUBLIC_URL to its https"
            " address.",
        )
    elif parts.hostname == "::1" and connects:
        yield Check(
            "address",
            "warn",
            f"APIARY_PUBLIC_URL is {public}; OpenRouter names localhost and 127.0.0.1 only.",
            "Set APIARY_PUBLIC_URL to http://localhost with the port.",
        )
    elif parts.scheme == "https" and parts.port not in (None, 443) and connects:
        yield Check(
            "address",
            "warn",
            f"APIARY_PUBLIC_URL is {public}: https on port {parts.port}. OpenRouter took only the"
            " ports 443 and 3000 until June 2026.",
            "If Connect is refused there, serve the site on port 443.",
        )
    else:
        yield Check("address", "ok", f"Browsers see this site at {public}.")
    if connects:
        yield _callback(app, public)


def _callback(app: Flask, public: str) -> Check:
    """Whether the address given to OpenRouter leads to our page: hosts and routes may differ."""
    path = callback_pattern(app, "openrouter")
    # A context of Flask's would end with what ends requests: the page's own, where it asks us.
    asked = app.request_class(EnvironBuilder(path, base_url=public).get_environ())
    adapter = app.create_url_adapter(asked)
    try:
        found = adapter.match()[0] if adapter else None
    except HTTPException:
        found = None
    if found == "apiary.callback":
        return Check("callback", "ok", f"OpenRouter leads users back to {public}{path}")
    return Check(
        "callback",
        "wrong",
        f"OpenRouter leads users back to {public}{path}, where this app has"
        + (f" its page {found}." if found else " no page."),
        "Let APIARY_PUBLIC_URL be at the host where Apiary's pages stand, or mount them there:"
        " Apiary(host=...), subdomain or url_prefix.",
    )


def proxies(state: State, app: Flask) -> Iterator[Check]:
    """Whether the number of trusted proxies fits the address. Only where the host has one."""
    if "APIARY_PROXY_HOPS" not in app.config:
        return
    hops = str(app.config["APIARY_PROXY_HOPS"] or "0")
    https = (state.settings.public_url or "").startswith("https:")
    if https and hops == "0":
        yield Check(
            "proxy",
            "warn",
            "The site is https, so a proxy stands in front, and APIARY_PROXY_HOPS is 0: all"
            " visitors seem to come from the proxy's address.",
            "Set APIARY_PROXY_HOPS to the number of proxies, and let them set X-Forwarded-For,"
            " -Proto and -Host.",
        )
    elif hops != "0" and not https:
        yield Check(
            "proxy",
            "warn",
            f"APIARY_PROXY_HOPS is {hops}, and APIARY_PUBLIC_URL is not https. Without a proxy"
            " in front, visitors can forge their address.",
            "Set APIARY_PROXY_HOPS=0, or APIARY_PUBLIC_URL to the proxy's address.",
        )
    else:
        yield Check("proxy", "ok", f"Trusted reverse proxies: {hops}.")


def secrets(state: State, app: Flask) -> Iterator[Check]:
    """The key that signs cookies and the key ring: length, reuse, and who may read the files."""
    secret = app.secret_key or ""
    length = len(secret)
    ring = state.settings.encryption_keys
    if length < _SHORTEST_SECRET:
        yield Check(
            "secrets",
            "wrong",
            f"The key that signs cookies has {length} characters.",
            "Set APIARY_SECRET_KEY (or SECRET_KEY) to 32 random characters or more.",
        )
    elif ring and str(secret) in ring:
        yield Check(
            "secrets",
            "wrong",
            "The key that signs cookies is also a key of APIARY_ENCRYPTION_KEYS.",
            "Take another APIARY_SECRET_KEY; everybody has to sign in again.",
        )
    else:
        yield Check("secrets", "ok", "The key that signs cookies is long enough.")
    if not ring:
        yield Check(
            "secrets",
            "ok",
            f"The key ring lies in {state.settings.instance_path / 'encryption_keys'}. Keep a"
            " copy apart from the database.",
        )
    for name in ("encryption_keys", "encryption_keys.retired", "secret_key"):
        path = state.settings.instance_path / name
        if path.exists() and path.stat().st_mode & 0o077:
            mode = stat.S_IMODE(path.stat().st_mode)
            yield Check(
                "secrets",
                "wrong",
                f"{path} has mode {mode:o}: others on this machine may read it.",
                f"Run: chmod 600 {path}",
            )


def instance(state: State, app: Flask) -> Iterator[Check]:
    """The folder of the database and the secrets."""
    folder = state.settings.instance_path
    if not folder.is_dir():
        yield Check(
            "instance", "ok", f"{folder} is not there, and nothing needs it: all is set elsewhere."
        )
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Check(
            "instance",
            "wrong",
            f"{folder} is not writable for this account.",
            f"Run the app as the owner of {folder}, or give that account the folder.",
        )
    else:
        yield Check("instance", "ok", f"{folder} is writable.")
    if folder.stat().st_mode & 0o027:
        yield Check(
            "instance",
            "warn",
            f"Others on this machine may look into {folder}, or write to it.",
            f"Run: chmod 700 {folder}",
        )
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_FREE:
        yield Check(
            "disk",
            "wrong" if free < _LEAST_FREE else "warn",
            f"{free // _MEGABYTE} MB are free where {folder} lies.",
            "Free some space: a database without space refuses to write.",
        )
    else:
        yield Check("disk", "ok", f"{free // (1024 * _MEGABYTE)} GB are free.")
    if _served(folder, app):
        yield Check(
            "instance",
            "wrong",
            f"{folder} seems to lie in a folder that a web server gives to everybody.",
            "Move it, and set APIARY_INSTANCE_PATH to its new place.",
        )


def _served(folder: Path, app: Flask) -> bool:
    folder = folder.resolve()
    static = Path(app.static_folder).resolve() if app.static_folder else None
    return (
        (static is not None and folder.is_relative_to(static))
        or folder.is_relative_to("/var/www/html")
        or any(part in _WEB_ROOTS for part in folder.parts)
    )
