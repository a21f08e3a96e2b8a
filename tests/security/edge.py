"""The site's public address, a browser that is there, and what the corpora hold."""

import codecs
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.test import TestResponse

from tests.host.browsing import Browser

CORPORA = Path(__file__).parents[1] / "corpora"
PUBLIC = "https://bees.example.org"
#: Ends of a popup: a policy of their own would cut them off from the page that opened it.
ON_THE_WAY = re.compile(r"/settings/openrouter/(connect|callback|done|trouble)\b")
MARKUP = """<svg/onload=alert(1)>"'><img src=x>"""
WORD = "zebra-echo"
PARAMETERS = [
    "next", "back", "url", "to", "target", "redirect", "redirect_uri", "redirect_to",
    "redirect_url", "return", "return_to", "returnUrl", "continue", "dest", "destination",
    "_target_url", "callback", "callback_url", "goto", "home", "r", "u", "from", "origin",
    "error", "error_description", "state", "iss", "display", "attempt", "provider", "limit",
]  # fmt: skip


def lines(name: str) -> list[str]:
    found = (CORPORA / name).read_text().splitlines()
    return [line for line in found if line and not line.startswith("#")]


PLACES = [codecs.decode(line, "unicode_escape") for line in lines("next.txt")]
HEADERS = [tuple(line.split(": ", 1)) for line in lines("headers.txt")]


class Safe(Browser):
    """A browser at the site's public address, https or not."""

    def __init__(self, app: Flask, url: str) -> None:
        super().__init__(app)
        true = self.client.open
        parts = urlsplit(url)

        def open_there(*args: Any, **more: Any) -> TestResponse:
            more.setdefault("base_url", f"{parts.scheme}://{parts.netloc}")
            return true(*args, **more)

        self.client.open = open_there  # type: ignore[method-assign]
