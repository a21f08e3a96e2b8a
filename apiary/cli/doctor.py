"""``flask apiary doctor``: what is wrong, and how to mend it."""

import dataclasses
import json

import click
from flask import current_app
from flask.cli import with_appcontext

from .. import doctor as examination
from ..state import current


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--offline", is_flag=True, help="Dial nobody.")
@with_appcontext
def doctor(as_json: bool, offline: bool) -> None:
    """Say what is wrong and how to mend it. Exit status 1 when something is wrong."""
    checks = examination.examine(current(), current_app, offline=offline)
    wrong = [check for check in checks if check.level == "wrong"]
    if as_json:
        found = [dataclasses.asdict(check) for check in checks]
        click.echo(json.dumps({"ok": not wrong, "checks": found}, indent=2))
    else:
        for check in checks:
            click.echo(f"{check.level:6} {check.name:12} {check.message}")
            if check.remedy:
                click.echo(f"{'':19} -> {check.remedy}")
        warnings = sum(check.level == "warn" for check in checks)
        click.echo(f"{len(wrong)} wrong, {warnings} to look at, {len(checks)} checked.")
    if wrong:
        raise SystemExit(1)
