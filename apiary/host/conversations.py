"""Conversations of an owner: find, list, rename, delete, and what they hold."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from apiary import database

from . import branches
from .language import gettext, lazy_gettext
from .shared import DEAD
from .state import here
from .tables import Attachment, Conversation, Message, Spent, clean, name_of

TITLE_LENGTH = 60
#: Of a title that somebody wrote by hand.
LONGEST_TITLE = 200
#: How many conversations the list begins with, and how many more are shown at a time.
LISTED = 200
#: How many of those that lie in folders are shown.
FILED = 1000
LONGEST_FOLDER = 60
#: Seconds without a sign of life after which a running answer counts as dead.
LEASE = 15.0
#: How long a question is kept in sight while nothing is connected.
WAITING = 30 * 60.0
#: The error of an answer whose process was taken for dead.
LOST = "broken_off"
BROKEN_OFF = lazy_gettext("The answer broke off because the server stopped. Ask again.")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HISTORY_CHARACTERS = 200_000


#: Writes the row of a new one.
insert = database.prepare_insert(Conversation)
_mine = database.prepare(
    lambda id, owner: Conversation.select().where(
        Conversation.id == id, Conversation.owner == owner, Conversation.deleted.is_null()
    )
)
_messages = database.prepare(
    lambda id: Message.select().where(Message.conversation == id).order_by(Message.position)
)


class NoSuchConversation(Exception):
    """It does not exist, or belongs to somebody else: nobody can tell which."""


def create(owner: str) -> Conversation:
    made = new(owner)
    store(made)
    return made


def new(owner: str) -> Conversation:
    """One whose row is written with its first question, or by :func:`store`."""
    made = Conversation(owner=owner)
    made.stored = False
    return made


def store(conversation: Conversation) -> None:
    """Write the row of a new one; nothing for others."""
    if not conversation.stored:
        insert(conversation)
        conversation.stored = True


def find(owner: str, conversation_id: str, *, discarded: bool = False) -> Conversation:
    """One conversation; with ``discarded`` one that was deleted a moment ago.

    :raises NoSuchConversation: there is none of that id that belongs to the owner.
    """
    found: Conversation | None = None
    if _ID.fullmatch(conversation_id) and not discarded:
        found = _mine.first(id=conversation_id, owner=owner)
    elif _ID.fullmatch(conversation_id):
        found = Conversation.get_or_none(
            Conversation.id == conversation_id,
            Conversation.owner == owner,
            Conversation.deleted.is_null(False),
        )
    if found is None:
        raise NoSuchConversation
    return found


def listed(owner: str, after: int = 0) -> list[Conversation]:
    """The owner's conversations that hold something and lie in no folder.

    Those pinned come first, then the last used.

    :param after: how many of them are known already.
    """
    query = _shown(owner).where(Conversation.folder.is_null())
    return list(query.limit(LISTED).offset(after))


def filed(owner: str) -> dict[str, list[Conversation]]:
    """The conversations in folders, by the folder's name, in the same order."""
    found: dict[str, list[Conversation]] = {}
    for conversation in _shown(owner).where(Conversation.folder.is_null(False)).limit(FILED):
        found.setdefault(conversation.folder, []).append(conversation)
    return dict(sorted(found.items(), key=lambda entry: entry[0].casefold()))


def _shown(owner: str) -> Any:
    return (
        Conversation.select()
        .where(
            Conversation.owner == owner, Conversation.title != "", Conversation.deleted.is_null()
        )
        .order_by(Conversation.pinned.desc(nulls="LAST"), Conversation.updated.desc())
    )


def waiting(owner: str) -> Conversation | None:
    """The conversation whose last question waits for a connection since less than 30 minutes."""
    question = (
        Message.select(Message, Conversation)
        .join(Conversation)
        .where(
            Conversation.owner == owner,
            Conversation.deleted.is_null(),
            Message.state == "waiting",
            Message.created > time.time() - WAITING,
        )
        .order_by(Message.created.desc())
        .first()
    )
    if question is None or is_waiting(messages(question.conversation)) is False:
        return None
    conversation: Conversation = question.conversation
    return conversation


def messages(conversation: Conversation) -> list[Message]:
    """The messages of the path that is shown, the oldest first."""
    return branches.path(all_messages(conversation), conversation.head)


def all_messages(conversation: Conversation) -> list[Message]:
    """The messages of all branches, the oldest first.

    An answer whose process died is shown as broken off. The row is changed with the next
    question; a page that is only looked at writes nothing.
    """
    if not conversation.title:
        return []
    rows: list[Message] = _messages.rows(id=conversation.id)
    for row in rows:
        if is_dead(row):
            break_off(row)
    return rows


