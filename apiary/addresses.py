"""Which addresses this app may dial: the text of a URL, and each address its name resolves to.

An attacker who chooses an address must not reach the cloud's metadata service, this machine
or the network behind it. ``ipaddress.is_global`` alone does not tell: it is true for
168.63.129.16 (Azure), 64:ff9b::a9fe:a9fe (NAT64 of 169.254.169.254), multicast and others.
"""

import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from .config import Settings
from .errors import EndpointRefused
from .translation import say

#: From a host name and a port to the addresses it stands for, as text.
Resolver = Callable[[str, int], Sequence[str]]
Kind = Literal["public", "private", "loopback", "refused"]

_URL = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[^\s/?#@\\:%\[\]]+)(?::([0-9]{1,5}))?([/?].*)?", re.I
)
_REST = re.compile(
    r"[!$&'()*+,;=:@/?A-Za-z0-9._~-]*(?:%[0-9A-Fa-f]{2}[!$&'()*+,;=:@/?A-Za-z0-9._~-]*)*"
)
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_QUAD = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_PORTS = {"http": 80, "https": 443}
_PUBLIC_PORTS = frozenset({443, 8443})
# The ports at which model servers listen (Ollama, LM Studio, vLLM, llama.cpp, LiteLLM,
# KoboldCpp, SGLang) and the usual ones of the web; no database, mail or shell.
_LAN_PORTS = frozenset({80, 443, 1234, 1337, 4000, 5000, 5001, 8000, 8080, 8443, 11434, 30000})


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(word) for word in text.split())


_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog"}) | {
    "instance-data",
    "instance-data.ec2.internal",
}
_METADATA = frozenset({ip_address("168.63.129.16"), ip_address("100.100.100.200")}) | {
    ip_address("192.0.0.192"),
    ip_address("fd00:ec2::254"),
    ip_address("fd20:ce::254"),
}
_REFUSED4 = _networks(
    "0.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.51.100.0/24"
    " 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
)
# 100.64/10 carries Tailscale and carrier NAT, 198.18/15 the made-up answers of some proxies.
_PRIVATE4 = _networks("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 198.18.0.0/15")
_LOOPBACK4 = ip_network("127.0.0.0/8")
_PUBLIC6 = ip_network("2000::/3")
_REFUSED6 = _networks("2001::/23 2001:db8::/32 3fff::/20")
_PRIVATE6 = ip_network("fc00::/7")
_WORST: tuple[Kind, ...] = ("refused", "loopback", "private", "public")


def kind(address: str) -> Kind:
    """Of what sort an address is; an IPv6 form that carries an IPv4 address is of its sort."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "refused"
    if isinstance(ip, IPv4Address):
        return _kind4(ip)
    embedded = _embedded(ip)
    if embedded is not None:
        return min(map(_kind4, embedded), key=_WORST.index, default="refused")
    if ip == IPv6Address("::1"):
        return "loopback"
    # A scope (fe80::1%eth0) belongs to link-local addresses, which are never dialled.
    if ip.scope_id is not None or ip in _METADATA or any(ip in net for net in _REFUSED6):
        return "refused"
    if ip in _PRIVATE6:
        return "private"
    return "public" if ip in _PUBLIC6 and ip.is_global else "refused"


def _kind4(ip: IPv4Address) -> Kind:
    if ip in _METADATA or any(ip in net for net in _REFUSED4):
        return "refused"
    if ip in _LOOPBACK4:
        return "loopback"
    if any(ip in net for net in _PRIVATE4):
        return "private"
    return "public" if ip.is_global else "refused"


def _embedded(ip: IPv6Address) -> tuple[IPv4Address, ...] | None:
    """The IPv4 addresses that an IPv6 address stands for; () if it carries one in a form
    that cannot be read with certainty, None if it carries none."""
    number = int(ip)
    low = IPv4Address(number & 0xFFFFFFFF)
    if ip.ipv4_mapped is not None:
        return (ip.ipv4_mapped,)
    if number >> 32 == 0 and number > 1:  # ::a.b.c.d, deprecated
        return (low,)
    if number >> 32 == 0x0064FF9B << 64:  # NAT64, RFC 6052
        return (low,)
    if number >> 80 == 0x0064FF9B0001:  # NAT64 of the site's own, RFC 8215
        return (low,) if (number >> 32) & 0xFFFFFFFFFFFF == 0 else ()
    if ip.sixtofour is not None:
        return (ip.sixtofour,)
    if ip.teredo is not None:
        return ip.teredo
    if (number >> 32) & 0xFCFFFFFF == 0x00005EFE:  # ISATAP, RFC 5214
        return (low,)
    return None


@dataclass(frozen=True, slots=True)
class Address:
    """A web address that was taken apart and is written anew in ``url``."""

    scheme: str
    host: str
    port: int
    rest: str

    @property
    def origin(self) -> str:
        """scheme://host, and the port where it is not the scheme's own."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{shown}" + (
            f":{self.port}" if self.port != _PORTS[self.scheme] else ""
        )

    @property
    def url(self) -> str:
        return self.origin + self.rest


