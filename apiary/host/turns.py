"""One question and its answer: accept, ask, follow, save, stop."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import peewee
from flask import Flask, current_app

from apiary import ApiaryError, database

from . import allowance, branches, conversations, payers, writer
from .answers import Answer, Full
from .payers import Payer
from .state import here
from .tables import Conversation, Message, clean, new_id

_STATUS = {
    "busy": 409,
    "too_many_answers": 429,
    "server_busy": 503,
    "not_connected": 409,
    "key_rejected": 409,
    "key_unreadable": 409,
    "daily_limit": 429,
    "rate_limited": 429,
    "provider_down": 502,
    "nothing_to_answer": 400,
    "no_message": 404,
}


class Refusal(Exception):
    """The question is not answered now. ``status`` is the HTTP status, the rest for people."""

    def __init__(
        self, code: str, message: str, action: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.action = action
        self.retry_after = retry_after
        self.status = _STATUS.get(code, 409)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for beside the text; None where it leaves the choice to us."""

    provider: str | None = None
    model: str | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A question as it is sent.

    It follows the message ``parent``, or takes its place beside the question ``edit``; with
    neither it follows the last message that is shown. ``id`` is made by the sender, who may
    then send it again without asking twice.
    """

    text: str
    id: str | None = None
    edit: str | None = None
    parent: str | None = None


def ask(owner: str, conversation: Conversation, draft: Draft, wish: Wish) -> Answer:
    """Save a question and begin its answer.

    :raises Refusal: nothing can answer it now. Unless another answer is running here, the
        question is kept as ``waiting``.
    """
    answer = _open(owner, conversation)
    try:
        rows = _settled(conversation)
        before = _before(conversation, rows, draft)
        question = Message(
            id=draft.id or new_id(),
            conversation=conversation.id,
            position=rows[-1].position + 1 if rows else 0,
            parent=before[-1].id if before else branches.ROOT,
            role="user",
            text=clean(draft.text),
            state="waiting",
        )
        if not conversation.title:
            conversation.title = conversations.title_of(question.text)
        try:
            return _begin(answer, conversation, [*before, question], wish, rows, new=True)
        except Refusal as refusal:
            if refusal.code != "busy":
                _keep_waiting(conversation, question)
            raise
    except BaseException:
        here().answers.drop(answer)
        raise


def _before(conversation: Conversation, rows: list[Message], draft: Draft) -> list[Message]:
    """What a question follows."""
    above = branches.parents(rows)
    head: str | None = conversation.head
    if draft.edit is not None:
        if _find(rows, draft.edit).role != "user":
            raise _missing()
        head = above[draft.edit]
    elif draft.parent is not None:
        head = _find(rows, draft.parent).id
    return [] if head == branches.ROOT else branches.path(rows, head)


def _find(rows: list[Message], message_id: str) -> Message:
    found = next((row for row in rows if row.id == message_id), None)
    if found is None:
        raise _missing()
    return found


def _missing() -> Refusal:
    return Refusal("no_message", "That message is not here any more. Reload the page.", "reload")


def again(
    owner: str, conversation: Conversation, wish: Wish, message_id: str | None = None
) -> Answer:
    """Answer a question once more; the answer that it had stays beside the new one.

    :param message_id: the question or an answer to it; left out, the last question shown.
    :raises Refusal: there is no question, or nothing can answer it now; nothing was changed.
    """
    answer = _open(owner, conversation)
    try:
        rows = _settled(conversation)
        head = conversation.head if message_id is None else _find(rows, message_id).id
        shown = branches.path(rows, head)
        while shown and shown[-1].role != "user":
            shown.pop()
        if not shown:
            raise Refusal("nothing_to_answer", "There is no question to answer yet. Write one.")
        return _begin(answer, conversation, shown, wish, rows, new=False)
    except BaseException:
        here().answers.drop(answer)
        raise


def show(conversation: Conversation, message_id: str) -> None:
    """Show the newest path that goes through a message.

    :raises Refusal: it is not here, or an answer is being written.
    """
    rows = _settled(conversation)
    head = branches.leaf(rows, _find(rows, message_id).id)
    Conversation.update(head=head).where(Conversation.id == conversation.id).execute()


def stop(conversation: Conversation) -> None:
    """Stop the conversation's running answer; what it has so far stays."""
    answer = here().answers.running(conversation.id)
    if answer is not None:
        stop_answer(answer)
        return
    # Another process may be writing it: that one sees the row's state with its next save.
    now = time.time()
    Message.update(state="stopped", finish_reason="stopped", finished=now).where(
        Message.conversation == conversation.id, Message.state == "streaming"
    ).execute()


