"""The log: one line for each request, and no line that holds a secret or forges another one."""

import hashlib
import hmac
import json
import logging
import re
import secrets
import sys
import time
from typing import Any

from flask import Flask, Response, g, has_request_context, request

from .edge import HEALTH, STATIC_ENDPOINTS
from .settings import HostSettings

HEADER = "X-Request-ID"
_log = logging.getLogger("apiary.requests")
_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_FIELDS = ("method", "route", "status", "ms", "owner")

_NAMES = "code|code_verifier|verifier|api_key|apikey|key|token|access_token|password|secret"
# A last line of defence: nothing of ours writes these. What is left tells what was there. Each
# is looked for where one of some words stands: all of them together cost more than the line.
_SECRETS = (
    (("-",), re.compile(r"\b(sk|pk|rk|gsk|xai)-[A-Za-z0-9_-]{6,}"), r"\1-…"),
    (("bearer", "basic"), re.compile(r"\b(Bearer|Basic)\s+[^\s'\",;]+", re.I), r"\1 …"),
    (
        ("code=", "verifier=", "key=", "token=", "password=", "secret="),
        re.compile(rf"\b({_NAMES})=[^\s&;'\"]+", re.I),
        r"\1=…",
    ),
    (
        ("'", '"'),
        re.compile(rf"(['\"])({_NAMES}|authorization|x-api-key)\1(\s*:\s*)(['\"]).*?\4", re.I),
        r"\2: …",
    ),
    (("://",), re.compile(r"(://[^\s:/@]+):[^\s@/]+@"), r"\1:…@"),
    (("/callback/",), re.compile(r"(/callback/)[^\s/?#'\"]+"), r"\1…"),
    (("?",), re.compile(r"\?[^\s'\"=?]*=[^\s'\"]*"), "?…"),
)


def redact(text: str) -> str:
    """The text without what looks like a key, a one-time code or a query string."""
    # Folded as the patterns fold: they take a long s for an s.
    folded = text.casefold()
    for words, pattern, instead in _SECRETS:
        if any(word in folded for word in words):
            text = pattern.sub(instead, text)
    return text


def _line(text: str) -> str:
    """On one line, with nothing in it that moves a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def parts(self, record: logging.LogRecord) -> tuple[str, str, str]:
        """When, what, and the traceback if there is one, the latter two redacted."""
        try:
            message = record.getMessage()
        except Exception:
            # A wrong call somewhere; the handler would print the arguments as they are.
            message = f"{record.msg} (and arguments that do not fit)"
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return self.formatTime(record), redact(message), redact(trace) if trace else ""


class TextFormatter(_Formatter):
    """``time LEVEL logger message id=…``; a traceback follows, each line behind a bar."""

    def format(self, record: logging.LogRecord) -> str:
        when, message, trace = self.parts(record)
        text = f"{when} {record.levelname} {record.name} {_line(message)}"
        if found := _id_of(record):
            text += f" id={found}"
        # The bar: no text of an exception can pass for a line of the log.
        return "\n".join([text, *(f"    | {_line(line)}" for line in trace.splitlines())])


class JsonFormatter(_Formatter):
    """One JSON object on a line, the fields of a request each by itself."""

    def format(self, record: logging.LogRecord) -> str:
        when, message, trace = self.parts(record)
        found: dict[str, Any] = {
            "time": when,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        found |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if asked := _id_of(record):
            found["id"] = asked
        if trace:
            found["exception"] = trace
        return json.dumps(found)


class Handler(logging.StreamHandler[Any]):
    """Writes to standard error, whatever that is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def to_stderr(log_format: str) -> None:
    """Set up the log of a process that is ours: requests, and warnings of everybody."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, Handler)]:
        root.removeHandler(handler)
    handler = Handler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root.addHandler(handler)
    logging.getLogger("apiary").setLevel(logging.INFO)


def register(app: Flask, settings: HostSettings) -> None:
    """Give each request an id and a line; before anything else looks at the request."""

    @app.before_request
    def _begin() -> None:
        _started()
        g.apiary_request_id = _foreign_id(settings) or secrets.token_hex(8)

    # Functions of this kind run in the reverse order, so this one is the last.
    @app.after_request
    def _end(response: Response) -> Response:
        response.headers[HEADER] = g.get("apiary_request_id") or secrets.token_hex(8)
        began = _started()
        fields = {
            "method": request.method,
            "route": request.url_rule.rule if request.url_rule else "-",
            "status": response.status_code,
            "owner": _owner(app),
        }
        quiet = request.endpoint in STATIC_ENDPOINTS or request.endpoint in HEALTH
        level = logging.DEBUG if quiet and response.status_code < 400 else logging.INFO
        tell = _Line(level, fields, began, request_id())
        if response.is_streamed:
            # An answer lasts until its last word; by then the request is no longer at hand.
            response.call_on_close(tell)
        else:
            tell()
        return response


class _Line:
    def __init__(self, level: int, fields: dict[str, Any], began: float, asked: str) -> None:
        self._level, self._fields, self._began, self._id = level, fields, began, asked

    def __call__(self) -> None:
        fields = self._fields | {"ms": round((time.monotonic() - self._began) * 1000)}
        text = "{method} {route} {status} {ms}ms owner={owner}".format(**fields)
        _log.log(self._level, "%s", text, extra=fields | {"request_id": self._id})


def elapsed() -> float:
    """Seconds since this request began."""
    return time.monotonic() - _started()


def _started() -> float:
    if "apiary_began" not in g:
        g.apiary_began = time.monotonic()
    found: float = g.apiary_began
    return found


def _id_of(record: logging.LogRecord) -> str:
    return getattr(record, "request_id", "") or request_id()


def request_id() -> str:
    """The id of this request, "" outside of one."""
    return g.get("apiary_request_id", "") if has_request_context() else ""


def _foreign_id(settings: HostSettings) -> str:
    """The id that a proxy of ours has given; without one nobody's word counts."""
    given = request.headers.get(HEADER, "") if settings.proxy_hops else ""
    return given if _ID.fullmatch(given) else ""


def _owner(app: Flask) -> str:
    """Who asked, so that lines of one person can be told apart and nobody be named."""
    # What flask-login has found already; to log is no reason to read the database.
    user = g.get("_login_user")
    if user is None or not user.is_authenticated:
        return "-"
    key = app.secret_key or ""
    key = key if isinstance(key, bytes) else key.encode()
    return hmac.new(key, user.get_id().encode(), hashlib.sha256).hexdigest()[:12]
