"""Pin conversations, put them in folders, and delete them so that it can be undone for a while."""

import time
from collections.abc import Sequence

from apiary import database

from . import conversations
from .state import here
from .tables import Conversation, clean, scrub

#: After so many seconds a deleted conversation is deleted for good, with the next visit. The page
#: offers to undo for ten of them.
KEPT = 5 * 60.0
_AT_ONCE = 20


def pin(conversation: Conversation, pinned: bool) -> None:
    """Put a conversation above the others, or back among them."""
    now = time.time() if pinned else None
    Conversation.update(pinned=now).where(Conversation.id == conversation.id).execute()


def folder_of(name: str) -> str:
    """The name of a folder as it is kept: one line, not long."""
    return conversations.title_of(clean(name), conversations.LONGEST_FOLDER)


def move(owner: str, ids: Sequence[str], folder: str | None) -> None:
    """Put conversations of an owner into a folder, or into none. A new name makes a folder."""
    Conversation.update(folder=folder).where(
        Conversation.owner == owner, Conversation.id.in_(list(ids))
    ).execute()


def rename_folder(owner: str, folder: str, name: str) -> None:
    """Give a folder another name; where there is one of that name, the two become one."""
    Conversation.update(folder=name).where(
        Conversation.owner == owner, Conversation.folder == folder
    ).execute()


def delete_folder(owner: str, folder: str) -> list[str]:
    """Take everything out of a folder, which is its end. The ids of what lay in it."""
    with database.atomic():
        query = Conversation.select(Conversation.id).where(
            Conversation.owner == owner, Conversation.folder == folder
        )
        ids = [conversation.id for conversation in query]
        move(owner, ids, None)
    return ids


def discard(conversation: Conversation) -> None:
    """Hide a conversation everywhere; :func:`purge` deletes it later."""
    Conversation.update(deleted=time.time()).where(Conversation.id == conversation.id).execute()


def restore(owner: str, conversation_id: str) -> Conversation:
    """Undo :func:`discard`.

    :raises NoSuchConversation: it is deleted for good, or belongs to somebody else.
    """
    found = conversations.find(owner, conversation_id, discarded=True)
    back = Conversation.update(deleted=None).where(
        Conversation.id == found.id, Conversation.deleted.is_null(False)
    )
    if not back.execute():
        raise conversations.NoSuchConversation
    return found


_old = database.prepare(
    lambda before: (
        Conversation.select()
        .where(Conversation.deleted < before)
        .order_by(Conversation.deleted)
        .limit(_AT_ONCE)
    )
)


def purge() -> None:
    """Delete for good what was discarded long enough ago, whosever it is."""
    here().leftovers.sweep()
    before = time.time() - KEPT
    is_old = Conversation.deleted < before
    old: list[Conversation] = _old.rows(before=before)
    for conversation in old:
        with database.atomic():
            # Takes hold of the row: somebody may have taken it back since.
            held = Conversation.update(deleted=Conversation.deleted)
            if held.where(Conversation.id == conversation.id, is_old).execute():
                conversations.delete(conversation)
    if old:
        scrub()
