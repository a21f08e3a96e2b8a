"""The full text of messages, to search in: FTS5 on SQLite, tsvector on PostgreSQL.

Triggers keep it, so that every way of writing a message is covered. An answer is taken up when
it ends, not each time that a piece of it is saved.

A later migration must not make the table ``message`` anew, as peewee does on SQLite for a new
column that is not null: the triggers would be lost. SQLite refuses it because of the view.
Write ``ALTER TABLE message ADD COLUMN … NOT NULL DEFAULT …`` by hand.
"""

import sqlite3
from typing import Any

import peewee

# The owner is a word of the index: another owner's hits are not even read.
_SQLITE = """
CREATE TABLE search_entry (
  id INTEGER PRIMARY KEY, message VARCHAR(64) NOT NULL UNIQUE, owner VARCHAR(255) NOT NULL);
CREATE VIEW search_source AS
  SELECT e.id AS id, e.owner AS owner, m.text AS text
  FROM search_entry e JOIN message m ON m.id = e.message;
CREATE VIRTUAL TABLE search_words USING fts5(
  owner, text, content='search_source', content_rowid='id',
  tokenize='unicode61 remove_diacritics 2', prefix='2 3');
CREATE TRIGGER search_message_insert AFTER INSERT ON message
  WHEN new.state <> 'streaming' AND new.text <> '' BEGIN
  INSERT INTO search_entry (message, owner)
    SELECT new.id, owner FROM conversation WHERE id = new.conversation_id;
  INSERT INTO search_words (rowid, owner, text)
    SELECT id, owner, new.text FROM search_entry WHERE message = new.id; END;
CREATE TRIGGER search_message_update AFTER UPDATE OF text, state ON message
  WHEN (new.text <> old.text AND new.state <> 'streaming')
    OR (old.state = 'streaming') <> (new.state = 'streaming') BEGIN
  INSERT INTO search_words (search_words, rowid, owner, text)
    SELECT 'delete', id, owner, old.text FROM search_entry WHERE message = old.id;
  DELETE FROM search_entry WHERE message = old.id;
  INSERT INTO search_entry (message, owner)
    SELECT new.id, owner FROM conversation
    WHERE id = new.conversation_id AND new.state <> 'streaming' AND new.text <> '';
  INSERT INTO search_words (rowid, owner, text)
    SELECT id, owner, new.text FROM search_entry WHERE message = new.id; END;
CREATE TRIGGER search_message_delete AFTER DELETE ON message BEGIN
  INSERT INTO search_words (search_words, rowid, owner, text)
    SELECT 'delete', id, owner, old.text FROM search_entry WHERE message = old.id;
  DELETE FROM search_entry WHERE message = old.id; END;
CREATE TRIGGER search_conversation_owner AFTER UPDATE OF owner ON conversation
  WHEN new.owner <> old.owner BEGIN
  INSERT INTO search_words (search_words, rowid, owner, text)
    SELECT 'delete', e.id, e.owner, m.text
    FROM message m JOIN search_entry e ON e.message = m.id WHERE m.conversation_id = new.id;
  UPDATE search_entry SET owner = new.owner
    WHERE message IN (SELECT id FROM message WHERE conversation_id = new.id);
  INSERT INTO search_words (rowid, owner, text)
    SELECT e.id, e.owner, m.text
    FROM message m JOIN search_entry e ON e.message = m.id WHERE m.conversation_id = new.id; END;
INSERT INTO search_entry (message, owner)
  SELECT m.id, c.owner FROM message m JOIN conversation c ON c.id = m.conversation_id
  WHERE m.state <> 'streaming' AND m.text <> '' ORDER BY m.created;
INSERT INTO search_words (rowid, owner, text) SELECT id, owner, text FROM search_source
"""

