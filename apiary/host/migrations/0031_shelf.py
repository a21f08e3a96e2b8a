"""Conversations can be pinned, and are deleted for good some minutes after the click.

What answers cost outlives them: the usage page adds up what was spent, not what was kept.
"""

from typing import Any

import peewee

_COLUMNS = """
ALTER TABLE conversation ADD COLUMN pinned DOUBLE PRECISION;
ALTER TABLE conversation ADD COLUMN deleted DOUBLE PRECISION;
CREATE INDEX conversation_deleted ON conversation (deleted) WHERE deleted IS NOT NULL;
CREATE TABLE spent (
  owner VARCHAR(255) NOT NULL, provider VARCHAR(64), model VARCHAR(255), payer VARCHAR(16),
  prompt_tokens BIGINT, completion_tokens BIGINT, cost NUMERIC(20, 10),
  created DOUBLE PRECISION NOT NULL);
CREATE INDEX spent_owner ON spent (owner, created)
"""
_COPY = """
INSERT INTO spent
    (owner, provider, model, payer, prompt_tokens, completion_tokens, cost, created)
  SELECT c.owner, old.provider, old.model, old.payer, old.prompt_tokens,
    old.completion_tokens, old.cost, old.created
  FROM conversation c WHERE c.id = old.conversation_id;
"""
_WHEN = """
old.payer IS NOT NULL AND (old.state = 'complete' OR old.cost IS NOT NULL
  OR old.prompt_tokens IS NOT NULL OR old.completion_tokens IS NOT NULL)
"""


def up(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    for statement in _COLUMNS.split(";"):
        run(statement)
    if isinstance(db, peewee.PostgresqlDatabase):
        run(
            "CREATE FUNCTION keep_spent() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" {_COPY} RETURN NULL; END $$"
        )
        run(
            f"CREATE TRIGGER spent_message_delete AFTER DELETE ON message FOR EACH ROW"
            f" WHEN ({_WHEN}) EXECUTE FUNCTION keep_spent()"
        )
    else:
        run(
            f"CREATE TRIGGER spent_message_delete AFTER DELETE ON message WHEN {_WHEN}"
            f" BEGIN {_COPY} END"
        )


def down(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    postgres = isinstance(db, peewee.PostgresqlDatabase)
    run("DROP TRIGGER spent_message_delete" + (" ON message" if postgres else ""))
    if postgres:
        run("DROP FUNCTION keep_spent()")
    run("DROP TABLE spent")
    run("DROP INDEX conversation_deleted")
    for name in ("pinned", "deleted"):
        run(f"ALTER TABLE conversation DROP COLUMN {name}")
