"""A known text sealed with each key of the key ring. A frozen copy of its table."""

from typing import Any

import peewee


def up(migrator: Any, db: peewee.Database) -> None:
    class Canary(peewee.Model):
        kid = peewee.CharField(primary_key=True)
        iv = peewee.BlobField()
        sealed = peewee.BlobField()
        since = peewee.DoubleField()

        class Meta:
            database = db
            table_name = "apiary_canary"

    db.create_tables([Canary])


def down(migrator: Any, db: peewee.Database) -> None:
    migrator.drop_table("apiary_canary")
