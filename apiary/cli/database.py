"""The database at the command line, and how other commands open it."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask.cli import with_appcontext

from .. import db, rotation
from ..pools import locked
from ..state import State, current

_LOCKED = (
    "Another connection has locked what is needed here, and did not let go in time. What was done"
    " before stays; the step that waited changed nothing. See who holds it (pg_stat_activity,"
    " pg_locks), and run this again."
)


@click.command("upgrade")
@with_appcontext
def upgrade() -> None:
    """Bring the database up to date. Several processes may do it at once."""
    state = current()
    with database_errors():
        done = db.upgrade(state.database, state.migrations)
        with db.connected():
            missing = rotation.look(state.vault.ring)
    for name in done:
        click.echo(name)
    click.echo("Done." if done else "Nothing to do: the database is up to date.")
    if missing:
        click.echo(missing, err=True)


@contextmanager
def opened() -> Iterator[State]:
    """The state of the app, with an open database that is up to date."""
    state = current()
    with database_errors(), db.connected():
        if db.pending(state.database, state.migrations):
            raise click.ClickException("The database is not up to date. Run: flask apiary upgrade")
        yield state


@contextmanager
def database_errors() -> Iterator[None]:
    """What the database says, in one line instead of a traceback."""
    try:
        yield
    except (*db.ERRORS, OSError) as error:
        if locked(error):
            raise click.ClickException(_LOCKED) from None
        raise click.ClickException(f"The database cannot be used: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """The first line of an error's text; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
