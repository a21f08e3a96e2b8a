"""The address policy, through the door that the app uses: what was dialled is recorded."""

import ssl
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apiary.addresses import Policy, kind, origin, parse, system_resolver
from apiary.config import Settings
from apiary.errors import EndpointRefused
from apiary.http import Http, Unusable

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PUBLIC = "93.184.215.14"
NAMES = {
    "public.example": [PUBLIC],
    "six.example": ["2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "localhost": ["::1", "127.0.0.1"],
    "name.of.loopback.example": ["127.0.0.1"],
    "name.of.metadata.example": ["169.254.169.254"],
    "name.of.mixed.example": [PUBLIC, "10.0.0.1"],
    "name.of.mixed6.example": [PUBLIC, "::ffff:169.254.169.254"],
    "name.of.nothing.example": [],
    "lan.example": ["192.168.1.5"],
}
# What a real resolver makes of shorthand; the policy must not even ask.
SHORTHAND = {"127.1", "0", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1"}
# What two plain http addresses of the corpus become when they are tried with https.
ALLOWED = {"https://public.example/", "https://public.example:8443/"}


def corpus(name: str) -> Iterator[str]:
    text = (Path(__file__).parent / "corpora" / name).read_text(encoding="utf-8")
    escapes = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\0": "\0", "\\\\": "\\"}
    for line in text.splitlines():
        if line and not line.startswith("# "):
            for escape, character in escapes.items():
                line = line.replace(escape, character)
            yield line


class Recorder:
    """Takes the place of the network: notes what would be dialled and refuses."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host in SHORTHAND:
            return ["127.0.0.1"]
        try:
            return self.names[host]
        except KeyError:
            raise OSError("no such name") from None

    def dial(self, host: str, port: int, **options: Any) -> httpcore.NetworkStream:
        self.dialled.append((host, port))
        raise httpcore.ConnectError("refused")


def ask(policy: Policy, url: str, names: dict[str, list[str]] = NAMES) -> Recorder:
    """Try to fetch, give back what was dialled."""
    recorder = Recorder(names)
    http = Http(policy, resolver=recorder.resolve, dial=recorder.dial, tls=TLS)
    with pytest.raises((EndpointRefused, Unusable)) as caught:
        http.json("GET", url)
    # Either the policy refused, or it allowed and the recorder stopped it.
    if "nothing" not in url:
        assert isinstance(caught.value, EndpointRefused) == (recorder.dialled == [])
    http.dispose()
    return recorder


@pytest.mark.parametrize("mode", ["off", "operator", "public", "lan"])
@pytest.mark.parametrize("url", list(corpus("ssrf.txt")))
def test_the_corpus_is_never_dialled(url: str, mode: str) -> None:
    for variant in {url, url.replace("https:", "http:"), url.replace("http:", "https:")} - ALLOWED:
        assert ask(Policy(mode=mode), variant).dialled == []
        with pytest.raises(EndpointRefused):
            Policy(mode=mode).admit(variant, Recorder(NAMES).resolve)


@pytest.mark.parametrize("port", ["", ":443", ":8443"])
def test_a_public_address_is_dialled_as_it_was_judged(port: str) -> None:
    recorder = ask(Policy(), f"https://public.example{port}/v1")
    assert recorder.dialled == [(PUBLIC, int(port[1:] or 443))]
    assert recorder.asked == ["public.example"]
    assert ask(Policy(), "https://six.example/v1").dialled == [(NAMES["six.example"][0], 443)]


def test_every_address_of_a_name_is_tried() -> None:
    names = {"two.example": [PUBLIC, "1.1.1.1"]}
    assert ask(Policy(), "https://two.example/", names).dialled == [(PUBLIC, 443), ("1.1.1.1", 443)]


def test_what_the_operator_listed_may_be_private_there_and_nowhere_else() -> None:
    policy = Policy(frozenset({"http://lan.example:11434", "http://127.0.0.1:3001"}))
    assert ask(policy, "http://lan.example:11434/v1").dialled == [("192.168.1.5", 11434)]
    assert ask(policy, "http://127.0.0.1:3001/api/v1").dialled == [("127.0.0.1", 3001)]
    for url in (
        "http://lan.example/v1",
        "http://lan.example:11435/v1",
        "https://lan.example:11434/v1",
        "https://lan.example/v1",
        "http://127.0.0.1:3002/",
        "http://localhost:3001/",
        "https://127.0.0.1/",
    ):
        assert ask(policy, url).dialled == []


def test_a_listed_name_that_leads_to_metadata_is_refused() -> None:
    for address in ("169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "0.0.0.0"):
        policy = Policy(frozenset({"http://lan.example:11434"}))
        recorder = ask(policy, "http://lan.example:11434/v1", {"lan.example": [address]})
        assert recorder.dialled == []
    assert (
        ask(Policy(frozenset({"http://169.254.169.254"})), "http://169.254.169.254/").dialled == []
    )
    listed = Policy(frozenset({"http://metadata.google.internal"}))
    assert ask(listed, "http://metadata.google.internal/").dialled == []


def test_a_name_that_changes_its_answer_between_check_and_dial() -> None:
    answers = [[PUBLIC], ["127.0.0.1"]]
    recorder = Recorder({})

    def flip(host: str, port: int) -> list[str]:
        return answers.pop(0)

    http = Http(Policy(), resolver=flip, dial=recorder.dial, tls=TLS)
    with pytest.raises(Unusable):
        http.json("GET", "https://rebinding.example/")
    with pytest.raises(EndpointRefused):
        http.json("GET", "https://rebinding.example/")
    assert recorder.dialled == [(PUBLIC, 443)]
    http.dispose()


def test_the_local_network_in_lan_mode() -> None:
    policy = Policy(mode="lan")
    assert ask(policy, "http://lan.example:11434/v1").dialled == [("192.168.1.5", 11434)]
    assert ask(policy, "https://lan.example/v1").dialled == [("192.168.1.5", 443)]
    for url in (
        "http://lan.example:6379/",
        "http://lan.example:22/",
        "http://127.0.0.1:11434/v1",
        "http://public.example:8080/v1",
        "http://169.254.169.254/",
        "http://[fe80::1]:8080/",
    ):
        assert ask(policy, url).dialled == []
    assert ask(Policy(mode="public"), "http://lan.example:11434/v1").dialled == []
    assert ask(Policy(mode="public"), "https://lan.example/v1").dialled == []


def test_who_may_add_an_address() -> None:
    resolve = Recorder(NAMES).resolve
    url = "https://PUBLIC.example:443/v1/"
    assert Policy(mode="public").admit(url, resolve) == "https://public.example/v1"
    assert Policy(mode="lan").admit("http://lan.example:8080/v1", resolve)
    for mode in ("off", "operator"):
        with pytest.raises(EndpointRefused):
            Policy(mode=mode).admit(url, resolve)
    for bad in ("https://public.example/v1?key=1", "https://nowhere.example/v1"):
        with pytest.raises(EndpointRefused):
            Policy(mode="public").admit(bad, resolve)


def test_the_same_sentence_whatever_lies_there() -> None:
    sentences = set()
    for url in ("https://localhost/", "https://lan.example/", "https://public.example:22/"):
        with pytest.raises(EndpointRefused) as caught:
            Policy(mode="public").admit(url, Recorder(NAMES).resolve)
        sentences.add(caught.value.message)
    assert len(sentences) == 1


def test_settings_become_a_policy(tmp_path: Path) -> None:
    config = {
        "APIARY_ENDPOINTS": "ollama=http://192.168.1.5:11434/v1",
        "APIARY_OPENROUTER_URL": "http://127.0.0.1:3001",
    }
    policy = Policy.from_settings(
        Settings.from_mapping(config, tmp_path), also=["http://[::1]:9/v1"]
    )
    assert policy.origins == {
        "http://192.168.1.5:11434",
        "http://127.0.0.1:3001",
        "http://[::1]:9",
    }
    assert Policy.from_settings(Settings.from_mapping({}, tmp_path)).origins == frozenset()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", "public"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("172.32.0.1", "public"),
        ("100.101.102.103", "private"),
        ("127.9.9.9", "loopback"),
        ("2606:4700:4700::1111", "public"),
        ("fd12:3456::1", "private"),
        ("::1", "loopback"),
        ("64:ff9b::8.8.8.8", "public"),
        ("64:ff9b:1::8.8.8.8", "public"),
        ("64:ff9b:1:0:1::", "refused"),
        ("::ffff:10.0.0.1", "private"),
        ("fe80::1%eth0", "refused"),
        ("fd00::1%eth0", "refused"),
        ("4000::1", "refused"),
        ("nonsense", "refused"),
        ("", "refused"),
    ],
)
def test_kinds(address: str, expected: str) -> None:
    assert kind(address) == expected


@given(st.integers(0, 2**32 - 1))
@example(int(IPv4Address("169.254.169.254")))
@example(int(IPv4Address("127.0.0.1")))
@example(int(IPv4Address("10.0.0.1")))
def test_an_embedded_address_is_judged_as_itself(number: int) -> None:
    plain = kind(str(IPv4Address(number)))
    for wrapped in (
        0xFFFF << 32 | number,
        0x0064FF9B << 96 | number,
        0x0064FF9B0001 << 80 | number,
        0x2002 << 112 | number << 80,
        0x2A00 << 112 | 0x5EFE << 32 | number,
    ):
        assert kind(str(IPv6Address(wrapped))) == plain
    # Teredo carries a server and, inverted, a client.
    teredo = 0x20010000 << 96 | number << 64 | (~number & 0xFFFFFFFF)
    assert kind(str(IPv6Address(teredo))) == plain
    if number > 1:
        assert kind(str(IPv6Address(number))) == plain


@given(
    st.one_of(
        st.text(max_size=60),
        st.text("htps:/@\\#?%.[]0123456789abcdefx \t\n-_~", max_size=40).map("https://".__add__),
        st.tuples(st.ip_addresses(), st.integers(0, 70000)).map(
            lambda t: f"http://{f'[{t[0]}]' if ':' in str(t[0]) else t[0]}:{t[1]}/v1"
        ),
    )
)
def test_what_is_accepted_means_the_same_to_the_client_that_dials(url: str) -> None:
    try:
        address = parse(url)
    except EndpointRefused:
        return
    theirs = httpx.URL(address.url)
    port = theirs.port or {"http": 80, "https": 443}[theirs.scheme]
    assert (theirs.scheme, theirs.host, port) == (address.scheme, address.host, address.port)
    assert theirs.userinfo == b"" and theirs.fragment == ""
    assert parse(address.url) == address
    assert origin(address.url) == address.origin


def test_names_of_other_scripts_become_ascii() -> None:
    assert origin("https://BÜCHER.example/v1") == "https://xn--bcher-kva.example"


def test_the_resolver_of_the_system() -> None:
    assert system_resolver("127.0.0.1", 80) == ["127.0.0.1"]
