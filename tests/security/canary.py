"""Looking for pieces of a secret in text."""

import base64
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

PIECE = 12
#: All that a piece in any of the codes is made of.
_RUN = re.compile(rf"[A-Za-z0-9_+/=%.~-]{{{PIECE},}}")


def needles(secret: str, *, prefix: int = 0) -> set[str]:
    """Every piece of a secret, as it is, backwards and in the usual codes.

    :param prefix: how many of its first characters are no secret, such as ``sk-or-v1-``.
    """
    raw = secret[prefix:]
    forms = {raw, raw[::-1], raw.encode().hex(), quote(raw, safe="")}
    # base64 has three phases.
    for skip in range(3):
        coded = base64.b64encode(raw[skip:].encode()).decode().rstrip("=")
        forms |= {coded[:-2], base64.urlsafe_b64encode(raw[skip:].encode()).decode()[:-4]}
    return {form[at : at + PIECE] for form in forms for at in range(len(form) - PIECE + 1)}


def places(texts: Iterable[tuple[Any, str]], wanted: set[str]) -> list[Any]:
    """The names of the texts in which one of these pieces stands."""
    kept = list(texts)
    # What stands in a hundred of them is looked at once.
    if not leaks("\n".join(text for _, text in kept), wanted):
        return []
    return [name for name, text in kept if leaks(text, wanted)]


def leaks(text: str, wanted: set[str]) -> set[str]:
    """Which of these pieces stand in a text."""
    runs = set(_RUN.findall(text))
    windows = {run[at : at + PIECE] for run in runs for at in range(len(run) - PIECE + 1)}
    return windows & wanted
