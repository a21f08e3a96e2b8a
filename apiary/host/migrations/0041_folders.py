"""A conversation may lie in a folder: a name, which is there while something lies in it."""

from typing import Any

import peewee


def up(migrator: object, db: peewee.Database) -> None:
    # By hand: peewee would make the table anew on SQLite, and the triggers of the search be lost.
    run: Any = db.execute_sql
    run("ALTER TABLE conversation ADD COLUMN folder VARCHAR(100)")


def down(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    run("ALTER TABLE conversation DROP COLUMN folder")
