"""The key ring at the command line: status, add, rotate, retire."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from flask.cli import AppGroup, with_appcontext

from .. import rotation
from ..crypto import KeyRing, change_secret, new_key
from ..errors import ConfigError
from ..rotation import KeyUse
from ..state import State, current
from .database import opened

_RESTART = "Then restart every process of the app"

keys = AppGroup("keys", help="Look after the key ring that seals the stored keys.")


@keys.command("status")
@with_appcontext
def status() -> None:
    """Count the stored keys by the key that sealed them."""
    with opened() as state:
        found = rotation.usage(state.vault.ring)
    click.echo(f"Key ring: {_where(state)}")
    click.echo(f"{'key':32} {'stored':>7} {'waiting':>7}  used since  role")
    for use in found:
        since = time.strftime("%Y-%m-%d", time.gmtime(use.since)) if use.since else "-"
        click.echo(f"{use.kid:32} {use.stored:7} {use.held:7}  {since:10}  {_role(use)}")


def _role(use: KeyUse) -> str:
    if not use.sound:
        return f"{use.role}, BUT ITS CANARY DOES NOT OPEN: another version of Apiary wrote it?"
    if use.role != "missing":
        return use.role
    if use.unreadable:
        return "MISSING: these are unreadable until it is put back"
    return "missing, and nothing needs it: `keys retire` forgets it"


@keys.command("add")
@click.argument("name", required=False)
@click.option("--write", is_flag=True, help="Put it first in the generated file.")
@with_appcontext
def add(name: str | None, write: bool) -> None:
    """Make a key called NAME (k2, k3, ... if left out) and print it.

    Nothing is changed without --write.
    """
    state = current()
    with _refusals():
        entry = new_key(name or _next_name(state.vault.ring))
        if entry.partition(":")[0] in _names(state.vault.ring):
            raise ConfigError("The key ring holds a key of that name. Take another name.")
        if write:
            path = _generated(state)
            change_secret(path, lambda text: _checked(f"{entry},{text}"))
            click.echo(f"{entry.partition(':')[0]} stands first in {path} now.")
            click.echo(f"Back that file up. {_RESTART}, and run: flask apiary keys rotate")
            return
    click.echo("Put this first in APIARY_ENCRYPTION_KEYS, with a comma before what is there:")
    click.echo(entry)
    click.echo(f"{_RESTART}, and run: flask apiary keys rotate")


@keys.command("rotate")
@click.option("--dry-run", is_flag=True, help="Open every row, change none.")
@click.option("--batch", default=100, show_default=True, type=click.IntRange(1, 10_000))
@with_appcontext
def rotate(dry_run: bool, batch: int) -> None:
    """Seal every stored key anew with the first key of the ring.

    Users may go on working meanwhile. A run that was stopped is taken up by the next one.
    """
    with opened() as state:
        ring = state.vault.ring
        progress = rotation.Progress(0)
        for progress in rotation.rotate(ring, _origins(state), batch=batch, dry_run=dry_run):
            click.echo(f"{progress.done} of {progress.total}")
        left = [use for use in rotation.usage(ring) if use.role == "decrypts"]
    would = "would be sealed" if dry_run else "sealed"
    click.echo(f"{progress.done} {would} with {ring.kids[0]}.")
    if progress.overtaken:
        click.echo(f"{progress.overtaken} changed meanwhile by their owners; theirs stand.")
    if progress.missing:
        click.echo(
            f"{progress.missing} cannot be read: their key is not in the key ring. They were left"
            " as they are. See: flask apiary keys status"
        )
    if progress.damaged:
        click.echo(
            f"{progress.damaged} are damaged: their key is at hand, and they do not open. They"
            " were left as they are; their owners can connect again."
        )
    again = sum(use.stored + use.held for use in left) - progress.damaged
    if again > 0 and not dry_run:
        click.echo(
            f"{again} were sealed with an older key while this ran: a process of the app still"
            " has the old key ring. Restart all of them and run this again."
        )
    if progress.missing or progress.damaged or (again > 0 and not dry_run):
        raise SystemExit(1)


@keys.command("retire")
@click.argument("kid")
@click.option("--write", is_flag=True, help="Move it out of the generated file.")
@with_appcontext
def retire(kid: str, write: bool) -> None:
    """Say whether the key KID can go, and what to remove.

    Refused while a stored key needs it. Nothing is changed without --write.
    """
    with opened() as state, _refusals():
        ring = state.vault.ring
        known = {use.kid for use in rotation.usage(ring)}
        found = ring.find(kid) or (kid if kid in known else None)
        if found is None:
            raise ConfigError(
                f"There is no key {kid!r}, or more than one. Its whole id stands in: flask apiary"
                " keys status"
            )
        if found == ring.kids[0]:
            raise ConfigError(
                f"{found} is the key that encrypts. Add another one first: flask apiary keys add"
            )
        needed = rotation.needing(ring, found, _origins(state))
        if needed:
            remedy = (
                "Run: flask apiary keys rotate"
                if found in ring
                else "Put it back into the key ring, or wait until their owners connected again."
            )
            raise ConfigError(f"Stored keys that need {found}: {needed}. {remedy}")
        if found not in ring:
            rotation.forget(found)
            click.echo(f"{found} is forgotten: nothing needs it.")
            return
        if not write:
            click.echo(f"Nothing stored needs {found}.")
            click.echo(f"Remove {_entry(ring, found)} from {_where(state)}.")
            click.echo(
                f"{_RESTART}. Keep the entry with your backups: older ones are sealed with it."
            )
            return
        path = _generated(state)
        retired = path.with_name(f"{path.name}.retired")
        change_secret(path, lambda text: _without(text, found, retired))
        rotation.forget(found)
        click.echo(f"{found} was moved from {path} to {retired}.")
        click.echo(f"{_RESTART}. Older backups of the database are sealed with it.")


def _entry(ring: KeyRing, kid: str) -> str:
    name = kid.rpartition(".")[0]
    same = [other for other in ring.kids if other.rpartition(".")[0] == name]
    which = f"number {same.index(kid) + 1} of the entries" if len(same) > 1 else "the entry"
    begin = "begin" if len(same) > 1 else "begins"
    return f"{which} that {begin} with {name}:"


def _where(state: State) -> str:
    if state.settings.encryption_keys:
        return "APIARY_ENCRYPTION_KEYS"
    return str(state.settings.instance_path / "encryption_keys")


def _generated(state: State) -> Path:
    if state.settings.encryption_keys:
        raise ConfigError(
            "The key ring comes from APIARY_ENCRYPTION_KEYS, which only you can change."
            " Leave out --write."
        )
    return state.settings.instance_path / "encryption_keys"


def _origins(state: State) -> dict[str, str]:
    return {name: provider.origin for name, provider in state.providers.items()}


def _next_name(ring: KeyRing) -> str:
    number = len(ring.kids) + 1
    while f"k{number}" in _names(ring):
        number += 1
    return f"k{number}"


def _names(ring: KeyRing) -> list[str]:
    return [kid.rpartition(".")[0] for kid in ring.kids]


def _checked(text: str) -> str:
    KeyRing.parse(text)
    return text


def _without(text: str, kid: str, retired: Path) -> str:
    entries = [entry.strip() for entry in text.split(",")]
    gone = [entry for entry in entries if KeyRing.parse(entry).kids == [kid]]
    left = _checked(",".join(entry for entry in entries if entry not in gone))
    # Kept before it is removed: the two files are not changed in one step.
    retired.touch(mode=0o600)
    with retired.open("a") as file:
        file.writelines(f"{entry}\n" for entry in gone)
    return left


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise click.ClickException(error.message) from None
