"""What a request leaves behind that was under way while the account of its sender was deleted."""

import time
from typing import Any

from flask import Flask

from apiary import connected

from .state import here
from .tables import Account, Allowance, Attachment, Conversation, Spent

#: Seconds between two looks, and how old a row without an account is before it is left over:
#: no request takes so long.
_EVERY = 3600.0
_AT_ONCE = 200


class Leftovers:
    """Looks for rows of nobody's, once an hour at most; somebody who looks at a page pays."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _EVERY

    def sweep(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            delete()


def delete() -> None:
    """Delete what has no account and is an hour old."""
    before = time.time() - _EVERY
    accounts = Account.select(Account.id)
    for table in (Conversation, Attachment):
        gone = table.owner.not_in(accounts) & (table.created < before)
        # By their ids: foreign keys take the messages of a conversation with it.
        ids = [row.id for row in table.select(table.id).where(gone).limit(_AT_ONCE)]
        if ids:
            table.delete().where(table.id.in_(ids)).execute()
    # Last: the database writes down what a message cost that it deletes.
    Spent.delete().where(Spent.owner.not_in(accounts), Spent.created < before).execute()
    Allowance.delete().where(Allowance.owner.not_in(accounts)).execute()


@connected.connect
def _connected(sender: Flask, owner: str, **_: Any) -> None:
    """A key is not left over for an hour: it goes at once."""
    if "apiary.host" not in sender.extensions:
        return
    # Waits for a deletion that is under way, which begins with this row.
    if not Account.update(epoch=Account.epoch).where(Account.id == owner).execute():
        here().apiary.forget_owner(owner)
