"""OpenRouter's addresses and its exchange of a code for a key.

From OpenRouter's guide "OAuth PKCE" and its OpenAPI document (August 2026): no client id, no
secret, no registration. The challenge is the only proof, the callback address is free in each
request, and ``state`` is not documented. A code works once and lives ten minutes.
"""

from urllib.parse import urlencode

from ..config import Settings
from ..errors import ApiaryError
from ..http import Http, Unusable
from ..secret import Secret, is_key
from ..translation import say
from . import pkce
from .connect import ExchangeLost, ExchangeRefused, Grant

_SECONDS = 20.0
_BYTES = 64 * 1024


class OpenRouter:
    """The authorization server side of OpenRouter."""

    name = "openrouter"
    label = "OpenRouter"
    one_callback = False

    def __init__(self, settings: Settings, http: Http) -> None:
        self.origin = settings.openrouter_url
        self.key_label = settings.site_name[:100]
        self._http = http

    def authorize_url(self, callback: str | None, challenge: str, limit: str = "") -> str:
        """Where the browser goes to ask the user.

        :param callback: where OpenRouter sends the user back to; None makes it show the code
            for copying.
        :param limit: what the key may spend, in USD, or "".
        """
        query = {"callback_url": callback} if callback else {}
        query |= {
            "code_challenge": challenge,
            "code_challenge_method": pkce.METHOD,
            "key_label": self.key_label,
        }
        if limit:
            query["limit"] = limit
        return f"{self.origin}/auth?{urlencode(query)}"

    def exchange(self, code: str, verifier: str) -> Grant:
        """Exchange the code, once.

        :raises ExchangeRefused: OpenRouter said no; no key was made for us.
        :raises ExchangeLost: the outcome is unknown; a key may have been made.
        """
        try:
            reply = self._http.json(
                "POST",
                f"{self.origin}/api/v1/auth/keys",
                headers={},
                body={
                    "code": code,
                    "code_verifier": verifier,
                    "code_challenge_method": pkce.METHOD,
                },
                total=_SECONDS,
                cap=_BYTES,
            )
        except Unusable as error:
            if not error.sent:
                raise ExchangeRefused(
                    say("{problem} Nothing was saved.", problem=error.message)
                ) from error
            raise ExchangeLost from error
        except ApiaryError as error:
            raise ExchangeRefused(error.message) from error
        if reply.status in {400, 401, 403, 404, 405, 409, 410, 422}:
            raise ExchangeRefused(
                say("OpenRouter did not accept the approval. Nothing was saved; please try again.")
            )
        if reply.status == 429:
            raise ExchangeRefused(say("OpenRouter is busy right now. Wait a minute and try again."))
        if reply.status != 200:
            raise ExchangeLost
        data = reply.data
        key = data.get("key") if isinstance(data, dict) else None
        if not isinstance(key, str) or not is_key(key):
            raise ExchangeLost
        account = data.get("user_id")
        known = isinstance(account, str) and account.isprintable() and len(account) <= 200
        return Grant(Secret(key), account if known else None)
