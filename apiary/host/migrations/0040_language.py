"""The language that somebody chose."""

from typing import Any

import peewee
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    column = peewee.CharField(max_length=16, null=True)
    migrator.migrate(migrator.add_column("account", "language", column))


def down(migrator: SchemaMigrator, db: peewee.Database) -> None:
    # peewee would build the table anew, which the triggers on it do not survive.
    run: Any = db.execute_sql
    run('ALTER TABLE "account" DROP COLUMN "language"')
