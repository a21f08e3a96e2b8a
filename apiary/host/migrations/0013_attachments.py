"""Images and text files that go with a message."""

import time

import peewee
from playhouse.migrate import SchemaMigrator


class Conversation(peewee.Model):
    id = peewee.CharField(max_length=64, primary_key=True)

    class Meta:
        table_name = "conversation"


class Attachment(peewee.Model):
    id = peewee.CharField(max_length=64, primary_key=True)
    owner = peewee.CharField(max_length=255, index=True)
    conversation = peewee.ForeignKeyField(Conversation, null=True, on_delete="CASCADE")
    kind = peewee.CharField(max_length=16)
    name = peewee.CharField(max_length=255)
    mime = peewee.CharField(max_length=64)
    size = peewee.IntegerField()
    data = peewee.BlobField()
    created = peewee.DoubleField(default=time.time)

    class Meta:
        table_name = "attachment"


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    with db.bind_ctx([Conversation, Attachment]):
        db.create_tables([Attachment])
    migrator.migrate(migrator.add_column("message", "attachments", peewee.TextField(null=True)))


def down(migrator: SchemaMigrator, db: peewee.Database) -> None:
    migrator.migrate(migrator.drop_column("message", "attachments"))
    with db.bind_ctx([Conversation, Attachment]):
        db.drop_tables([Attachment])
