"""Take conversations in from a file: all of them in one transaction, or nothing."""

import base64
import binascii
import hashlib
import heapq
import json
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from apiary import database

from . import attachments, conversations, shelf
from .branches import ROOT
from .foreign import LONGEST, OURS, File, Talk, Turn, talks
from .language import gettext, gettext_noop, ngettext, number
from .tables import Conversation, Message, new_id

LARGEST_FILE = 20 * 1024 * 1024
LARGEST_WORDS = f"{LARGEST_FILE // 1024 // 1024} MB"
MOST_CONVERSATIONS = 20_000
#: Of brackets and braces: each becomes an object of a hundred bytes or more.
_MOST_OBJECTS = 1_500_000
#: Of commas, which stand between small values: millions of them take half a gigabyte, and all
#: threads wait for seconds while they are read. Text has far fewer.
_MOST_COMMAS = 1_000_000
_MOST_FILES = 1000
_BATCH = 200
#: A large file takes much memory for some seconds; two at a time would take twice as much.
_one = threading.Lock()


class Refused(Exception):
    """The file cannot be imported; ``message`` is a sentence for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def too_large() -> str:
    """What is said of a file that is larger than it may be."""
    return gettext(
        "The file is larger than %(size)s. Split it into smaller ones.", size=LARGEST_WORDS
    )


@dataclass
class Report:
    """What came in and what stayed out."""

    conversations: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    files: int = 0
    here_already: int = 0
    empty: int = 0
    unreadable: int = 0
    left_out: int = 0
    cut: int = 0

    def sentence(self) -> str:
        total = sum(self.conversations.values())
        talks = ngettext("%(num)s conversation", "%(num)s conversations", total)
        if total:
            said = gettext(
                "Imported %(conversations)s with %(messages)s from %(sources)s.",
                conversations=talks,
                messages=_messages(self.messages),
                sources=gettext(" and ").join(sorted(self.conversations)),
            )
        else:
            said = gettext("Imported %(conversations)s.", conversations=talks)
        skipped = [
            gettext(words, num=number(count))
            for count, words in (
                (self.here_already, gettext_noop("%(num)s already here")),
                (self.empty, gettext_noop("%(num)s without messages")),
                (self.unreadable, gettext_noop("%(num)s that could not be read")),
                (self.left_out, gettext_noop("%(num)s pictures or files")),
            )
            if count
        ]
        if skipped:
            said += " " + gettext("Skipped: %(list)s.", list=", ".join(skipped))
        if self.cut:
            said += " " + gettext(
                "Cut at %(longest)s characters: %(messages)s.",
                longest=number(LONGEST),
                messages=_messages(self.cut),
            )
        return said


def take_in(owner: str, data: bytes) -> Report:
    """Import a file.

    :raises Refused: it is none that is understood; nothing was changed.
    """
    if not _one.acquire(blocking=False):
        raise Refused(gettext("Another import is running on this server. Try again in a minute."))
    try:
        return _store(owner, _read(data))
    finally:
        _one.release()


def _read(data: bytes) -> Any:
    if data[:2] == b"PK":
        raise Refused(
            gettext("This is a ZIP file. Unpack it and choose the file conversations.json in it.")
        )
    objects = data.count(b"[") + data.count(b"{")
    if objects > _MOST_OBJECTS or data.count(b",") > _MOST_COMMAS:
        raise Refused(gettext("The file has too many entries. Split it into smaller ones."))
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise Refused(gettext("The file is nested too deeply to be an export of chats.")) from None
    except ValueError:
        raise Refused(
            gettext("The file holds no JSON. Choose the .json file of an export.")
        ) from None


def _store(owner: str, value: Any) -> Report:
    report, found = Report(), 0
    with database.atomic():
        for talk in talks(value):
            found += 1
            if found > MOST_CONVERSATIONS:
                raise Refused(
                    gettext(
                        "The file has more than %(most)s conversations.",
                        most=number(MOST_CONVERSATIONS),
                    )
                )
            if talk is None:
                report.unreadable += 1
                continue
            _take(owner, talk, report)
        if found == report.unreadable:
            raise Refused(
                gettext(
                    "There are no conversations in this file. Apiary reads its own export,"
                    " ChatGPT's conversations.json and the chat export of Open WebUI."
                )
            )
    return report


def _take(owner: str, talk: Talk, report: Report) -> None:
    report.left_out += talk.left_out
    turns = [*talk.turns, *talk.others]
    if not turns:
        report.empty += 1
        return
    id = _id(owner, talk)
    if _is_here(owner, id, talk):
        report.here_already += 1
        return
    times = [turn.created for turn in turns if turn.created]
    created = talk.created or min(times, default=time.time())
    asked = next((turn.text for turn in turns if turn.role == "user" and turn.text.strip()), "")
    Conversation.insert(
        id=id,
        owner=owner,
        title=conversations.title_of(talk.title, conversations.LONGEST_TITLE)
        if talk.title.strip()
        else conversations.title_of(asked),
        created=created,
        updated=max(talk.updated or max(times, default=created), created),
        pinned=time.time() if talk.pinned else None,
        instructions=talk.instructions,
        folder=shelf.folder_of(talk.folder) if talk.folder else None,
    ).execute()
    _keep_files(owner, id, turns, report)
    ordered, head = _in_order(talk)
    rows = [_row(id, position, created, *entry) for position, entry in enumerate(ordered)]
    for start in range(0, len(rows), _BATCH):
        Message.insert_many(rows[start : start + _BATCH]).execute()
    if head:
        Conversation.update(head=head).where(Conversation.id == id).execute()
    report.messages += len(rows)
    report.cut += sum(len(turn.text) > LONGEST for turn, _, _ in ordered)
    report.conversations[talk.source] += 1


def _keep_files(owner: str, conversation: str, turns: list[Turn], report: Report) -> None:
    """Keep the files of an export of ours; one that several messages have is in it once."""
    known: dict[str, str] = {}
    for turn in turns:
        kept = []
        for file in turn.files[: attachments.MOST]:
            id = known.get(file.key) if file.key else None
            if id is None and report.files < _MOST_FILES:
                with suppress(attachments.Unfit):
                    id = _keep(owner, conversation, file)
                    report.files += 1
            if id is not None:
                known[file.key] = id
                kept.append(id)
        report.left_out += len(turn.files) - len(kept)
        if kept:
            turn.more["attachments"] = " ".join(kept)


def _keep(owner: str, conversation: str, file: File) -> str:
    # Four letters for three bytes.
    if not file.content or len(file.content) > attachments.LARGEST_IMAGE * 4 // 3 + 4:
        raise attachments.Unfit
    try:
        data = base64.b64decode(file.content, validate=True)
    except binascii.Error:
        raise attachments.Unfit from None
    kept: str = attachments.store(owner, file.name, data, conversation).id
    return kept


def _id(owner: str, talk: Talk) -> str:
    """The same for the same conversation of a file, so that a second import finds it."""
    key = talk.key or f"{talk.title}\0{talk.created}\0{len(talk.turns)}"
    digest = hashlib.sha256(f"{owner}\0{talk.source}\0{key}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def _is_here(owner: str, id: str, talk: Talk) -> bool:
    if talk.source == OURS:
        try:
            conversations.find(owner, talk.key)
        except conversations.NoSuchConversation:
            pass
        else:
            return True
    there = Conversation.get_or_none(Conversation.id == id, Conversation.owner == owner)
    if there is not None and there.deleted is not None:
        # Deleted a moment ago: whoever imports it wants it back as the file has it.
        conversations.delete(there)
        there = None
    return there is not None


#: Every row of an insert has the same columns. No payer: nobody here paid for it.
_NOTHING: dict[str, Any] = {
    "attachments": None,
    "reasoning": "",
    "error_message": None,
    "error_code": None,
    "error_action": None,
    "continued": 0,
    "provider": None,
    "model": None,
    "prompt_tokens": None,
    "completion_tokens": None,
    "cost": None,
}

_Entry = tuple[Turn, str, str | None]


def _row(
    conversation: str, position: int, begun: float, turn: Turn, id: str, parent: str | None
) -> dict[str, Any]:
    created = turn.created or begun
    return {
        **_NOTHING,
        **turn.more,
        "id": id,
        "conversation": conversation,
        "position": position,
        "parent": parent,
        "role": turn.role,
        "text": turn.text[:LONGEST],
        "created": created,
        "saved": created,
        "finished": created if turn.role == "assistant" else None,
    }


def _in_order(talk: Talk) -> tuple[list[_Entry], str | None]:
    """The turns with new ids and parents, each behind what it follows; and the path's head."""
    if not talk.others:
        return [(turn, new_id(), None) for turn in talk.turns], None
    turns = [*talk.turns, *talk.others]
    ids = [new_id() for _ in turns]
    known = {turn.key: index for index, turn in enumerate(turns) if turn.key}
    below: dict[int | None, list[int]] = {}
    for index, turn in enumerate(turns):
        below.setdefault(known.get(turn.parent or ""), []).append(index)
    # By age. What follows itself in a circle is never reached.
    heap: list[tuple[float, int, str]] = []

    def push(parent: int | None, id: str) -> None:
        for index in below.get(parent, ()):
            heapq.heappush(heap, (turns[index].created or 0.0, index, id))

    push(None, ROOT)
    ordered: list[_Entry] = []
    while heap:
        _, index, parent = heapq.heappop(heap)
        ordered.append((turns[index], ids[index], parent))
        push(index, ids[index])
    return ordered, ids[len(talk.turns) - 1] if talk.turns else None


def _messages(count: int) -> str:
    return ngettext("%(num)s message", "%(num)s messages", count)
