"""The switches that make the double misbehave.

Every switch defaults to what OpenRouter is known to do. A test sets attributes on
``app.extensions["sandbox"].switches``; the command line uses ``SANDBOX_<NAME>``; a person
uses the page at ``/sandbox``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

EXCHANGE = (
    "ok",
    "400",
    "403",
    "expired",
    "404",
    "405",
    "408",
    "429",
    "500",
    "204",
    "html",
    "empty",
    "truncated",
    "array",
    "deep",
    "nan",
    "duplicate-keys",
    "huge",
    "bomb",
    "endless",
    "slow-loris",
    "huge-header",
    "reset",
    "reset-late",
    "redirect",
    "wrong-type",
    "error-200",
    "key-newline",
    "key-missing",
    "key-number",
    "key-foreign",
    "user-null",
    "set-cookie",
)
COOP = ("", "same-origin", "same-origin-allow-popups", "noopener-allow-popups")


def _switch(default: Any, about: str, options: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"about": about, "options": options})


@dataclass
class Switches:
    """What the double does differently from OpenRouter; the defaults are faithful."""

    sign_in: bool = _switch(False, "Ask for a sign-in before the consent page.")
    deny: str = _switch(
        "bare",
        "What the callback gets after Deny: nothing, an error, or an error with markup.",
        ("bare", "error", "markup"),
    )
    coop: str = _switch("", "Cross-Origin-Opener-Policy of the consent and sign-in pages.", COOP)
    state: str = _switch(
        "drop",
        "What becomes of the state parameter.",
        ("drop", "echo", "change", "duplicate"),
    )
    code: str = _switch(
        "ok", "The code in the callback.", ("ok", "missing", "long", "duplicate", "short")
    )
    callback_extra: str = _switch("", "Query text added to every callback.")
    auth_delay: float = _switch(0.0, "Seconds between a decision and the redirect.")
    lenient: bool = _switch(False, "Do not check the code verifier.")
    exchange: str = _switch("ok", "How the exchange answers.", EXCHANGE)
    exchange_delay: float = _switch(0.0, "Seconds before the exchange answers.")
    key_status: int = _switch(0, "Make /api/v1/key answer this status; 0 is off.")
    models_status: int = _switch(0, "Make /api/v1/models answer this status; 0 is off.")
    credits: str = _switch(
        "403", "What /api/v1/credits tells a user key: a refusal, or zeros.", ("403", "zeros")
    )
    usage_choices: str = _switch(
        "empty",
        "The choices of the usage chunk: none, or one with an empty delta.",
        ("empty", "one"),
    )
    pace: float = _switch(
        1.0, "Multiplies the waits of models and deviations; 0.01 makes the slow ones fast."
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            setattr(self, each.name, _checked(each.name, getattr(self, each.name)))

    def set(self, name: str, text: object) -> None:
        """Set one switch from text, or raise a ValueError that names what is allowed."""
        setattr(self, name, _checked(name, text))

    def reset(self) -> None:
        """Go back to the faithful behaviour."""
        for each in fields(self):
            setattr(self, each.name, each.default)


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the switches that the environment names as ``SANDBOX_<NAME>``."""
    names = {f"SANDBOX_{each.name.upper()}": each.name for each in fields(Switches)}
    return {names[key]: value for key, value in environ.items() if key in names}


def _checked(name: str, value: object) -> bool | int | float | str:
    spec = {each.name: each for each in fields(Switches)}.get(name)
    if spec is None:
        raise ValueError(f"The sandbox has no switch called {name!r}.")
    if isinstance(spec.default, bool):
        words = {"1": True, "true": True, "yes": True, "on": True}
        words |= {"0": False, "false": False, "no": False, "off": False, "": False}
        if str(value).lower() not in words:
            raise ValueError(f"{name} is on or off, not {value!r}.")
        return words[str(value).lower()]
    if isinstance(spec.default, int | float):
        try:
            number = type(spec.default)(str(value))
        except ValueError:
            raise ValueError(f"{name} is a number, not {value!r}.") from None
        if not 0 <= number <= 3600:
            raise ValueError(f"{name} lies between 0 and 3600, not {value!r}.")
        return number
    options = spec.metadata["options"]
    if options and value not in options:
        allowed = ", ".join(option or "(empty)" for option in options)
        raise ValueError(f"{name} is one of {allowed}; not {value!r}.")
    return str(value)
