"""All that belongs to one app; lies in ``app.extensions["apiary"]``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import peewee
from flask import current_app

from .client import Client
from .config import Settings, Variable
from .http import Http
from .oauth.connect import Connect
from .providers.base import Provider
from .translation import Languages
from .vault import Vault


@dataclass(frozen=True, slots=True)
class State:
    """The parts of one app, made when the extension is initialised."""

    settings: Settings
    database: peewee.Database
    migrations: Mapping[str, Path]
    vault: Vault
    providers: Mapping[str, Provider]
    client: Client
    connect: Connect
    http: Http
    #: Who is asking, None when nobody is signed in.
    owner: Callable[[], str | None]
    #: Whether that is asked of Flask-Login.
    asks_flask_login: bool
    #: Endpoint of the host's page to go back to after connecting.
    home: str | None
    #: Whether an owner may add an endpoint of their own, where the operator allows any.
    may_add_endpoint: Callable[[str], bool]
    languages: Languages
    #: Every setting of this app: the plug-in's and the host's.
    variables: tuple[Variable, ...]


def current() -> State:
    """The state of the current app.

    :raises RuntimeError: Apiary is not mounted in it.
    """
    try:
        state: State = current_app.extensions["apiary"]
    except KeyError:
        raise RuntimeError("Apiary is not mounted in this app. Call Apiary(app) first.") from None
    return state
