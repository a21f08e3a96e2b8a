"""The extension itself: what an app gets when Apiary is mounted in it."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from uuid import UUID
from weakref import WeakSet

import peewee
from flask import Flask, current_app

from . import db, mounting, readiness
from . import doctor as examination
from .addresses import Policy
from .blueprint import checked_prefix
from .cli import commands
from .client import Answer, BeforeSend, Catalogue, Client, Messages
from .config import VARIABLES, Settings, Variable
from .crypto import KeyRing, generated_secret, new_key
from .errors import ConfigError
from .findings import Check
from .http import Http
from .oauth.connect import AuthServer, Connect
from .oauth.openrouter import OpenRouter
from .providers import load
from .providers.base import ChatRequest, Model, Provider, Stream
from .secret import Secret
from .state import State, current
from .translation import Languages, babel_locale
from .vault import Connection, Vault
from .views import make_blueprint

_log = logging.getLogger("apiary")

#: Of all apps that are still there: what is registered at the fork stays for ever.
_ways_out: WeakSet[Http] = WeakSet()


def _forked() -> None:
    for http in list(_ways_out):
        http.dispose()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

#: The id of a user as the host has it. Text counts: 7 and "7" are the same owner.
Owner = str | int | UUID


class Apiary:
    """Lets every user of a Flask app bring their own model.

    :param app: short for :meth:`init_app`.
    :param url_prefix: where the settings pages are mounted. Variables in it, as in
        ``/<team>/settings``, are kept in all links.
    :param host: for ``Flask(host_matching=True)``: the host of the pages; left out, every one.
    :param subdomain: for ``Flask(subdomain_matching=True)``: the subdomain of the pages.
    :param owner: returns the id of the current user, None when nobody is signed in.
        Left out, Flask-Login's ``current_user.get_id()`` is asked.
    :param database: a peewee ``Database`` of the host's; left out, one is opened from
        ``APIARY_DATABASE_URL``. The host opens and closes the connections of its own database.
    :param migrations: folders of the host's own migrations by name, for hosts that share the
        database; ``flask apiary upgrade`` runs them too.
    :param home: endpoint of the host's page to go back to after connecting.
    :param providers: further providers; one with the name of a built-in takes its place.
    :param auth_servers: called with the settings and the ``Http``, gives the servers at which
        users connect beside OpenRouter; each has the name of its provider.
    :param before_send: called with the owner, the provider's name and the messages before each
        question is sent; may return other messages, such as with a system prompt before them.
    :param may_add_endpoint: called with an owner; says whether that one may add an endpoint of
        their own where ``APIARY_CUSTOM_ENDPOINTS`` is ``public`` or ``lan``. Left out, all may.
    :param locale: returns the tag of the language of who is asking, such as ``de``, or None for
        English. Left out, Flask-Babel is asked where the app has it; else it is English.
    :param translations: folders with further catalogues ``<tag>/LC_MESSAGES/apiary.mo``: other
        languages, or other words than ours. Paths begin at the app's ``root_path``.
    :param variables: settings of the host's, which ``flask apiary flags`` shows too.

    The functions may be async where Flask's own views may: with ``flask[async]``.
    One object may serve several apps; nothing of an app is kept on it.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        url_prefix: str = "/settings",
        host: str | None = None,
        subdomain: str | None = None,
        owner: Callable[[], Owner | None] | None = None,
        database: peewee.Database | peewee.DatabaseProxy | None = None,
        migrations: Mapping[str, Path] | None = None,
        home: str | None = None,
        providers: Iterable[Provider] | Callable[[Settings, Http], Iterable[Provider]] = (),
        auth_servers: Callable[[Settings, Http], Iterable[AuthServer]] | None = None,
        before_send: BeforeSend | None = None,
        may_add_endpoint: Callable[[str], bool] | None = None,
        locale: Callable[[], str | None] | None = None,
        translations: Iterable[str | Path] = (),
        variables: Iterable[Variable] = (),
    ) -> None:
        self._url_prefix = url_prefix
        self._host = host
        self._subdomain = subdomain
        self._owner = owner
        self._database = database
        self._migrations = dict(migrations or {})
        self._home = home
        self._extra = providers
        self._auth_servers = auth_servers
        self._before_send = before_send
        self._may_add_endpoint = may_add_endpoint
        self._locale = locale
        self._translations = tuple(translations)
        self._variables = tuple(variables)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Mount Apiary in an app.

        Reads the settings of :data:`apiary.VARIABLES` from ``app.config`` once; later changes
        have no effect.

        :raises ConfigError: settings that cannot be read or contradict each other.
        :raises RuntimeError: Apiary is mounted in this app already.
        """
        if "apiary" in app.extensions:
            raise RuntimeError("Apiary is mounted in this app already. Call init_app once.")
        prefix = checked_prefix(self._url_prefix)
        variables = (*VARIABLES, *self._variables)
        mounting.check_settings(app.config, (variable.name for variable in variables))
        settings = Settings.from_mapping(app.config, app.instance_path)
        ring = _key_ring(settings)
        http = Http(Policy.from_settings(settings))
        extra = self._extra(settings, http) if callable(self._extra) else self._extra
        providers = load(settings, http, tuple(extra))
        translations = mounting.folders(app, "translations", self._translations)
        vault = Vault(ring)
        servers: dict[str, AuthServer] = {}
        if settings.openrouter_oauth:
            servers["openrouter"] = OpenRouter(settings, http)
        for server in self._auth_servers(settings, http) if self._auth_servers else ():
            servers[server.name] = server
        if unknown := servers.keys() - providers.keys():
            raise ConfigError(f"auth_servers names {min(unknown)!r}, which is no provider here.")
        database = (
            db.open_url(settings.database_url, settings.database_connections)
            if self._database is None
            else mounting.handed_over(self._database)
        )
        ready = app.ensure_sync
        state = State(
            settings=settings,
            database=database,
            migrations=self._migrations,
            vault=vault,
            providers=providers,
            client=Client(vault, providers, self._before_send and ready(self._before_send)),
            connect=Connect(vault, servers, providers),
            http=http,
            owner=partial(_owner_as_text, ready(self._owner or _flask_login_owner)),
            asks_flask_login=self._owner is None,
            home=self._home,
            may_add_endpoint=ready(self._may_add_endpoint or (lambda owner: True)),
            languages=Languages(ready(self._locale or babel_locale), translations),
            variables=variables,
        )
        pages = make_blueprint(servers, prefix, self._host, self._subdomain)
        mounting.register(app, pages)
        app.extensions["apiary"] = state
        app.cli.add_command(commands())
        embedded = isinstance(database, peewee.SqliteDatabase)
        if embedded:
            mounting.upgrade(database, self._migrations)
        # A host that has its migrations run here cannot serve without them either.
        app.before_request(mounting.before_use(whole_app=bool(self._migrations), embedded=embedded))
        _ways_out.add(http)

    # What follows is for the host's own views, threads and commands; each needs an app context.

    def connection(self, owner: Owner | None, provider: str) -> Connection | None:
        """Who is connected, since when, in which state; None when there is no connection."""
        vault, who = current().vault, _text(owner)
        with db.answering():
            return None if who is None else vault.get(who, provider)

    def connections(self, owner: Owner | None) -> list[Connection]:
        """The owner's connections, the newest first."""
        vault, who = current().vault, _text(owner)
        with db.answering():
            return [] if who is None else vault.all(who)

    def providers(self) -> list[Provider]:
        """The providers of this app, in the order of the settings page."""
        return list(current().providers.values())

    def catalogue(
        self, owner: Owner | None, provider: str, *, api_key: str | Secret | None = None
    ) -> Catalogue:
        """The models with the age of the list. See :meth:`apiary.client.Client.catalogue`."""
        return current().client.catalogue(_text(owner), provider, api_key=api_key)

    def models(
        self, owner: Owner | None, provider: str, *, api_key: str | Secret | None = None
    ) -> list[Model]:
        """The models that can be asked with the owner's connection."""
        return self.catalogue(owner, provider, api_key=api_key).models

    def stream(
        self,
        owner: Owner | None,
        provider: str,
        *,
        model: str,
        messages: Messages,
        max_tokens: int | None = None,
        user: str | None = None,
        api_key: str | Secret | None = None,
    ) -> Stream:
        """Ask the owner's model; iterate over what comes. ``close()`` ends the answer.

        :raises ApiaryError: before the answer begins, or while it is iterated.
        """
        request = ChatRequest(model, messages, max_tokens, user)
        return current().client.stream(_text(owner), provider, request, api_key)

    def complete(
        self,
        owner: Owner | None,
        provider: str,
        *,
        model: str,
        messages: Messages,
        max_tokens: int | None = None,
        user: str | None = None,
        api_key: str | Secret | None = None,
    ) -> Answer:
        """As :meth:`stream`, but waits for the whole answer."""
        request = ChatRequest(model, messages, max_tokens, user)
        return current().client.complete(_text(owner), provider, request, api_key)

    def hang_up(self) -> None:
        """Break off all that providers are being asked; for the end of a process."""
        current().http.dispose()

    def doctor(self, *, offline: bool = False) -> list[Check]:
        """What ``flask apiary doctor`` finds, for a page of the operator's; no secret is in it.

        :param offline: dial nobody but the database.
        """
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        return examination.examine(current(), app, offline=offline)

    def ready(self) -> list[str]:
        """What keeps this process from serving, in sentences for anybody; empty when nothing."""
        return readiness.reasons(current())

    def forget_owner(self, owner: Owner | None) -> None:
        """Delete every row of an owner whose account ends."""
        vault, who = current().vault, _text(owner)
        if who is not None:
            with db.answering():
                vault.forget_owner(who)


