"""OpenAI-compatible servers, such as Ollama, vLLM, LM Studio, llama.cpp."""

from ..config import Settings
from ..errors import ApiaryError, KeyRejected, ProviderDown
from ..http import Http, Reply
from ..secret import Secret
from ..translation import say
from .base import Facts, Provider
from .compatible import Compatible


class Endpoint(Compatible):
    """One that the operator lists.

    :param url: its base URL, which normally ends in ``/v1``.
    """

    needs_key = False

    def __init__(self, settings: Settings, http: Http, name: str, url: str) -> None:
        super().__init__(settings, http, url)
        self.name = name
        self.label = name

    def check(self, key: Secret) -> Facts:
        """Reachable or not. llama.cpp lists its models to anybody even where it wants a key, so
        an answer proves nothing about one."""
        super().check(key)
        return Facts(verified=False)

    def _refusal(self, key: Secret | None, reply: Reply, *, asked: str = "model") -> ApiaryError:
        if reply.status == 401 and not key:
            return KeyRejected(
                say("{label} wants a key. Paste one.", label=self.label), provider=self.name
            )
        if reply.status == 404 and asked != "model":
            return ProviderDown(
                say(
                    "{label} answers, but has no list of models. Its address normally ends in /v1.",
                    label=self.label,
                ),
                provider=self.name,
            )
        return super()._refusal(key, reply, asked=asked)


class OwnEndpoint(Endpoint):
    """One whose address its owner gives, where the operator allows that."""

    takes_address = True
    NAME = "endpoint"

    def __init__(self, settings: Settings, http: Http, url: str = "") -> None:
        super().__init__(settings, http, self.NAME, url)
        self.label = say("Your own endpoint")
        self._settings = settings

    def at(self, base_url: str) -> Provider:
        return OwnEndpoint(self._settings, self._http, base_url)