def parse(url: str) -> Address:
    """Take a web address apart, in a language too narrow for two parsers to disagree.

    No user, fragment, backslash, blank or control character; no percent sign in the host;
    no number but a plain dotted quad where an IPv4 address stands.

    :raises EndpointRefused:
    """
    match = _URL.fullmatch(url) if len(url) <= 8192 else None
    if match is None:
        raise _unreadable()
    scheme, host, port, rest = match.groups()
    scheme = scheme.lower()
    if not _REST.fullmatch(rest or ""):
        raise _unreadable()
    number = int(port) if port else _PORTS[scheme]
    if not 0 < number < 65536:
        raise _unreadable()
    rest = rest or ""
    return Address(scheme, _host(host), number, f"/{rest}" if rest.startswith("?") else rest)


def _host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            pass
        raise _unreadable()
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            host = ""
    host = host.lower().removesuffix(".")
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise _unreadable()
    # 127.1, 2130706433, 0x7f.1 and 0177.0.0.1 are addresses to the resolver of most systems.
    last = host.rpartition(".")[2]
    number = last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last)
    if number and not (_QUAD.fullmatch(host) and all(int(n) < 256 for n in host.split("."))):
        raise _unreadable()
    return host


def _unreadable() -> EndpointRefused:
    return EndpointRefused(
        say(
            "That is not a web address Apiary can use. Write it plainly, such as"
            " https://llm.example.org/v1."
        )
    )


def _forbidden() -> EndpointRefused:
    # One sentence for every reason: what lies behind a name is not told to who asks.
    return EndpointRefused(
        say(
            "Apiary may not reach that address. The operator of this site decides which"
            " addresses are allowed."
        )
    )


def origin(url: str) -> str:
    """scheme://host[:port] of a web address, in the one form in which origins are compared.

    :raises EndpointRefused:
    """
    return parse(url).origin


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that this machine's resolver gives.

    :raises OSError: there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be dialled.

    ``origins`` are those the operator listed: private and loopback addresses are allowed for
    exactly these. Every other origin must be https, on port 443 or 8443, with public addresses
    only; ``lan`` also allows private addresses, on the ports of model servers and of the web.
    ``mode`` is ``APIARY_CUSTOM_ENDPOINTS``.
    """

    origins: frozenset[str] = frozenset()
    mode: str = "operator"

    @classmethod
    def from_settings(cls, settings: Settings, also: Iterable[str] = ()) -> "Policy":
        """The policy that the operator set.

        :param also: further origins or URLs that count as listed, such as a local double.
        """
        listed = [endpoint.url for endpoint in settings.endpoints]
        if settings.openrouter_url.startswith("http:"):  # on loopback, as Settings has checked
            listed.append(settings.openrouter_url)
        return cls(frozenset(map(origin, [*listed, *also])), settings.custom_endpoints)

    def check(self, url: str) -> Address:
        """Judge the text of an address that is about to be dialled.

        :raises EndpointRefused:
        """
        address = parse(url)
        if address.host in _METADATA_NAMES:
            raise _forbidden()
        if address.origin in self.origins:
            return address
        if address.scheme == "https" and address.port in _PUBLIC_PORTS:
            return address
        if self.mode == "lan" and address.port in _LAN_PORTS:
            return address
        raise _forbidden()

    def admit(self, url: str, resolver: Resolver = system_resolver) -> str:
        """Judge a base URL that a user wants to add; give it back in its plain form.

        It is judged again at each dial.

        :raises EndpointRefused: also where its name does not resolve.
        """
        address = self.check(url)
        if "?" in address.rest:
            raise _unreadable()
        if address.origin not in self.origins and self.mode not in {"public", "lan"}:
            raise _forbidden()
        try:
            self.addresses(address.host, address.port, resolver, scheme=address.scheme)
        except OSError:
            raise _forbidden() from None
        return address.url.rstrip("/")

    def addresses(
        self, host: str, port: int, resolver: Resolver = system_resolver, *, scheme: str = ""
    ) -> list[str]:
        """Resolve once and judge every address; these very addresses may then be dialled.

        :param scheme: "" where it is not known: then either scheme's listing counts.
        :raises EndpointRefused: one of the addresses is not allowed.
        :raises OSError: the name does not resolve.
        """
        host = host.strip("[]").lower().removesuffix(".")
        if host in _METADATA_NAMES:
            raise _forbidden()
        schemes = (scheme,) if scheme else ("http", "https")
        listed = any(Address(s, host, port, "").origin in self.origins for s in schemes)
        try:
            found: Sequence[str] = [str(ip_address(host))]
        except ValueError:
            found = resolver(host, port)
        if not found:
            raise OSError("no address")
        kinds = set(map(kind, found))
        allowed: set[Kind] = {"public"}
        if listed:
            allowed |= {"private", "loopback"}
        elif self.mode == "lan" and port in _LAN_PORTS:
            allowed |= {"private"}
        # Over plain http only the local network is asked, unless the operator listed it.
        if scheme == "http" and not listed:
            allowed -= {"public"}
        # Honest names do not lead to this network and to the world at once.
        if not kinds <= allowed or (len(kinds) > 1 and not listed):
            raise _forbidden()
        return list(found)
