"""Accounts, conversations, messages and the daily allowance of the built-in model."""

import peewee

# Frozen copies on purpose: a migration says what the tables were like on its day, whatever
# the models say later. Times are Unix seconds.


class Account(peewee.Model):
    id = peewee.CharField(max_length=64, primary_key=True)
    name = peewee.CharField(max_length=64, null=True)
    name_key = peewee.CharField(max_length=255, null=True, unique=True)
    password = peewee.CharField(max_length=255, null=True)
    epoch = peewee.IntegerField(default=0)
    created = peewee.DoubleField()

    class Meta:
        table_name = "account"


class Conversation(peewee.Model):
    id = peewee.CharField(max_length=64, primary_key=True)
    owner = peewee.CharField(max_length=255)
    title = peewee.CharField(max_length=255, default="")
    provider = peewee.CharField(max_length=64, null=True)
    model = peewee.CharField(max_length=255, null=True)
    created = peewee.DoubleField()
    updated = peewee.DoubleField()

    class Meta:
        table_name = "conversation"
        indexes = ((("owner", "updated"), False),)


class Message(peewee.Model):
    id = peewee.CharField(max_length=64, primary_key=True)
    conversation = peewee.ForeignKeyField(Conversation, on_delete="CASCADE")
    position = peewee.IntegerField()
    role = peewee.CharField(max_length=16)
    text = peewee.TextField(default="")
    reasoning = peewee.TextField(default="")
    state = peewee.CharField(max_length=16)
    provider = peewee.CharField(max_length=64, null=True)
    model = peewee.CharField(max_length=255, null=True)
    payer = peewee.CharField(max_length=16, null=True)
    finish_reason = peewee.CharField(max_length=64, null=True)
    prompt_tokens = peewee.BigIntegerField(null=True)
    completion_tokens = peewee.BigIntegerField(null=True)
    cost = peewee.DecimalField(max_digits=20, decimal_places=10, null=True)
    error_code = peewee.CharField(max_length=64, null=True)
    error_message = peewee.TextField(null=True)
    error_action = peewee.CharField(max_length=64, null=True)
    created = peewee.DoubleField()
    saved = peewee.DoubleField()
    finished = peewee.DoubleField(null=True)

    class Meta:
        table_name = "message"
        # Two answers that begin at once in two processes collide here; one of them is refused.
        indexes = ((("conversation", "position"), True),)


class Allowance(peewee.Model):
    owner = peewee.CharField(max_length=255)
    day = peewee.CharField(max_length=10)
    used = peewee.IntegerField()

    class Meta:
        table_name = "allowance"
        indexes = ((("owner", "day"), True),)


_TABLES = [Account, Conversation, Message, Allowance]


def up(migrator: object, db: peewee.Database) -> None:
    with db.bind_ctx(_TABLES):
        db.create_tables(_TABLES)


def down(migrator: object, db: peewee.Database) -> None:
    with db.bind_ctx(_TABLES):
        db.drop_tables(_TABLES)
