"""The blueprint of our pages in somebody else's app: host, subdomain, variables in the prefix.

Flask hands the values of such variables to every view and wants them back for every link. Our
views know nothing of them: they are laid aside before a view, and put into each link after it.
"""

import re
from typing import Any

from flask import Blueprint, Flask, current_app, g, has_request_context, request
from flask.blueprints import BlueprintSetupState
from flask.sansio.app import App

from .errors import ConfigError

#: Stands for any host, where an app matches hosts and names none for us.
_HOST = "apiary_host"
_ODD = re.compile(r"//|/\.\.?(/|$)|[?#\\]|\s")
_VARIABLE = re.compile(r"<(?:[^<>]*:)?(\w+)>")


def checked_prefix(prefix: str) -> str:
    """The prefix without a slash at its end.

    :raises ConfigError: it is no path, or all of the app's.
    """
    bare = prefix.rstrip("/")
    if not bare.startswith("/") or _ODD.search(_VARIABLE.sub("x", bare)):
        raise ConfigError('url_prefix must be a path such as "/settings".')
    return bare


class Pages(Blueprint):
    """A blueprint that stands at one host of an app which matches hosts, or at all of them."""

    def __init__(self, *args: Any, host: str | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self._host = host
        self.url_value_preprocessor(_lay_aside)
        self.url_defaults(_put_back)

    def make_setup_state(
        self, app: App, options: dict[str, Any], first_registration: bool = False
    ) -> BlueprintSetupState:
        if app.url_map.host_matching:
            return _AtHost(self._host or f"<{_HOST}>", self, app, options, first_registration)
        if self._host is not None:
            raise ConfigError(
                "Apiary(host=...) needs an app that matches hosts: Flask(host_matching=True)."
            )
        if self.subdomain is not None and not app.subdomain_matching:
            raise ConfigError(
                "Apiary(subdomain=...) needs an app that matches subdomains:"
                " Flask(subdomain_matching=True), and SERVER_NAME."
            )
        return super().make_setup_state(app, options, first_registration)


class _AtHost(BlueprintSetupState):
    def __init__(self, host: str, *args: Any) -> None:
        super().__init__(*args)
        self._host = host

    def add_url_rule(self, *args: Any, **options: Any) -> None:
        super().add_url_rule(*args, **options, host=self._host)


def callback(site: str, provider: str, flow: str) -> str:
    """The address that a provider leads back to; only its path is taken from the routes."""
    values = {"provider": provider, "flow": flow}
    current_app.inject_url_defaults("apiary.callback", values)
    [rule] = current_app.url_map.iter_rules("apiary.callback")
    built = rule.build(values, append_unknown=False)
    assert built is not None
    return site + built[1]


def callback_pattern(app: Flask, provider: str) -> str:
    """The path of such an address, to be read by people: ``/settings/openrouter/callback/FLOW``."""
    [rule] = app.url_map.iter_rules("apiary.callback")
    return _VARIABLE.sub(
        lambda found: provider if found[1] == "provider" else found[1].upper(), rule.rule
    )


def _variables() -> set[str]:
    """The names of the variables in the prefix and in the host: the first page has no others."""
    [rule] = current_app.url_map.iter_rules("apiary.index")
    return rule.arguments


def _lay_aside(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    values = {} if values is None else values
    # A preprocessor of the app's own may have taken some of them already.
    g._apiary_place = {name: values.pop(name) for name in _variables() & values.keys()}


def _put_back(_endpoint: str, values: dict[str, Any]) -> None:
    if not has_request_context():
        return
    # A page of the host's that shows a card may have the same variables.
    here = {_HOST: request.host.lower(), **g.get("_apiary_place", {}), **(request.view_args or {})}
    for name in _variables() & here.keys():
        values.setdefault(name, here[name])
