"""An index of messages by their conversation alone says nothing that the one with the place does
not, and is written with each of them."""

from typing import Any

import peewee


def up(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    run("DROP INDEX message_conversation_id")


def down(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    run("CREATE INDEX message_conversation_id ON message (conversation_id)")
