"""How often something may be tried: a moving window in memory, bounded in size."""

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

_MOST_KEYS = 20_000


@dataclass(frozen=True, slots=True)
class Rule:
    """At most ``count`` tries in ``seconds``."""

    name: str
    count: int
    seconds: float


SIGN_IN_NAME = Rule("sign-in-name", 10, 300)
SIGN_IN_ADDRESS = Rule("sign-in-address", 200, 300)
SIGN_UP_ADDRESS = Rule("sign-up-address", 300, 3600)
GUEST_ADDRESS = Rule("guest-address", 3000, 3600)

# The numbers for an address are far above those for a person: a school, an office or a proxy that
# nobody counted is one address.
_KEY = (Rule("key", 20, 60), Rule("key-address", 180, 60))
_MESSAGE = (Rule("message", 60, 60), Rule("message-address", 600, 60))
#: What costs a provider's or this site's time: how often each person may, and each address.
COSTLY = {
    "apiary.connect": (Rule("connect", 60, 60), Rule("connect-address", 180, 60)),
    # It makes a row for an attempt that it overtakes.
    "apiary.cancel": (Rule("cancel", 60, 60), Rule("cancel-address", 180, 60)),
    "apiary.save_key": _KEY,
    "apiary.check": _KEY,
    "chat.create": (Rule("conversation", 60, 60), Rule("conversation-address", 600, 60)),
    "chat.first": _MESSAGE,
    "chat.ask": _MESSAGE,
    "chat.retry": _MESSAGE,
    "chat.go_on": _MESSAGE,
    "imports.take_in": (Rule("import", 10, 60), Rule("import-address", 30, 60)),
    "attachments.upload": (Rule("file", 30, 60), Rule("file-address", 120, 60)),
}


def built_in(daily: int) -> Rule:
    """Messages of the built-in model for an address in a day: as many as ten people have."""
    return Rule("built-in-address", 10 * daily, 24 * 3600)


class TooOften(Exception):
    """``retry_after`` is in whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"again in {retry_after} seconds")
        self.retry_after = retry_after


class Limits:
    """The tries of one process. Several processes each count for themselves."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._lock = threading.Lock()
        self._tries: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def take(self, rule: Rule, key: str) -> None:
        """Count one try.

        :raises TooOften: the window is full; a refused try does not count.
        """
        if not self.enabled:
            return
        now = time.monotonic()
        with self._lock:
            tries = self._tries.setdefault((rule.name, key), deque())
            self._tries.move_to_end((rule.name, key))
            while tries and tries[0] <= now - rule.seconds:
                tries.popleft()
            if len(tries) >= rule.count:
                raise TooOften(max(1, int(tries[0] + rule.seconds - now) + 1))
            tries.append(now)
            while len(self._tries) > _MOST_KEYS:
                self._tries.popitem(last=False)

    def take_costly(self, endpoint: str | None, owner: str, address: str | None) -> None:
        """Count one try of what is costly; anything else is free.

        :raises TooOften: this person or this address has tried it too often.
        """
        if (rules := COSTLY.get(endpoint or "")) is not None:
            self.take(rules[0], owner)
            self.take(rules[1], network(address))

    def forget(self, rule: Rule, key: str) -> None:
        """Empty a window, as after a sign-in that succeeded."""
        with self._lock:
            self._tries.pop((rule.name, key), None)


def network(address: str | None) -> str:
    """The network that an address is counted under: /24 for IPv4, /64 for IPv6."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    bits = 24 if ip.version == 4 else 64
    return str(ipaddress.ip_network((ip, bits), strict=False))
