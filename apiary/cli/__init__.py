"""What an operator does at the command line: ``flask apiary …``."""

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from ..state import current
from .database import upgrade
from .doctor import doctor
from .keys import keys


def commands() -> AppGroup:
    """The group of commands for one app."""
    group = AppGroup("apiary", help="Operate Apiary: the database, the key ring, the settings.")
    group.add_command(doctor)
    group.add_command(upgrade)
    group.add_command(keys)
    group.add_command(flags)
    group.add_command(providers)
    return group


@click.command("flags")
@with_appcontext
def flags() -> None:
    """Show every setting with its value; secrets are only said to be set."""
    width = max(len(variable.name) for variable in current().variables)
    for variable in current().variables:
        value = current_app.config.get(variable.name)
        if variable.secret and value:
            shown = "(set)"
        else:
            shown = (
                str(value) if value not in (None, "") else f"{variable.default or '-'} (default)"
            )
        click.echo(f"{variable.name:{width}} {shown}")


@click.command("providers")
@with_appcontext
def providers() -> None:
    """List the providers that users can connect."""
    state = current()
    for provider in state.providers.values():
        how = "Connect" if provider.name in state.connect.servers else "key"
        click.echo(f"{provider.name:16} {provider.label:24} {how:8} {provider.origin}")
