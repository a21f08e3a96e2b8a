"""OpenRouter: one account, hundreds of models. Facts: https://openrouter.ai/docs."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin

from ..addresses import origin
from ..config import Settings
from ..errors import (
    EndpointRefused,
    KeyRejected,
    ProviderDown,
    RateLimited,
    RequestRefused,
)
from ..http import Http
from ..secret import Secret
from ..translation import say
from . import refusals
from .base import Facts, Model
from .compatible import LIST_LENGTH, LIST_PAGES, Compatible, amount, text, whole


class OpenRouter(Compatible):
    name = "openrouter"
    label = "OpenRouter"
    one_list = True
    key_prefixes = ("sk-or-",)
    max_tokens_field = "max_completion_tokens"
    # Usage is always sent there; stream_options has no effect.
    options: Mapping[str, Any] = {}

    def __init__(self, settings: Settings, http: Http) -> None:
        super().__init__(settings, http, f"{settings.openrouter_url}/api/v1")
        self.keys_url = f"{self.origin}/settings/keys"
        self.credits_url = f"{self.origin}/settings/credits"

    def key_page(self, key_sha256: str) -> str:
        return f"{self.origin}/keys/{key_sha256}"

    def check(self, key: Secret) -> Facts:
        reply = self._get("/key", key, cap=64 * 1024)
        if reply.status != 200:
            problem = self._refusal(key, reply, asked="key")
            if isinstance(problem, KeyRejected | RateLimited | ProviderDown):
                raise problem
            # Only a 401 says that a key is dead; whatever else comes says nothing about it.
            raise ProviderDown(
                say(
                    "OpenRouter did not say whether the key is good ({status}). Try again.",
                    status=reply.status,
                ),
                provider=self.name,
            )
        data = reply.data.get("data") if isinstance(reply.data, Mapping) else None
        if not isinstance(data, Mapping) or not ({"label", "usage"} & data.keys()):
            raise self._nonsense()
        if data.get("is_management_key") is True or data.get("is_provisioning_key") is True:
            raise RequestRefused(
                say(
                    "This is a management key, which cannot chat. Make an ordinary key at"
                    " OpenRouter and paste that."
                ),
                provider=self.name,
            )
        return _facts(data, key)

    def models(self, key: Secret | None) -> list[Model]:
        """The catalogue, which is the same for everybody: it is asked for without a key, for
        with a dead one even this answers 401."""
        found: dict[str, Model] = {}
        path = "/models"
        for _ in range(LIST_PAGES):
            reply = self._get(path, None)
            if reply.status != 200:
                raise self._refusal(None, reply, asked="models")
            for entry in self._entries(reply):
                model = self._model(entry)
                if model is not None:
                    found.setdefault(model.id, model)
            links = reply.data.get("links") if isinstance(reply.data, Mapping) else None
            following = links.get("next") if isinstance(links, Mapping) else None
            path = self._below(following) if isinstance(following, str) else ""
            if not path or len(found) >= LIST_LENGTH:
                break
        return list(found.values())

    def _below(self, link: str) -> str:
        """The part of a link below our URL, "" where it leads anywhere else."""
        target = urljoin(f"{self._url}/models", link)
        try:
            same = origin(target) == self.origin
        except EndpointRefused:
            return ""
        return target.removeprefix(self._url) if same and target.startswith(f"{self._url}/") else ""

    def _headers(self, key: Secret | None) -> dict[str, str]:
        headers = super()._headers(key)
        title = self._settings.site_name.encode("ascii", "replace").decode()
        if self._settings.public_url:
            headers["http-referer"] = self._settings.public_url
        # The second is the older name of the first, which some of its machines still read.
        return {**headers, "x-openrouter-title": title, "x-title": title}

    def _model(self, entry: Mapping[str, Any]) -> Model | None:
        name = text(entry.get("id"))
        kinds = entry.get("architecture")
        kinds = kinds if isinstance(kinds, Mapping) else {}
        outputs = kinds.get("output_modalities")
        if not name or (isinstance(outputs, list) and outputs and "text" not in outputs):
            return None
        inputs = kinds.get("input_modalities")
        prices = entry.get("pricing")
        prices = prices if isinstance(prices, Mapping) else {}
        prompt, completion = amount(prices.get("prompt")), amount(prices.get("completion"))
        varies = any(price is not None and price < 0 for price in (prompt, completion))
        return Model(
            id=name,
            name=text(entry.get("name")) or name,
            context=whole(entry.get("context_length")),
            prompt_price=None if varies else _per_million(prompt),
            completion_price=None if varies else _per_million(completion),
            varies=varies,
            inputs=tuple(filter(None, (text(word, 20) for word in inputs[:10])))
            if isinstance(inputs, list) and inputs
            else ("text",),
            created=whole(entry.get("created")),
        )


def _per_million(price: Decimal | None) -> Decimal | None:
    return None if price is None else (price * 1_000_000).normalize() + 0


def _facts(data: Mapping[str, Any], key: Secret) -> Facts:
    email = text(data.get("email"))
    label = data.get("label")
    free = data.get("is_free_tier")
    return Facts(
        known=True,
        identity=email if "@" in email else None,
        account=text(data.get("creator_user_id")) or None,
        # The label is a masked form of the key, so a short piece of it is expected there.
        label=refusals.excerpt(label, key, limit=100, piece=16) or None
        if isinstance(label, str)
        else None,
        usage=amount(data.get("usage")),
        limit=amount(data.get("limit")),
        limit_remaining=amount(data.get("limit_remaining")),
        limit_reset=text(data.get("limit_reset"), 40) or None,
        free_tier=free if isinstance(free, bool) else None,
    )
