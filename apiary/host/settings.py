"""What the operator may set for the chat app, beside what the plug-in reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apiary import ConfigError, Settings, Variable, flag

HOST_VARIABLES = (
    Variable(
        "APIARY_SECRET_KEY",
        "",
        "Signs the session cookies, 16 characters or more."
        " Empty: generated into the instance folder.",
        secret=True,
    ),
    Variable(
        "APIARY_BUILTIN_PROVIDER",
        "",
        "Provider of a model that you pay for, such as openrouter. Empty: no built-in model.",
    ),
    Variable("APIARY_BUILTIN_MODEL", "", "Id of the built-in model at that provider."),
    Variable("APIARY_BUILTIN_KEY", "", "Your key for the built-in model.", secret=True),
    Variable(
        "APIARY_BUILTIN_DAILY_MESSAGES",
        "20",
        "How many messages each user may send to the built-in model on one day (UTC).",
    ),
    Variable("APIARY_GUESTS", "1", "1: visitors may chat without signing up."),
    Variable("APIARY_SIGNUP", "1", "1: visitors may become members with a name and a password."),
    Variable(
        "APIARY_PROXY_HOPS",
        "0",
        "How many reverse proxies stand before the app and set X-Forwarded headers."
        " 0: those headers are not believed.",
    ),
    Variable(
        "APIARY_LOG_FORMAT",
        "text",
        "How the log on standard error is written: text, or json with one object on each line.",
    ),
    Variable(
        "APIARY_REDIS_URL",
        "",
        "redis://host:6379/0, for limits and running answers across processes and machines.",
        secret=True,
    ),
    Variable(
        "APIARY_MOST_ANSWERS",
        "",
        "How many answers may be written at once on the whole site; without Redis, in each"
        " process. Empty: 2,000 in each process.",
    ),
    Variable(
        "APIARY_OPERATOR_TOKEN",
        "",
        "Opens /metrics and /operator, 16 characters or more. Empty: these pages do not exist.",
        secret=True,
    ),
)

_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The settings of the chat app, read once. ``builtin_*`` are "" without a built-in model."""

    public_url: str | None
    site_name: str
    instance_path: Path
    builtin_provider: str
    builtin_model: str
    builtin_key: str
    builtin_daily_messages: int
    guests: bool
    signup: bool
    proxy_hops: int
    log_format: str
    #: On the whole site, 0 for any number.
    most_answers: int
    operator_token: str

    @property
    def https(self) -> bool:
        return (self.public_url or "").startswith("https://")

    def __repr__(self) -> str:
        return f"HostSettings(public_url={self.public_url!r})"

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any], instance_path: Path) -> "HostSettings":
        """Read and check the settings.

        :raises ConfigError: with a sentence that names the setting, what it is (never a
            secret) and what is allowed.
        """
        plugin = Settings.from_mapping(config, instance_path)
        provider, model, key = (
            str(config.get(f"APIARY_BUILTIN_{part}") or "").strip()
            for part in ("PROVIDER", "MODEL", "KEY")
        )
        _check_builtin(provider, model, key)
        guests = flag("APIARY_GUESTS", config.get("APIARY_GUESTS"), default=True)
        signup = flag("APIARY_SIGNUP", config.get("APIARY_SIGNUP"), default=True)
        secret = str(config.get("APIARY_SECRET_KEY") or "")
        if secret and len(secret) < _SHORTEST_SECRET:
            raise ConfigError(
                f"APIARY_SECRET_KEY is shorter than {_SHORTEST_SECRET} characters. Make it longer,"
                " or leave it empty to have one generated."
            )
        log_format = str(config.get("APIARY_LOG_FORMAT") or "text").strip().lower()
        if log_format not in ("text", "json"):
            raise ConfigError(f"APIARY_LOG_FORMAT is {log_format!r}; it can be text or json.")
        token = str(config.get("APIARY_OPERATOR_TOKEN") or "").strip()
        if token and not (len(token) >= _SHORTEST_SECRET and token.isascii()):
            raise ConfigError(
                f"APIARY_OPERATOR_TOKEN must have {_SHORTEST_SECRET} characters or more, all of"
                " them ASCII. Make it longer, or leave it empty to have no operator's pages."
            )
        return cls(
            public_url=plugin.public_url,
            site_name=plugin.site_name,
            instance_path=plugin.instance_path,
            builtin_provider=provider,
            builtin_model=model,
            builtin_key=key,
            builtin_daily_messages=_number(config, "APIARY_BUILTIN_DAILY_MESSAGES", 20, 1, 10**6),
            guests=guests,
            signup=signup,
            proxy_hops=_number(config, "APIARY_PROXY_HOPS", 0, 0, 16),
            log_format=log_format,
            most_answers=_number(config, "APIARY_MOST_ANSWERS", 0, 1, 10**6),
            operator_token=token,
        )

    def check_provider(self, known: list[str]) -> None:
        """Refuse a built-in provider that does not exist.

        :param known: names of the providers of this app.
        :raises ConfigError: with the names that can be used.
        """
        if self.builtin_provider and self.builtin_provider not in known:
            raise ConfigError(
                f"APIARY_BUILTIN_PROVIDER is {self.builtin_provider!r}, which is not a provider"
                f" of this app. It can be {', '.join(sorted(known))}."
            )


def _check_builtin(provider: str, model: str, key: str) -> None:
    if provider and not model:
        raise ConfigError(
            "APIARY_BUILTIN_PROVIDER is set without APIARY_BUILTIN_MODEL. Name the model, or"
            " empty APIARY_BUILTIN_PROVIDER."
        )
    if provider and not key:
        raise ConfigError(
            "APIARY_BUILTIN_PROVIDER is set without APIARY_BUILTIN_KEY. Add your key, or empty"
            " APIARY_BUILTIN_PROVIDER."
        )
    if not provider and (model or key):
        name = "APIARY_BUILTIN_MODEL" if model else "APIARY_BUILTIN_KEY"
        raise ConfigError(
            f"{name} is set without APIARY_BUILTIN_PROVIDER. Name the provider, or empty {name}."
        )


def _number(config: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = config.get(name)
    if value is None or value == "":
        return default
    text = str(value).strip()
    if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
        raise ConfigError(f"{name} is {text!r}. It must be a whole number from {least} to {most}.")
    return int(text)