def stop_answer(answer: Answer) -> None:
    writer.finish(answer, "stopped", finish_reason="stopped")
    answer.cut()


def _open(owner: str, conversation: Conversation) -> Answer:
    answer = Answer(new_id(), conversation.id, owner)
    try:
        here().answers.open(answer)
    except Full as full:
        raise Refusal(full.code, full.message, "wait") from None
    return answer


def _settled(conversation: Conversation) -> list[Message]:
    """The messages of all branches, those of a dead process saved as broken off.

    :raises Refusal: another process is writing an answer here.
    """
    rows = conversations.all_messages(conversation)
    for row in rows:
        if conversations.is_running(row):
            raise Refusal("busy", "An answer is still being written here. Wait for it.", "wait")
        if row.is_dirty():
            row.save()
    return rows


def _keep_waiting(conversation: Conversation, question: Message) -> None:
    try:
        with database.atomic():
            question.save(force_insert=True)
            Conversation.update(
                title=conversation.title, head=question.id, updated=time.time()
            ).where(Conversation.id == conversation.id).execute()
    except peewee.IntegrityError:
        raise _collision() from None


def _collision() -> Refusal:
    return Refusal("busy", "Another message was sent here at the same moment. Try again.", "retry")


def _begin(
    answer: Answer,
    conversation: Conversation,
    shown: Sequence[Message],
    wish: Wish,
    rows: Sequence[Message],
    *,
    new: bool,
) -> Answer:
    """Begin the answer to the last message of ``shown``; ``rows`` are all that are stored."""
    owner = answer.owner
    payer = payers.resolve(owner, wish.provider, conversation)
    if payer.kind == "none":
        raise _refusal(payer)
    try:
        model = payers.choose_model(owner, payer, conversation, wish.model)
    except ApiaryError as error:
        raise Refusal(error.code, error.message, error.action) from None
    day = None
    if payer.kind == "builtin":
        day = allowance.take(owner, here().settings.builtin_daily_messages)
        if day is None:
            raise _refusal(payers.used_up())
    try:
        _write(answer, conversation, shown[-1], payer, model, None if new else rows)
    except BaseException as error:
        if day is not None:
            allowance.give_back(owner, day)
        if isinstance(error, peewee.IntegrityError):
            raise _collision() from None
        raise
    order = writer.Order(
        payer=payer,
        model=model,
        messages=conversations.history(shown),
        max_tokens=wish.max_tokens,
        day=day,
    )
    _start(answer, order)
    return answer


def _refusal(payer: Payer) -> Refusal:
    later = allowance.renews_in() if payer.code == "daily_limit" else None
    return Refusal(payer.code, payer.sentence, payer.action, later)


def _write(
    answer: Answer,
    conversation: Conversation,
    question: Message,
    payer: Payer,
    model: str,
    rows: Sequence[Message] | None,
) -> None:
    """Save the question as sent and its answer as begun, in one transaction.

    :param rows: all messages where the question is stored already. Nothing goes but what it
        was answered with nothing but an error.
    """
    now = time.time()
    empty: list[str] = []
    position = question.position + 1
    if rows is not None:
        position = rows[-1].position + 1
        followed = set(branches.parents(rows).values())
        empty = [
            row.id
            for row in branches.below(rows, question.id, "assistant")
            if row.state == "failed" and not row.text and not row.reasoning
            if row.id not in followed
        ]
    said: dict[str, Any] = {"provider": payer.provider, "model": model, "payer": payer.kind}
    with database.atomic():
        if empty:
            Message.delete().where(Message.id.in_(empty)).execute()
        Message.update(state="sent").where(
            Message.conversation == conversation.id, Message.state == "waiting"
        ).execute()
        if rows is None:
            question.state = "sent"
            question.save(force_insert=True)
        Message.insert(
            id=answer.message_id,
            conversation=conversation.id,
            position=position,
            parent=question.id,
            role="assistant",
            state="streaming",
            **said,
        ).execute()
        Conversation.update(
            title=conversation.title,
            provider=payer.provider,
            model=model,
            head=answer.message_id,
            updated=now,
        ).where(Conversation.id == conversation.id).execute()
    answer.stored = True


def this_app() -> Flask:
    """The app itself, for a thread or a stream that outlives the request."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app


def _start(answer: Answer, order: writer.Order) -> None:
    app = this_app()
    threading.Thread(
        target=writer.run, args=(app, answer, order), name="apiary-answer", daemon=True
    ).start()
    here().keeper.watch(app)
