"""What an operator does at the command line: ``flask apiary …``."""

from typing import Any

import click
import peewee
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from . import db
from .config import VARIABLES
from .crypto import new_key
from .models import StoredConnection
from .state import State, current


def commands() -> AppGroup:
    """The group of commands for one app."""
    group = AppGroup("apiary", help="Operate Apiary: the database, the key ring, the settings.")

    @group.command("upgrade")
    @with_appcontext
    def upgrade() -> None:
        """Bring the database up to date."""
        state = current()
        try:
            done = db.upgrade(state.database, state.migrations)
        except peewee.PeeweeException as error:
            raise click.ClickException(_unreachable(error)) from None
        for name in done:
            click.echo(name)
        click.echo("Done." if done else "Nothing to do: the database is up to date.")

    @group.command("flags")
    @with_appcontext
    def flags() -> None:
        """Show every setting with its value; secrets are only said to be set."""
        for variable in VARIABLES:
            value = current_app.config.get(variable.name)
            if variable.secret and value:
                shown = "(set)"
            else:
                shown = (
                    str(value)
                    if value not in (None, "")
                    else f"{variable.default or '-'} (default)"
                )
            click.echo(f"{variable.name:26} {shown}")

    @group.command("providers")
    @with_appcontext
    def providers() -> None:
        """List the providers that users can connect."""
        state = current()
        for provider in state.providers.values():
            how = "Connect" if provider.name in state.connect.servers else "key"
            click.echo(f"{provider.name:16} {provider.label:24} {how:8} {provider.origin}")

    group.add_command(_keys())
    return group


def _keys() -> AppGroup:
    keys = AppGroup("keys", help="Look after the key ring that seals the stored keys.")

    @keys.command("status")
    @with_appcontext
    def status() -> None:
        """Count the stored keys by the key that sealed them."""
        state = current()
        counts = _counts(state)
        first = state.vault.ring.kids[0]
        for kid in [*state.vault.ring.kids, *sorted(set(counts) - set(state.vault.ring.kids))]:
            if kid == first:
                role = "encrypts"
            else:
                role = "decrypts" if kid in state.vault.ring else "MISSING: these are unreadable"
            click.echo(f"{kid:32} {counts.get(kid, 0):6}  {role}")

    @keys.command("add")
    @click.argument("name")
    def add(name: str) -> None:
        """Make a key called NAME and print it; nothing is changed."""
        click.echo("Put this first in APIARY_ENCRYPTION_KEYS, before the keys that are there:")
        click.echo(new_key(name))

    return keys


def _counts(state: State) -> dict[str, int]:
    query: Any = (
        StoredConnection.select(StoredConnection.kid, peewee.fn.COUNT(StoredConnection.id))
        .where(StoredConnection.kid.is_null(False))
        .group_by(StoredConnection.kid)
        .tuples()
    )
    try:
        with db.connected():
            return dict(query)
    except peewee.PeeweeException as error:
        raise click.ClickException(_unreachable(error)) from None


def _unreachable(error: Exception) -> str:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"The database cannot be used: {first}"
