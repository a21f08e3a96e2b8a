"""Whether each provider answers from here, and whether our clocks agree."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

from . import db
from .errors import ApiaryError, EndpointRefused
from .findings import Check
from .models import StoredConnection
from .providers.base import Provider
from .replies import Unusable
from .state import State

#: Seconds; a one-time code lives ten minutes and a flow five.
_SKEW, _LARGE_SKEW = 30, 120
_DATABASE_ERRORS = (*db.ERRORS, OSError)


def providers(state: State) -> Iterator[Check]:
    """Whether each provider answers from here, asked without a key, and whether clocks agree."""
    found = [provider for provider in state.providers.values() if provider.origin]
    if not found:
        return
    needed = _needed(state)
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda provider: _ask(state, provider, needed), found))
    yield from (check for check, _ in answers)
    skews = [skew for _, skew in answers if skew is not None]
    if not skews:
        return
    # The smallest: one provider's clock may be wrong, not all of them in the same way.
    skew = min(skews, key=abs)
    if abs(skew) <= _SKEW:
        yield Check("clock", "ok", "This machine's clock agrees with the providers'.")
    else:
        yield Check(
            "clock",
            "wrong" if abs(skew) > _LARGE_SKEW else "warn",
            f"This machine's clock is {abs(skew):.0f} seconds"
            f" {'ahead' if skew > 0 else 'behind'}; one-time codes may seem too old.",
            "Switch time synchronisation on: timedatectl set-ntp true",
        )


def _needed(state: State) -> frozenset[str]:
    """The providers that somebody uses or was offered by name. The others may well be away."""
    named = {*state.connect.servers, *(endpoint.name for endpoint in state.settings.endpoints)}
    try:
        with db.connected():
            rows = StoredConnection.select(StoredConnection.provider).distinct()
            return frozenset(named | {row.provider for row in rows})
    except _DATABASE_ERRORS:
        return frozenset(named)


def _ask(state: State, provider: Provider, needed: frozenset[str]) -> tuple[Check, float | None]:
    try:
        answer = state.http.events("GET", f"{provider.origin}/", total=10, cap=256 * 1024)
        answer.close()
    except EndpointRefused:
        return (
            Check(
                "provider",
                "wrong",
                f"{provider.label} at {provider.origin} may not be dialled: the address policy"
                " refuses it.",
                "See that its name leads to the address that you expect, and list endpoints of"
                " your own network in APIARY_ENDPOINTS.",
            ),
            None,
        )
    except ApiaryError as error:
        if not isinstance(error, Unusable) or error.reason != "answer":
            return (
                Check(
                    "provider",
                    "wrong" if provider.name in needed else "warn",
                    f"{provider.label} at {provider.origin} cannot be reached: {error.message}",
                    "See that the server runs, and that this machine may go out to it (DNS,"
                    " firewall). Apiary uses no proxy settings of the environment.",
                ),
                None,
            )
        return Check("provider", "ok", f"{provider.label} answers at {provider.origin}."), None
    check = Check("provider", "ok", f"{provider.label} answers at {provider.origin}.")
    return check, _skew(answer.headers.get("date", ""))


def _skew(date: str) -> float | None:
    """Seconds that this machine is ahead of the one that sent the date."""
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
