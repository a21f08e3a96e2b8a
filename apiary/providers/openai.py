"""OpenAI. Facts: https://platform.openai.com/docs/api-reference."""

import re
from collections.abc import Mapping
from typing import Any

from ..config import Settings
from ..errors import ApiaryError, Forbidden
from ..http import Http, Reply
from ..secret import Secret
from ..translation import say
from . import refusals
from .base import Facts, Model
from .compatible import Compatible

# The list of models mixes in what cannot chat, and nothing but the name tells.
_NO_CHAT = re.compile(
    r"embed|tts|whisper|dall-e|moderation|realtime|image|sora|audio|transcribe|davinci|babbage"
    r"|instruct|computer-use|codex-mini|deep-research|similarity|-edit-",
    re.I,
)


class OpenAI(Compatible):
    name = "openai"
    label = "OpenAI"
    key_prefixes = ("sk-proj-", "sk-svcacct-", "sk-")
    keys_url = "https://platform.openai.com/api-keys"
    credits_url = "https://platform.openai.com/settings/organization/billing/overview"
    max_tokens_field = "max_completion_tokens"

    def __init__(
        self, settings: Settings, http: Http, url: str = "https://api.openai.com/v1"
    ) -> None:
        super().__init__(settings, http, url)

    def check(self, key: Secret) -> Facts:
        """A restricted key may not list the models and may chat all the same."""
        reply = self._get("/models", key)
        if _restricted(reply):
            return Facts(verified=False)
        if reply.status != 200:
            raise self._refusal(key, reply, asked="key")
        self._entries(reply)
        return Facts()

    def _refusal(self, key: Secret | None, reply: Reply, *, asked: str = "model") -> ApiaryError:
        if _restricted(reply):
            return Forbidden(
                say(
                    "This OpenAI key may not do that: it is restricted. Give it more permissions at"
                    " OpenAI, or paste another."
                ),
                provider=self.name,
            )
        return super()._refusal(key, reply, asked=asked)

    def _model(self, entry: Mapping[str, Any]) -> Model | None:
        model = super()._model(entry)
        return None if model is None or _NO_CHAT.search(model.id) else model


def _restricted(reply: Reply) -> bool:
    if reply.status not in (401, 403):
        return False
    said = refusals.detail(reply.data)
    return "missing scopes" in said.message.lower() or "missing_scope" in said.words
