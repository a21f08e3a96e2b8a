"""How often something may be tried: one table, and whose try a request is."""

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import flask_login
from flask import Flask, current_app, g, request
from limits import RateLimitItem

from . import accounts, devices, tries
from .state import here
from .tables import clean

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_DAY = 24 * 3600


@dataclass(frozen=True)
class Rule:
    """At most ``count`` tries in ``seconds`` of those that ``whose`` gives one name for.

    ``whose`` gives None where the rule says nothing of the request. With ``reads`` it is about
    requests that change nothing, too.
    """

    name: str
    count: int
    seconds: int
    whose: Callable[[], str | None]
    reads: bool = False

    @cached_property
    def window(self) -> RateLimitItem:
        return tries.window(self.count, self.seconds)


def network(address: str | None) -> str:
    """The network that an address is counted under: /24 for IPv4, /48 for IPv6.

    A line at home has 256 networks of /64, and who rents a /48 has 65,536: with as many tries
    of each, one guesser would lock everybody else out of a name.
    """
    text = address or ""
    # No address is longer, and what is remembered has a bound.
    return _network(text) if len(text) < 100 else "unknown"


@lru_cache(4096)
def _network(text: str) -> str:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        try:
            # Some proxies tell the port too.
            ip = ipaddress.ip_address(text.rpartition(":")[0].strip("[]"))
        except ValueError:
            return "unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    bits = 24 if ip.version == 4 else 48
    return str(ipaddress.ip_network((ip, bits), strict=False))


def _person() -> str | None:
    found: str | None = flask_login.current_user.get_id()
    return found


def _address() -> str:
    return network(request.remote_addr)


def _newcomer() -> str | None:
    return _address() if "newcomer" in g else None


def _device() -> str | None:
    return devices.known(_name())


def _name() -> str:
    return accounts.fold(clean(request.form.get("name", "")))[:200]


def _name_of_a_stranger() -> str | None:
    return None if _device() else _name()


def _name_from_here() -> str | None:
    name = _name_of_a_stranger()
    return None if name is None else f"{_address()} {name}"


def _address_of_a_stranger() -> str | None:
    return None if _device() else _address()


def _operator() -> str | None:
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    asked = scheme.lower() == "bearer" or request.form.get("token", "").strip()
    return _address() if asked else None


def _each(name: str, count: int, count_address: int, reads: bool = False) -> tuple[Rule, Rule]:
    """For a minute: how often each person may, and each address.

    The numbers for an address are far above those for a person: a school, an office or a proxy
    that nobody counted is one address.
    """
    return (
        Rule(name, count, 60, _person, reads),
        Rule(f"{name}-address", count_address, 60, _address, reads),
    )


# A name that many guess at stays open to the browsers that its owner has used before, and to
# networks from which nobody guessed. What an account can be asked in one day is bounded all the
# same, and one network alone is far from locking it.
SIGN_IN = (
    Rule("sign-in-address", 200, 300, _address_of_a_stranger),
    Rule("sign-in-device", 10, 300, _device),
    Rule("sign-in-device-day", 100, _DAY, _device),
    Rule("sign-in-name", 10, 300, _name_from_here),
    Rule("sign-in-name-day", 100, _DAY, _name_from_here),
    Rule("sign-in-everywhere", 1000, _DAY, _name_of_a_stranger),
)
#: Those that a sign-in empties which succeeds.
FORGIVEN = frozenset(
    {"sign-in-device", "sign-in-device-day", "sign-in-name", "sign-in-name-day", "operator"}
)
OPERATOR = Rule("operator", 10, 300, _operator, reads=True)
GUEST_ADDRESS = Rule("guest-address", 3000, 3600, _newcomer)

_KEY = _each("key", 20, 180)
_MESSAGE = _each("message", 60, 600)
_USAGE = _each("usage", 60, 600, reads=True)
#: What costs a provider's or this site's time, and what can be guessed at.
COSTLY: dict[str, tuple[Rule, ...]] = {
    "accounts.sign_in": SIGN_IN,
    "accounts.sign_up": (Rule("sign-up-address", 300, 3600, _address),),
    "accounts.password": (Rule("password", 10, 300, _person),),
    "accounts.delete": (Rule("delete", 10, 300, _person),),
    "operator.show": (OPERATOR,),
    "apiary.connect": _each("connect", 60, 180),
    # It makes a row for an attempt that it overtakes.
    "apiary.cancel": _each("cancel", 60, 180),
    "apiary.save_key": _KEY,
    "apiary.check": _KEY,
    "chat.create": _each("conversation", 60, 600),
    "chat.first": _MESSAGE,
    "chat.ask": _MESSAGE,
    "chat.retry": _MESSAGE,
    "chat.go_on": _MESSAGE,
    "chat.stream": _each("follow", 120, 1200, reads=True),
    # They look through all that somebody has.
    "accounts.export": _each("export", 10, 60, reads=True),
    "search.index": _each("search", 240, 1200, reads=True),
    "usage.index": _USAGE,
    "usage.table": _USAGE,
    # A file is read as a whole: it keeps one person from doing nothing else to the server.
    "imports.take_in": (*_each("import", 10, 30), Rule("import-hour", 20, 3600, _person)),
    "attachments.upload": _each("file", 30, 120),
}


def register(app: Flask) -> None:
    """Count each request of an app from here on, in the order of its hooks."""
    app.before_request(_count)


def _count() -> None:
    """Count this request by the rules that say something of it.

    :raises TooOften: by one of them it is one too many.
    """
    looks = request.method in _SAFE
    for rule in (*COSTLY.get(request.endpoint or "", ()), GUEST_ADDRESS):
        if (rule.reads or not looks) and (key := rule.whose()) is not None:
            _take(rule, key)


def _take(rule: Rule, key: str) -> None:
    counted = here().tries
    if counted is not None:
        names = (hidden(key), rule.name)
        counted.take(rule.window, *names)
        g.setdefault("tries", []).append((rule, names))


def hidden(key: str) -> str:
    """What stands for a name or an address where it is counted: Redis need not know them."""
    secret = str(current_app.secret_key).encode()
    return hmac.digest(secret, f"limits {key}".encode(errors="replace"), hashlib.sha256).hex()[:32]


def take_built_in() -> None:
    """Count a message of the built-in model for its address: in a day as many as ten people have.

    :raises TooOften: there were too many.
    """
    most = 10 * here().settings.builtin_daily_messages
    _take(Rule("built-in-address", most, _DAY, _address), _address())


def take_operator() -> None:
    """Count a token that is to be the operator's where requests are answered before the table.

    :raises TooOften: there were too many.
    """
    _take(OPERATOR, _address())


def forgive() -> None:
    """Empty the windows of who has proved to know a password."""
    counted = here().tries
    for rule, names in g.get("tries", ()):
        if counted is not None and rule.name in FORGIVEN:
            counted.clear(rule.window, *names)
