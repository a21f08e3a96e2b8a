"""Branches: a conversation's messages form a tree, and one path through it is shown.

A question that is edited and an answer that is written anew stand beside the old one, under
the same parent. All functions take every message of a conversation, the oldest first.
"""

from collections.abc import Sequence

from .tables import Message

#: The parent of a first message. A row whose parent is None follows the one before it.
ROOT = ""


def parents(rows: Sequence[Message]) -> dict[str, str]:
    """What each message follows. It is always an older one, so that no walk goes in circles."""
    found: dict[str, str] = {}
    before = ROOT
    for row in rows:
        parent = before if row.parent is None else row.parent
        found[row.id] = parent if parent in found else ROOT
        before = row.id
    return found


def path(rows: Sequence[Message], head: str | None) -> list[Message]:
    """The messages from the first one to ``head``; to the last one where there is no such."""
    if not rows:
        return []
    above, by_id = parents(rows), {row.id: row for row in rows}
    at = head if head in by_id else rows[-1].id
    found = []
    while at:
        found.append(by_id[at])
        at = above[at]
    return found[::-1]


def below(rows: Sequence[Message], parent: str, role: str) -> list[Message]:
    """The messages of that role that follow ``parent``, the oldest first."""
    above = parents(rows)
    return [row for row in rows if above[row.id] == parent and row.role == role]


def versions(rows: Sequence[Message]) -> dict[str, list[str]]:
    """For each message the ids of all that stand in its place, itself among them."""
    above = parents(rows)
    places: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        places.setdefault((above[row.id], row.role), []).append(row.id)
    return {row.id: places[above[row.id], row.role] for row in rows}


def leaf(rows: Sequence[Message], start: str) -> str:
    """The end of the newest path that goes through ``start``."""
    newest = {parent: child for child, parent in parents(rows).items()}
    while start in newest:
        start = newest[start]
    return start
