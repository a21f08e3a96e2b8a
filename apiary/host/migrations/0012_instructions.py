"""What a model is told before the first message: for one conversation, and by default."""

import peewee
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    migrator.migrate(
        migrator.add_column("conversation", "instructions", peewee.TextField(null=True)),
        migrator.add_column("account", "instructions", peewee.TextField(null=True)),
    )


def down(migrator: SchemaMigrator, db: peewee.Database) -> None:
    migrator.migrate(
        migrator.drop_column("conversation", "instructions"),
        migrator.drop_column("account", "instructions"),
    )