# Punctuation becomes space, so that words are split as on SQLite. A tsvector holds at most a
# megabyte; of longer texts the beginning is found.
_POSTGRES = r"""
CREATE TABLE search_entry (
  id BIGSERIAL PRIMARY KEY, message VARCHAR(64) NOT NULL UNIQUE, owner VARCHAR(255) NOT NULL,
  words tsvector NOT NULL);
CREATE INDEX search_entry_words ON search_entry USING gin (words);
CREATE INDEX search_entry_owner ON search_entry (owner, id);
CREATE FUNCTION search_words(owner text, body text) RETURNS tsvector IMMUTABLE LANGUAGE sql AS $$
  SELECT to_tsvector('simple',
      translate(left(body, 100000), '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)))
    || array_to_tsvector(ARRAY['owner:' || owner]) $$;
CREATE FUNCTION search_message() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM search_entry WHERE message = old.id;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RETURN NULL;
  END IF;
  INSERT INTO search_entry (message, owner, words)
    SELECT new.id, c.owner, search_words(c.owner, new.text) FROM conversation c
    WHERE c.id = new.conversation_id AND new.state <> 'streaming' AND new.text <> '';
  RETURN NULL; END $$;
CREATE FUNCTION search_owner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE search_entry SET owner = new.owner,
      words = ts_delete(words, 'owner:' || old.owner)
        || array_to_tsvector(ARRAY['owner:' || new.owner])
    WHERE message IN (SELECT id FROM message WHERE conversation_id = new.id);
  RETURN NULL; END $$;
CREATE TRIGGER search_message_insert AFTER INSERT ON message FOR EACH ROW
  WHEN (new.state <> 'streaming' AND new.text <> '') EXECUTE FUNCTION search_message();
CREATE TRIGGER search_message_update AFTER UPDATE OF text, state ON message FOR EACH ROW
  WHEN ((new.text <> old.text AND new.state <> 'streaming')
    OR (old.state = 'streaming') <> (new.state = 'streaming'))
  EXECUTE FUNCTION search_message();
CREATE TRIGGER search_message_delete AFTER DELETE ON message FOR EACH ROW
  EXECUTE FUNCTION search_message();
CREATE TRIGGER search_conversation_owner AFTER UPDATE OF owner ON conversation FOR EACH ROW
  WHEN (new.owner <> old.owner) EXECUTE FUNCTION search_owner();
INSERT INTO search_entry (message, owner, words)
  SELECT m.id, c.owner, search_words(c.owner, m.text)
  FROM message m JOIN conversation c ON c.id = m.conversation_id
  WHERE m.state <> 'streaming' AND m.text <> '' ORDER BY m.created
"""

_TRIGGERS = ("message_insert", "message_update", "message_delete")


def up(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    if isinstance(db, peewee.PostgresqlDatabase):
        # The driver reads placeholders even where there are no values.
        run(_POSTGRES.replace("%", "%%"))
        return
    for statement in _statements(_SQLITE):
        run(statement)
    if sqlite3.sqlite_version_info >= (3, 42):
        # Words of deleted messages leave the index at once, not with a later merge.
        run("INSERT INTO search_words (search_words, rank) VALUES ('secure-delete', 1)")


def down(migrator: object, db: peewee.Database) -> None:
    run: Any = db.execute_sql
    postgres = isinstance(db, peewee.PostgresqlDatabase)
    for name in _TRIGGERS:
        run(f"DROP TRIGGER search_{name}" + (" ON message" if postgres else ""))
    run("DROP TRIGGER search_conversation_owner" + (" ON conversation" if postgres else ""))
    if postgres:
        run("DROP FUNCTION search_message(), search_owner(), search_words(text, text)")
    else:
        run("DROP TABLE search_words")
        run("DROP VIEW search_source")
    run("DROP TABLE search_entry")


def _statements(script: str) -> list[str]:
    """Split behind each statement; a trigger has semicolons inside."""
    found, rest = [], ""
    for part in script.split(";\n"):
        rest += part
        if sqlite3.complete_statement(rest + ";"):
            found.append(rest)
            rest = ""
        else:
            rest += ";\n"
    return found
