"""Session cookies that a clock which was set back does not end."""

from datetime import datetime
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer


class _Signer(TimestampSigner):
    """Takes a signature that is too old for expired, but not one of a moment that is to come.

    ItsDangerous refuses both. Then a clock set back by a second, or another machine's that is a
    second ahead, would end the session, and a guest has nothing else. What ends sessions here is
    the epoch of the account.
    """

    def unsign(  # type: ignore[override]
        self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False
    ) -> bytes | tuple[bytes, datetime]:
        value, made = super().unsign(signed_value, return_timestamp=True)
        age = self.get_timestamp() - made.timestamp()
        if max_age is not None and age > max_age:
            raise SignatureExpired("too old", payload=value, date_signed=made)
        return (value, made) if return_timestamp else value


class Sessions(SecureCookieSessionInterface):
    """Flask's own sessions with that one difference, of one app."""

    def __init__(self) -> None:
        #: What signs, and the secrets that it was made of: it is needed for each request.
        self._made: tuple[object, Any] = (None, None)

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        secrets = app.secret_key, tuple(app.config["SECRET_KEY_FALLBACKS"] or ())
        known, made = self._made
        if known != secrets:
            made = super().get_signing_serializer(app)
            if made is not None:
                made.signer = _Signer
            self._made = secrets, made
        return made  # type: ignore[no-any-return]