def is_waiting(rows: Sequence[Message]) -> bool:
    """Whether the last message is a question that nothing could answer yet."""
    return bool(rows) and rows[-1].role == "user" and rows[-1].state == "waiting"


def is_running(row: Message) -> bool:
    """Whether some process is writing this answer."""
    if row.state != "streaming":
        return False
    if here().answers.writes(row.conversation_id, row.id):  # type: ignore[attr-defined]
        return True
    # A time that is to come is no sign of life either: the clock was set back since.
    silent = abs(time.time() - row.saved)
    if silent < DEAD:
        return True
    broadcast = here().broadcast
    claimed = None if broadcast is None else broadcast.shared.claimed(name_of(row))
    return silent < LEASE if claimed is None else claimed


def running(conversation: Conversation) -> Message | None:
    """The answer that some process is writing here."""
    rows = messages(conversation)
    return rows[-1] if rows and is_running(rows[-1]) else None


def is_dead(row: Message) -> bool:
    return row.state == "streaming" and not is_running(row)


def break_off(row: Message) -> None:
    """Give an answer the state of one whose process died; the caller saves it, or does not."""
    row.state = "incomplete" if row.text else "failed"
    row.error_code = LOST
    row.error_message = str(BROKEN_OFF)
    row.error_action = "retry"
    row.finished = row.saved


def keep_broken_off(row: Message) -> bool:
    """Save what :func:`break_off` said. False where somebody has saved the answer meanwhile."""
    names = ("state", "error_code", "error_message", "error_action", "finished")
    changed: int = (
        Message.update({name: getattr(row, name) for name in names})
        .where(
            Message.id == row.id,
            Message.state == "streaming",
            Message.continued == row.continued,
            Message.saved == row.saved,
        )
        .execute()
    )
    return bool(changed)


def history(
    rows: Sequence[Message], content: Callable[[Message], Any] | None = None
) -> list[dict[str, Any]]:
    """What a provider is told: questions and answers, bounded to the last 200,000 characters.

    Messages with neither text nor files are left out. The last question is always in.

    :param content: makes the content of a message that has more than text.
    """
    kept: list[dict[str, Any]] = []
    left = _HISTORY_CHARACTERS
    for row in reversed(rows):
        if not (row.text or row.attachments) or row.state == "failed":
            continue
        left -= len(row.text)
        if left < 0 and kept:
            break
        kept.append({"role": row.role, "content": content(row) if content else row.text})
    kept.reverse()
    # Providers want a question first.
    while len(kept) > 1 and kept[0]["role"] != "user":
        kept.pop(0)
    return kept


def title_of(text: str, longest: int = TITLE_LENGTH) -> str:
    """A title of one line from the first question, or from what somebody wrote for one."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c for c in line if c.isprintable())
    shown = line or gettext("Conversation")
    return shown if len(shown) <= longest else shown[: longest - 1].rstrip() + "…"


def rename(conversation: Conversation, title: str) -> None:
    Conversation.update(title=title_of(clean(title), LONGEST_TITLE)).where(
        Conversation.id == conversation.id
    ).execute()


def delete(conversation: Conversation) -> None:
    Message.delete().where(Message.conversation == conversation.id).execute()
    Attachment.delete().where(Attachment.conversation == conversation.id).execute()
    Conversation.delete().where(Conversation.id == conversation.id).execute()


def delete_all(owner: str) -> None:
    mine = Conversation.select(Conversation.id).where(Conversation.owner == owner)
    Message.delete().where(Message.conversation.in_(mine)).execute()
    Attachment.delete().where(Attachment.owner == owner).execute()
    Conversation.delete().where(Conversation.owner == owner).execute()
    Spent.delete().where(Spent.owner == owner).execute()


def move(owner: str, heir: str) -> None:
    """Give all conversations of an owner to another one."""
    Attachment.update(owner=heir).where(Attachment.owner == owner).execute()
    Conversation.update(owner=heir).where(Conversation.owner == owner).execute()
    Spent.update(owner=heir).where(Spent.owner == owner).execute()


def all_of(owner: str) -> Iterator[tuple[Conversation, list[Message]]]:
    """Everything an owner has, the oldest first, for the export."""
    query = Conversation.select().where(Conversation.owner == owner, Conversation.deleted.is_null())
    for conversation in list(query.order_by(Conversation.created)):
        yield conversation, all_messages(conversation)
