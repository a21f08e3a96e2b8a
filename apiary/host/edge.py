"""Where the app meets the web: proxies, host names, cookies, headers, foreign requests."""

import re
import secrets
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from flask import Flask, Response, abort, redirect, request
from flask_wtf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as AnyResponse

from .language import gettext
from .sessions import Sessions
from .settings import HostSettings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script';"
    " trusted-types dompurify"
)
#: 100,000 characters, each of them at worst twelve bytes as JSON, and a little.
LARGEST_BODY = 2 * 1024 * 1024
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*")
_YEAR = 365 * 24 * 3600
STATIC_ENDPOINTS = frozenset({"static", "vendor", "apiary.static", "manifest.index"})
#: Asked by machines: no session, no visitor, under whatever name the machine has.
HEALTH = frozenset({"health.healthz", "health.readyz", "health.metrics"})

csrf = CSRFProtect()


def protect(app: Flask, settings: HostSettings) -> None:
    """Put the edge around an app; before any blueprint is registered."""
    app.config.update(
        SESSION_COOKIE_NAME="__Host-apiary" if settings.https else "apiary_session",
        SESSION_COOKIE_SECURE=settings.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        # Set when something changes, not with each response.
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=_YEAR,
        MAX_CONTENT_LENGTH=LARGEST_BODY,
        MAX_FORM_MEMORY_SIZE=LARGEST_BODY,
        # The token lives as long as the session: a chat page stays open for days.
        WTF_CSRF_TIME_LIMIT=None,
        # Origin and Sec-Fetch-Site are checked below; a browser may well send no Referer.
        WTF_CSRF_SSL_STRICT=False,
    )
    app.session_interface = Sessions()
    parts = urlsplit(settings.public_url or "")
    hops = settings.proxy_hops
    app.wsgi_app = Plain(app.wsgi_app)  # type: ignore[method-assign]
    if parts.path:
        app.wsgi_app = Prefix(app.wsgi_app, parts.path)  # type: ignore[method-assign]
    if hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app,
            x_for=hops,
            x_proto=hops,
            x_host=hops,
            # The public URL says the prefix; without one the proxy may.
            x_prefix=0 if parts.hostname else hops,
        )

    @app.before_request
    def _guard() -> AnyResponse | None:
        refuse_unknown_host(settings)
        if request.method not in _SAFE:
            refuse_foreign(settings)
            return None
        return canonical(settings)

    @app.after_request
    def _headers(response: Response) -> Response:
        return harden(response, settings)

    csrf.init_app(app)


def new_secret() -> str:
    """A key that signs cookies, for who does not bring one."""
    return secrets.token_urlsafe(48)


class Plain:
    """Believes no path that the app is said to be mounted at and that is none.

    A proxy may pass on what a client says of it, and all addresses in pages begin with it.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if not _PREFIX.fullmatch(environ.get("SCRIPT_NAME", "")):
            environ["SCRIPT_NAME"] = ""
        return self._app(environ, start_response)


class Prefix:
    """Mounts the app below a path, whether the proxy in front strips it or not."""

    def __init__(self, app: "WSGIApplication", prefix: str) -> None:
        self._app = app
        self._prefix = prefix.rstrip("/")

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            environ["PATH_INFO"] = path[len(self._prefix) :] or "/"
        environ["SCRIPT_NAME"] = self._prefix
        return self._app(environ, start_response)


def refuse_unknown_host(settings: HostSettings) -> None:
    """Answer 400 to a Host that is neither the public URL's nor a name of this machine.

    While the public URL is unset, bare addresses are answered too, but no other names: a page of
    somebody else's whose name is made to lead here would else be let in (DNS rebinding).

    Not by TRUSTED_HOSTS: werkzeug 3.1 cannot trust an IPv6 address, ``[::1]`` included, and
    leaves nothing to render a page with.
    """
    if request.endpoint in HEALTH:
        # Health checks come by whatever address the machine has.
        return
    public = urlsplit(settings.public_url or "").hostname
    asked = urlsplit(f"//{request.host}").hostname or ""
    if not public:
        if asked not in _LOOPBACK and not _is_address(asked):
            abort(
                400,
                gettext(
                    "This site does not know its own name. Its operator has to set"
                    " APIARY_PUBLIC_URL to the address that browsers see."
                ),
            )
        return
    if asked not in {public, *_LOOPBACK}:
        abort(
            400,
            gettext(
                "This site does not answer under that name. Its address is %(address)s ."
                " A reverse proxy in front of it has to pass on the Host header.",
                address=settings.public_url,
            ),
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def refuse_foreign(settings: HostSettings) -> None:
    """Answer 403 where the browser says that another site sends this request.

    A second line behind the token. ``same-site`` is foreign too: a neighbour on the same
    domain is not us.
    """
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        abort(403, gettext("This request came from another site and was not carried out."))
    origin = request.headers.get("Origin")
    if origin is not None and not is_ours(origin, settings):
        abort(403, gettext("This request came from another site and was not carried out."))


def is_ours(origin: str, settings: HostSettings) -> bool:
    """Whether a page of this origin is one of this site."""
    public = urlsplit(settings.public_url or "")
    if origin == f"{public.scheme}://{public.netloc}":
        return True
    try:
        asks = urlsplit(origin)
    except ValueError:
        return False
    if asks.scheme not in ("http", "https") or asks.netloc != request.host:
        return False
    # Whoever stands between can make pages of our name without TLS.
    return not (settings.https and asks.scheme == "http" and asks.hostname == public.hostname)


def canonical(settings: HostSettings) -> AnyResponse | None:
    """Send a page asked for under another name of this machine to the one in the settings.

    Cookies of ``127.0.0.1`` are not those of ``localhost``: with both in use a flow that began
    under one name would end under the other, as a stranger.
    """
    public = urlsplit(settings.public_url or "")
    if public.hostname not in _LOOPBACK or request.method != "GET":
        return None
    if request.endpoint in HEALTH or request.endpoint in STATIC_ENDPOINTS:
        return None
    asked = urlsplit(f"//{request.host}")
    same_port = (asked.port or 80) == (public.port or 80)
    if asked.hostname == public.hostname or not same_port:
        return None
    if "text/html" not in request.headers.get("Accept", ""):
        return None
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    return redirect(f"{settings.public_url}{quote(request.path)}{query}", 302)


def harden(response: Response, settings: HostSettings) -> Response:
    """Set the headers that every response carries, where it has none of its own."""
    headers = response.headers
    wanted = _HEADERS.copy()
    # The plug-in sets it on its pages itself: on the ends of a popup it would cut the opener off.
    if request.blueprint != "apiary":
        wanted["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
    if settings.https:
        wanted["Strict-Transport-Security"] = f"max-age={_YEAR}"
    if request.endpoint not in STATIC_ENDPOINTS:
        wanted["Cache-Control"] = "no-store"
        response.vary.add("Cookie")
    # Each look at a response's headers goes through all of them.
    there = {name.lower() for name in headers.keys()}  # noqa: SIM118
    for name, value in wanted.items():
        if name.lower() not in there:
            headers.add(name, value)
    return response
