"""Browsers in which a member has signed in before, known by a signed cookie.

Guesses of strangers at a member's password are counted together; a known browser has tries of
its own, so that nobody is locked out by them. The cookie opens nothing.
"""

import secrets

from flask import current_app, g, request
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.wrappers import Response as AnyResponse

from .accounts import Person
from .state import here
from .tables import Account

_YEAR = 365 * 24 * 3600


def mark(response: AnyResponse, person: Person) -> None:
    """Let the browser be known to the account from now on.

    The account's epoch is in it: a new password and a sign-out everywhere forget all browsers.
    """
    value = _signer().dumps([person.id, person.epoch, secrets.token_urlsafe(12)])
    _set(response, value, _YEAR)


def forget(response: AnyResponse) -> None:
    """Let the browser be known to nobody."""
    _set(response, "", 0)


def known(name: str) -> str | None:
    """What tells this browser from others, where the account of that name knows it.

    :param name: as names are compared.
    """
    value = request.cookies.get(_cookie())
    if not value:
        return None
    if "device" not in g:
        g.device = _read(name, value)
    found: str | None = g.device
    return found


def _read(name: str, value: str) -> str | None:
    try:
        owner, epoch, mark = _signer().loads(value)
    except (BadSignature, TypeError, ValueError):
        return None
    there = Account.select().where(
        Account.id == owner, Account.epoch == epoch, Account.name_key == name
    )
    return str(mark) if there.exists() else None


def _set(response: AnyResponse, value: str, seconds: int) -> None:
    response.set_cookie(
        _cookie(),
        value,
        max_age=seconds,
        secure=here().settings.https,
        httponly=True,
        samesite="Lax",
    )


def _cookie() -> str:
    return "__Host-apiary-device" if here().settings.https else "apiary_device"


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt="apiary.device")
