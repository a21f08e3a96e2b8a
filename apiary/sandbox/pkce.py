"""PKCE as the server sees it (RFC 7636 section 4.6)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

METHODS = ("S256", "plain")
_CHALLENGE = {
    # base64url of 32 bytes without padding is 43 characters.
    "S256": re.compile(r"[A-Za-z0-9_-]{43}"),
    # A plain challenge is the verifier itself (RFC 7636 section 4.1).
    "plain": re.compile(r"[A-Za-z0-9._~-]{43,128}"),
}


def well_formed(challenge: str, method: str) -> bool:
    """Tell whether a challenge can have been made by this method."""
    return method in METHODS and _CHALLENGE[method].fullmatch(challenge) is not None


def challenge_of(verifier: str, method: str) -> str:
    """Return the challenge that belongs to a verifier."""
    if method == "plain":
        return verifier
    hashed = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()


def matches(verifier: str, challenge: str, method: str) -> bool:
    """Tell whether a verifier fits the challenge."""
    made = challenge_of(verifier, method)
    return hmac.compare_digest(made.encode(), challenge.encode())
