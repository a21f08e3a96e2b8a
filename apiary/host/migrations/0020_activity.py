"""What happened with an account, for its owner to see."""

import peewee
from playhouse.migrate import SchemaMigrator


class Account(peewee.Model):
    id = peewee.CharField(max_length=64, primary_key=True)

    class Meta:
        table_name = "account"


class Activity(peewee.Model):
    # Where an account goes its activity goes too, whoever deletes it.
    owner = peewee.ForeignKeyField(Account, on_delete="CASCADE", index=False)
    at = peewee.DoubleField(index=True)
    kind = peewee.CharField(max_length=32)
    detail = peewee.CharField(max_length=255)
    network = peewee.CharField(max_length=64)
    times = peewee.IntegerField()

    class Meta:
        table_name = "activity"
        indexes = ((("owner", "at"), False),)


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    with db.bind_ctx([Account, Activity]):
        db.create_tables([Activity])


def down(migrator: SchemaMigrator, db: peewee.Database) -> None:
    with db.bind_ctx([Account, Activity]):
        db.drop_tables([Activity])
