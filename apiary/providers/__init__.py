"""The providers of one app: those built in, the operator's endpoints, and plug-ins."""

import logging
from collections.abc import Iterable
from importlib.metadata import entry_points

from ..config import NAME, Settings
from ..errors import ConfigError
from ..http import Http
from .anthropic import Anthropic
from .base import Provider
from .endpoint import Endpoint, OwnEndpoint
from .openai import OpenAI
from .openrouter import OpenRouter

__all__ = ["BUILT_IN", "GROUP", "Anthropic", "Endpoint", "OpenAI", "OpenRouter", "load"]

GROUP = "apiary.providers"
BUILT_IN = (OpenRouter, Anthropic, OpenAI)

_log = logging.getLogger(__name__)


def load(settings: Settings, http: Http, extra: Iterable[Provider] = ()) -> dict[str, Provider]:
    """All providers by name, in the order in which they are shown.

    :param extra: providers of the host's, which take the place of others of the same name.

    An entry point of the group ``apiary.providers`` is called with the settings and the
    :class:`~apiary.http.Http` and gives a provider. One that fails, or takes a name that is
    taken, is logged and left out: a broken plug-in must not keep the others from working.

    :raises ConfigError: a provider of the host's has a name that cannot stand in addresses.
    """
    found: dict[str, Provider] = {}
    for make in BUILT_IN:
        provider: Provider = make(settings, http)
        found[provider.name] = provider
    for endpoint in settings.endpoints:
        found[endpoint.name] = Endpoint(settings, http, endpoint.name, endpoint.url)
    if settings.custom_endpoints in {"public", "lan"}:
        found[OwnEndpoint.NAME] = OwnEndpoint(settings, http)
    for provider in extra:
        found[_named(provider).name] = provider
    for point in entry_points(group=GROUP):
        try:
            provider = point.load()(settings, http)
            if not isinstance(provider, Provider):
                raise TypeError(f"it gives {type(provider).__name__}, which is no Provider")
            if _named(provider).name in found:
                raise ValueError(f"the name {provider.name!r} is taken")
        except Exception as problem:
            _log.warning("The provider %s of %s is left out: %s", point.name, point.value, problem)
            continue
        found[provider.name] = provider
    return found


def _named(provider: Provider) -> Provider:
    if not NAME.fullmatch(provider.name):
        raise ConfigError(
            f"A provider is named {provider.name!r}. Its name stands in addresses: up to 32 small"
            " letters, digits and hyphens, a letter first. What people read is its label."
        )
    return provider
