"""Messages form a tree, and a conversation shows one path through it."""

import peewee
from playhouse.migrate import SchemaMigrator

# The rows stay as they are: a message without a parent follows the one before it, and a
# conversation without a head ends with its last message. That is one path.


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    migrator.migrate(
        migrator.add_column("message", "parent", peewee.CharField(max_length=64, null=True)),
        migrator.add_column("conversation", "head", peewee.CharField(max_length=64, null=True)),
    )


def down(migrator: SchemaMigrator, db: peewee.Database) -> None:
    migrator.migrate(
        migrator.drop_column("message", "parent"),
        migrator.drop_column("conversation", "head"),
    )
