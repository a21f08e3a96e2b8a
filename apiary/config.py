"""What an operator may set: names, defaults, how a value is read, and what contradicts what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigError

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: How a provider may be called, in addresses and in the database.
NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_BUILT_IN = frozenset({"openrouter", "openai", "anthropic", "endpoint", "static"})


@dataclass(frozen=True, slots=True)
class Variable:
    """One setting: the same name in the environment, in flags.env and in ``app.config``."""

    name: str
    default: str
    meaning: str
    secret: bool = False


#: What the plug-in reads. A host adds its own to these and refuses every other APIARY_ name.
VARIABLES: tuple[Variable, ...] = (
    Variable(
        "OPENROUTER_OAUTH",
        "0",
        "The flag. On: the OpenRouter card has a Connect button instead of the key field."
        " 1/0, true/false, yes/no, on/off.",
    ),
    Variable(
        "APIARY_PUBLIC_URL",
        "",
        "The site's address as browsers see it, path prefix included, such as"
        " https://chat.example.org/team. Callback addresses are built from it and from nothing"
        " that a request says.",
    ),
    Variable(
        "APIARY_OPENROUTER_URL",
        "https://openrouter.ai",
        "Origin of OpenRouter: https, or http on loopback for the sandbox.",
    ),
    Variable(
        "APIARY_INSTANCE_PATH",
        "instance",
        "Folder of the database and of the generated secrets (files of mode 0600).",
    ),
    Variable(
        "APIARY_DATABASE_URL",
        "",
        "postgresql://user:password@host/name. Empty: SQLite in the instance folder.",
        secret=True,
    ),
    Variable(
        "APIARY_DATABASE_CONNECTIONS",
        "20",
        "How many connections to PostgreSQL each process may have. All processes of all machines"
        " together must stay below its max_connections; doctor counts.",
    ),
    Variable(
        "APIARY_ENCRYPTION_KEYS",
        "",
        "Key ring kid:base64url32,kid:... The first key encrypts, all decrypt."
        " Empty: generated into the instance folder.",
        secret=True,
    ),
    Variable(
        "APIARY_ENDPOINTS",
        "",
        "OpenAI-compatible endpoints that the operator offers, such as"
        " ollama=http://192.168.1.5:11434/v1,vllm=https://gpu.example.org/v1.",
    ),
    Variable(
        "APIARY_CUSTOM_ENDPOINTS",
        "operator",
        "Who may add endpoints: off, operator (the list above), public (users, public https"
        " addresses), lan (users, also addresses of the local network).",
    ),
    Variable(
        "APIARY_SITE_NAME",
        "Apiary",
        "Shown to users, and sent to OpenRouter as attribution and as the name of the key.",
    ),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server that the operator lists: its name and its base URL."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one app, read once when the extension is initialised."""

    openrouter_oauth: bool
    public_url: str | None
    openrouter_url: str
    instance_path: Path
    database_url: str = field(repr=False)
    database_connections: int
    encryption_keys: str | None = field(repr=False)
    endpoints: tuple[Endpoint, ...]
    custom_endpoints: str
    site_name: str

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any], instance_path: str | Path) -> "Settings":
        """Read and check the settings.

        :param config: such as ``app.config``; values may be text or of the obvious type.
        :param instance_path: what ``APIARY_INSTANCE_PATH`` is taken to be when unset.
        :raises ConfigError: with a sentence that names the setting, the value (unless it
            may hold a secret) and what is allowed.
        """
        text = {v.name: _text(config.get(v.name), v) for v in VARIABLES}
        folder = Path(config.get("APIARY_INSTANCE_PATH") or instance_path).absolute()
        custom = text["APIARY_CUSTOM_ENDPOINTS"]
        if custom not in {"off", "operator", "public", "lan"}:
            raise ConfigError(
                f"APIARY_CUSTOM_ENDPOINTS is {custom!r}; it can be off, operator, public or lan."
            )
        endpoints = _endpoints(text["APIARY_ENDPOINTS"])
        if endpoints and custom == "off":
            raise ConfigError(
                "APIARY_ENDPOINTS lists endpoints while APIARY_CUSTOM_ENDPOINTS is off."
                " Empty the list, or set APIARY_CUSTOM_ENDPOINTS to operator."
            )
        return cls(
            openrouter_oauth=flag("OPENROUTER_OAUTH", config.get("OPENROUTER_OAUTH")),
            public_url=_public_url(text["APIARY_PUBLIC_URL"]),
            openrouter_url=_origin("APIARY_OPENROUTER_URL", text["APIARY_OPENROUTER_URL"]),
            instance_path=folder,
            database_url=text["APIARY_DATABASE_URL"] or f"sqlite:///{folder / 'apiary.sqlite3'}",
            database_connections=_connections(text["APIARY_DATABASE_CONNECTIONS"]),
            encryption_keys=text["APIARY_ENCRYPTION_KEYS"] or None,
            endpoints=endpoints,
            custom_endpoints=custom,
            site_name=text["APIARY_SITE_NAME"],
        )


def flag(name: str, value: object, default: bool = False) -> bool:
    """A switch as people write it. Empty or missing means the default.

    :raises ConfigError: for anything outside the two closed sets: ``maybe`` is not false.
    """
    if value is None or value == "":
        return default
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ConfigError(
        f"{name} is {str(value)!r}, which is neither true nor false."
        " Allowed: 1/0, true/false, yes/no, on/off."
    )


def is_loopback(host: str | None) -> bool:
    """True for the three names of this machine itself; no other address counts."""
    return host in _LOOPBACK


def _text(value: object, variable: Variable) -> str:
    text = variable.default if value is None or value == "" else str(value).strip()
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ConfigError(f"{variable.name} holds a control character. Write it on one line.")
    return text


def _connections(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII):
        raise ConfigError(
            f"APIARY_DATABASE_CONNECTIONS is {text!r}. It must be a whole number from 1 to 9999."
        )
    return int(text)


def _split(name: str, text: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path of a web address without surprises in it."""
    if re.search(r"[\\\s@?#%]", text):
        raise ConfigError(
            f"{name} is {text!r}. It must be a plain web address:"
            " no user, query, fragment, blank, percent sign or backslash."
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigError(
            f"{name} is {text!r}. It must start with https:// (or http://) and a host."
        )
    return parts.scheme, host, port, parts.path.rstrip("/")


def _join(scheme: str, host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")


def _public_url(text: str) -> str | None:
    if not text:
        return None
    scheme, host, port, path = _split("APIARY_PUBLIC_URL", text)
    return _join(scheme, host, port) + path


def _origin(name: str, text: str) -> str:
    scheme, host, port, path = _split(name, text)
    if path:
        raise ConfigError(f"{name} is {text!r}. It must be an origin, without a path.")
    if scheme == "http" and not is_loopback(host):
        raise ConfigError(f"{name} is {text!r}. It must be https, or http on this machine only.")
    return _join(scheme, host, port)


def _endpoints(text: str) -> tuple[Endpoint, ...]:
    found: dict[str, Endpoint] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, separator, url = (part.strip() for part in item.partition("="))
        if not separator or not NAME.fullmatch(name) or name in _BUILT_IN:
            raise ConfigError(
                f"APIARY_ENDPOINTS holds {item!r}. Write name=URL, the name in small letters,"
                " digits and hyphens, and not the name of a provider that is built in."
            )
        if name in found:
            raise ConfigError(f"APIARY_ENDPOINTS names {name!r} twice. Give each its own name.")
        scheme, host, port, path = _split("APIARY_ENDPOINTS", url)
        found[name] = Endpoint(name, _join(scheme, host, port) + path)
    return tuple(found.values())
