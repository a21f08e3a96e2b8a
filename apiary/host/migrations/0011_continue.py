"""How often an answer was continued, and how long a one the credit would pay for."""

import peewee
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    migrator.migrate(
        migrator.add_column("message", "continued", peewee.IntegerField(default=0)),
        migrator.add_column("message", "affordable", peewee.BigIntegerField(null=True)),
    )


def down(migrator: SchemaMigrator, db: peewee.Database) -> None:
    migrator.migrate(
        migrator.drop_column("message", "continued"),
        migrator.drop_column("message", "affordable"),
    )
