"""Full-text search in what one owner has: titles and messages."""

from dataclasses import dataclass
from typing import Any

import peewee

from apiary import database

from .language import gettext
from .tables import Conversation, Message
from .words import Parts, Query

#: How many conversations are shown.
MOST = 20
#: How many hits are looked at for them.
_HITS = 500
_MOST_TITLES = 5000

# The owner stands in each part on its own: in the index for speed, in the rows for certainty.
_SQLITE = """
SELECT e.message, m.conversation_id FROM search_words s
JOIN search_entry e ON e.id = s.rowid
JOIN message m ON m.id = e.message
JOIN conversation c ON c.id = m.conversation_id
WHERE search_words MATCH ? AND e.owner = ? AND c.owner = ? AND c.deleted IS NULL
ORDER BY s.rowid DESC LIMIT ?
"""
_POSTGRES = """
SELECT e.message, m.conversation_id FROM search_entry e
JOIN message m ON m.id = e.message
JOIN conversation c ON c.id = m.conversation_id
WHERE e.words @@ (to_tsquery('simple', %s) && %s::tsquery)
AND e.owner = %s AND c.owner = %s AND c.deleted IS NULL
ORDER BY e.id DESC LIMIT %s
"""
_TITLES = """
SELECT id, title FROM conversation WHERE owner = ? AND deleted IS NULL
ORDER BY updated DESC LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Result:
    """A conversation with what was found in it. Without ``message`` only its title has it."""

    conversation: str
    title: Parts
    updated: float
    message: str | None
    role: str | None
    snippet: Parts


@dataclass(frozen=True, slots=True)
class Found:
    query: Query
    results: list[Result]
    #: There were more than are shown.
    more: bool


def search(owner: str, text: str) -> Found:
    """Find what has all the words: messages by their words, the newest first, then titles."""
    query = Query.of(text)
    if not query.phrases:
        return Found(query, [], False)
    first: dict[str, str | None] = {}
    for message, conversation in _hits(owner, query):
        first.setdefault(conversation, message)
    if len(first) <= MOST:
        for conversation, title in _titles(owner):
            if query.in_title(title):
                first.setdefault(conversation, None)
    chosen = dict(list(first.items())[:MOST])
    return Found(query, _results(owner, query, chosen), len(first) > MOST)


def _hits(owner: str, query: Query) -> list[tuple[str, str]]:
    if isinstance(database.obj, peewee.SqliteDatabase):
        # A phrase of the owner's id: letters and digits that FTS5 splits by itself.
        match = 'owner : "{}" AND text : ({})'.format(owner.replace('"', '""'), query.fts5())
        rows = database.execute_sql(_SQLITE, (match, owner, owner, _HITS))
    else:
        word = "owner:" + owner.replace("\\", "\\\\").replace("'", "''")
        rows = database.execute_sql(_POSTGRES, (query.tsquery(), f"'{word}'", owner, owner, _HITS))
    return list(rows.fetchall())


def _titles(owner: str) -> list[tuple[str, str]]:
    mark = "?" if isinstance(database.obj, peewee.SqliteDatabase) else "%s"
    rows = database.execute_sql(_TITLES.replace("?", mark), (owner, _MOST_TITLES))
    return list(rows.fetchall())


def _results(owner: str, query: Query, chosen: dict[str, str | None]) -> list[Result]:
    conversations: dict[str, Any] = {
        row.id: row
        for row in Conversation.select().where(
            Conversation.id.in_(list(chosen)), Conversation.owner == owner
        )
    }
    wanted = [message for message in chosen.values() if message]
    messages: dict[str, Any] = {
        row.id: row
        for row in Message.select(Message.id, Message.role, Message.text).where(
            Message.id.in_(wanted)
        )
    }
    results = []
    for id, message in chosen.items():
        conversation, row = conversations.get(id), messages.get(message or "")
        if conversation is None:
            continue
        results.append(
            Result(
                conversation=id,
                title=query.mark(conversation.title or gettext("Conversation")),
                updated=conversation.updated,
                message=row.id if row else None,
                role=row.role if row else None,
                snippet=query.snippet(row.text) if row else [],
            )
        )
    return results
