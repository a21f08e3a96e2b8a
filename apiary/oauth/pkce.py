"""PKCE as RFC 7636 has it, with S256 and nothing else."""

import base64
import hashlib
import hmac
import secrets

METHOD = "S256"


def new_verifier() -> str:
    """43 characters of ``[A-Za-z0-9_-]``, 256 random bits (RFC 7636, 4.1)."""
    return secrets.token_urlsafe(32)


def challenge(verifier: str) -> str:
    """BASE64URL(SHA256(ASCII(verifier))) without padding (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def matches(verifier: str, expected: str) -> bool:
    """Whether the verifier belongs to the challenge; takes the same time either way."""
    if not verifier.isascii() or not 43 <= len(verifier) <= 128:
        return False
    return hmac.compare_digest(challenge(verifier), expected)
