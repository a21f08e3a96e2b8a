"""The running answers are few among many, and are looked for: those of dead processes."""

from typing import Any

import peewee


def up(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    # Of no column that a running answer changes: PostgreSQL saves it in place then.
    run("CREATE INDEX message_running ON message (id) WHERE state = 'streaming'")


def down(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    run("DROP INDEX message_running")
