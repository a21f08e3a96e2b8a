"""The tables as they were at first. A frozen copy: it never imports the models.

peewee names indexes after classes: the prefix keeps them apart from those of a host whose
database this may be.
"""

from typing import Any

import peewee


def up(migrator: Any, db: peewee.Database) -> None:
    class ApiaryConnection(peewee.Model):
        owner = peewee.CharField()
        provider = peewee.CharField()
        version = peewee.IntegerField()
        state = peewee.CharField()
        source = peewee.CharField()
        origin = peewee.CharField()
        base_url = peewee.CharField()
        kid = peewee.CharField(null=True)
        iv = peewee.BlobField(null=True)
        sealed = peewee.BlobField(null=True)
        key_sha256 = peewee.CharField()
        masked = peewee.CharField()
        account = peewee.CharField()
        facts = peewee.TextField()
        checked = peewee.DoubleField()
        since = peewee.DoubleField()
        refused = peewee.BooleanField()

        class Meta:
            database = db
            table_name = "apiary_connection"
            indexes = ((("owner", "provider"), True), (("kid", "iv"), True))

    class ApiaryFlow(peewee.Model):
        flow_sha256 = peewee.CharField(unique=True, null=True)
        attempt = peewee.CharField()
        owner = peewee.CharField()
        provider = peewee.CharField()
        browser = peewee.CharField()
        challenge = peewee.CharField()
        display = peewee.CharField()
        back = peewee.CharField()
        state = peewee.CharField()
        message = peewee.TextField()
        started = peewee.DoubleField(index=True)
        taken = peewee.DoubleField()
        ended = peewee.DoubleField()
        held_kid = peewee.CharField(null=True)
        held_iv = peewee.BlobField(null=True)
        held_sealed = peewee.BlobField(null=True)
        held_account = peewee.CharField()

        class Meta:
            database = db
            table_name = "apiary_flow"
            indexes = ((("owner", "attempt"), True),)

    db.create_tables([ApiaryConnection, ApiaryFlow])


def down(migrator: Any, db: peewee.Database) -> None:
    migrator.drop_table("apiary_flow")
    migrator.drop_table("apiary_connection")