def _key_ring(settings: Settings) -> KeyRing:
    if settings.encryption_keys:
        return KeyRing.parse(settings.encryption_keys)
    path = settings.instance_path / "encryption_keys"
    if not path.exists():
        _log.warning(
            "No APIARY_ENCRYPTION_KEYS: a key ring is generated in %s. Back it up apart from the"
            " database; without it stored keys cannot be read.",
            path,
        )
    return KeyRing.parse(generated_secret(path, lambda: new_key("k1")))


def _text(owner: Owner | None) -> str | None:
    # An empty id would be shared by everybody who has none, and so would be the False of
    # `current_user.is_authenticated and current_user.id`.
    if owner is None or owner is False or owner == "":
        return None
    # A user instead of its id may read as its place in memory, where another's is later.
    odd = not isinstance(owner, Owner) and owner.__class__.__str__ is object.__str__
    if owner is True or odd:
        raise TypeError(
            f"An owner is the id of a user: text, a number or a UUID, not {owner.__class__!r}."
            " Look at what Apiary(owner=...) returns, or at the owner that was passed."
        )
    return str(owner)


def _owner_as_text(ask: Callable[[], Owner | None]) -> str | None:
    return _text(ask())


def _flask_login_owner() -> Owner | None:
    if not hasattr(current_app, "login_manager"):
        raise RuntimeError(
            "Apiary does not know who is signed in. Set up Flask-Login in this app, or pass"
            " Apiary(owner=...), a function that returns the current user's id."
        )
    from flask_login import current_user

    found: Owner | None = current_user.get_id() if current_user.is_authenticated else None
    return found
