"""Settings: what is read, what is refused, and with which sentence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.config import VARIABLES, Settings, flag
from apiary.errors import ConfigError


def read(**config: object) -> Settings:
    return Settings.from_mapping(config, Path("/srv/instance"))


def test_the_defaults() -> None:
    settings = read()
    assert settings.openrouter_oauth is False
    assert settings.public_url is None
    assert settings.openrouter_url == "https://openrouter.ai"
    assert settings.database_url == "sqlite:////srv/instance/apiary.sqlite3"
    assert settings.database_connections == 20
    assert settings.custom_endpoints == "operator"
    assert settings.endpoints == ()
    assert settings.site_name == "Apiary"


@pytest.mark.parametrize("value", ["1", "true", "True", "YES", "on", " 1 ", True])
def test_true(value: object) -> None:
    assert flag("OPENROUTER_OAUTH", value) is True


@pytest.mark.parametrize("value", ["0", "false", "False", "NO", "off", "", None, False])
def test_false(value: object) -> None:
    assert flag("OPENROUTER_OAUTH", value) is False


@given(st.text(min_size=1))
def test_a_flag_is_true_or_false_or_refused(value: str) -> None:
    word = value.strip().lower()
    known = word in {"1", "true", "yes", "on", "0", "false", "no", "off"}
    try:
        flag("OPENROUTER_OAUTH", value)
    except ConfigError:
        assert not known
    else:
        assert known


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "10000", "٣"])
def test_connections_are_a_whole_number(value: str) -> None:
    assert read(APIARY_DATABASE_CONNECTIONS=" 8 ").database_connections == 8
    with pytest.raises(ConfigError, match=r"APIARY_DATABASE_CONNECTIONS is .* from 1 to 9999"):
        read(APIARY_DATABASE_CONNECTIONS=value)


def test_maybe_is_refused_by_name_value_and_choice() -> None:
    with pytest.raises(ConfigError) as caught:
        read(OPENROUTER_OAUTH="maybe")
    for word in ("OPENROUTER_OAUTH", "maybe", "1/0", "true/false", "yes/no", "on/off"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://bees.example.org", "https://bees.example.org"),
        ("https://bees.example.org/", "https://bees.example.org"),
        ("https://bees.example.org:443", "https://bees.example.org"),
        ("https://bees.example.org:8443/team/", "https://bees.example.org:8443/team"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("HTTPS://Bees.Example.org", "https://bees.example.org"),
    ],
)
def test_a_public_url(written: str, meant: str) -> None:
    assert read(APIARY_PUBLIC_URL=written).public_url == meant


BROKEN = [
    "bees.example.org",
    "ftp://bees.example.org",
    "https://",
    "https://user@bees.example.org",
    "https://bees.example.org?x=1",
    "https://bees.example.org#x",
    "https://bees.example.org\\@evil.example",
    "https://bees .example.org",
    "https://bees.example.org:port",
    "https://bees.example.org\nHost: evil",
    "//bees.example.org",
    "https://b%65es.example.org",
]


@pytest.mark.parametrize("name", ["APIARY_PUBLIC_URL", "APIARY_OPENROUTER_URL"])
@pytest.mark.parametrize("value", BROKEN)
def test_an_address_with_surprises_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read(**{name: value})


@pytest.mark.parametrize(
    "value", ["http://openrouter.ai", "https://openrouter.ai/api", "http://10.0.0.1"]
)
def test_openrouter_is_an_origin_with_https_or_on_loopback(value: str) -> None:
    with pytest.raises(ConfigError, match="APIARY_OPENROUTER_URL"):
        read(APIARY_OPENROUTER_URL=value)


def test_endpoints() -> None:
    settings = read(
        APIARY_ENDPOINTS="ollama=http://192.168.1.5:11434/v1, vllm=https://gpu.example/v1/"
    )
    assert [(e.name, e.url) for e in settings.endpoints] == [
        ("ollama", "http://192.168.1.5:11434/v1"),
        ("vllm", "https://gpu.example/v1"),
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ollama", "name=URL"),
        ("Ollama=http://x/v1", "small letters"),
        ("openai=http://x/v1", "built in"),
        ("endpoint=http://x/v1", "built in"),
        ("a=http://x/v1,a=http://y/v1", "twice"),
        ("a=x", "plain web address|start with"),
    ],
)
def test_broken_endpoints(value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(APIARY_ENDPOINTS=value)


def test_contradictions() -> None:
    with pytest.raises(ConfigError, match="can be off, operator, public or lan"):
        read(APIARY_CUSTOM_ENDPOINTS="everybody")
    with pytest.raises(ConfigError, match="Empty the list"):
        read(APIARY_CUSTOM_ENDPOINTS="off", APIARY_ENDPOINTS="a=http://x/v1")


def test_secrets_are_not_in_the_repr() -> None:
    secrets = {v.name: "postgresql://u:hunter2@h/db" for v in VARIABLES if v.secret}
    assert len(secrets) == 2
    assert "hunter2" not in repr(read(**secrets))
