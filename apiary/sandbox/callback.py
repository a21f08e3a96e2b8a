"""Callback addresses: which are allowed, and how the answer is put into them."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def problem(url: str) -> str | None:
    """Return why OpenRouter would refuse this address, or None.

    Allowed are https, and http on the loopback names with any port (OpenAPI document and
    Python SDK since June 2026; the older "ports 443 and 3000 only" is gone).
    """
    # urlsplit drops tabs and newlines and browsers turn a backslash into a slash: an
    # address that reads differently to the two is refused.
    if any(character <= " " or character in "\\\x7f" for character in url):
        return "callback_url contains a character that no address may contain."
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "callback_url is not an address."
    if not host or parts.scheme not in ("http", "https"):
        return "callback_url must be an https address, or http on localhost."
    if parts.scheme == "http" and host not in LOOPBACK:
        return "callback_url must use https, except on localhost."
    return None


def app_name(url: str) -> str:
    """Return the name the consent page gives the app: the callback's host and port.

    The name comes from the callback's site; an app on localhost is called
    ``localhost:PORT`` (docs, OAuth, localhost callbacks).
    """
    return urlsplit(url).netloc.rpartition("@")[2]


def with_query(url: str, answer: list[tuple[str, str]], extra: str = "") -> str:
    """Append parameters to an address and leave what is there as it is.

    Path and existing query come back byte for byte, because apps keep their own
    one-time values there; a fragment stays last (RFC 3986 section 3).
    """
    added = "&".join(piece for piece in (urlencode(answer), extra) if piece)
    if not added:
        return url
    base, mark, fragment = url.partition("#")
    path, _, query = base.partition("?")
    joint = "&" if query and not query.endswith("&") else ""
    return f"{path}?{query}{joint}{added}{mark}{fragment}"
