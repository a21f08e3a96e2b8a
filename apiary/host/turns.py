"""One question and its answer: ask, answer again, go on, show, stop."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import peewee

from apiary import Usage, database

from . import attachments, branches, conversations, instructions, orders, record, writer
from .answers import Answer
from .language import gettext
from .orders import Payment, Refusal, Wish
from .state import here
from .tables import Conversation, Message, Spent, clean, new_id

#: How a model is asked to finish what was cut.
GO_ON = (
    "Your last answer was cut off. Go on from exactly where it stops, in the middle of a word"
    " or of a code block if need be. Repeat nothing, and say nothing about this."
)


_insert = database.prepare_insert(Message)
_sent = database.prepare(
    lambda id: Message.update(state="sent").where(
        Message.conversation == id, Message.state == "waiting"
    )
)
_settled = database.prepare(
    lambda id, title, provider, model, head, updated: Conversation.update(
        title=title, provider=provider, model=model, head=head, updated=updated
    ).where(Conversation.id == id)
)


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
    attachments: tuple[str, ...] = ()


def ask(owner: str, conversation: Conversation, draft: Draft, wish: Wish) -> Answer:
    """Save a question and begin its answer.

    :raises Refusal: nothing can answer it now. Unless another answer is running here, the
        question is kept as ``waiting``.
    """
    answer = orders.take_place(owner, conversation)
    try:
        rows = orders.settled(conversation)
        before = _before(conversation, rows, draft)
        question = Message(
            id=draft.id or new_id(),
            conversation=conversation.id,
            position=rows[-1].position + 1 if rows else 0,
            parent=before[-1].id if before else branches.ROOT,
            role="user",
            text=clean(draft.text),
            state="waiting",
            attachments=attachments.claim(owner, conversation, draft.attachments),
        )
        if not conversation.title:
            conversation.title = conversations.title_of(
                question.text or attachments.names(question)
            )
        try:
            return _begin(answer, conversation, [*before, question], wish, rows, stored=False)
        except Refusal as refusal:
            if refusal.code not in ("busy", "text_only"):
                _keep_waiting(conversation, question)
            raise
    except BaseException:
        orders.leave_place(answer)
        raise


def again(
    owner: str,
    conversation: Conversation,
    wish: Wish,
    message_id: str | None = None,
    answer_id: str | None = None,
) -> Answer:
    """Answer a question once more; the answer that it had stays beside the new one.

    :param message_id: the question or an answer to it; left out, the last question shown.
    :param answer_id: made by who asks, for the new answer.
    :raises Refusal: there is no question, or nothing can answer it now; nothing was changed.
    """
    answer = orders.take_place(owner, conversation, answer_id)
    try:
        rows = orders.settled(conversation)
        head = conversation.head if message_id is None else _find(rows, message_id).id
        shown = branches.path(rows, head)
        while shown and shown[-1].role != "user":
            shown.pop()
        if not shown:
            raise Refusal(
                "nothing_to_answer", gettext("There is no question to answer yet. Write one.")
            )
        return _begin(answer, conversation, shown, wish, rows)
    except BaseException:
        orders.leave_place(answer)
        raise


def go_on(owner: str, conversation: Conversation, wish: Wish, message_id: str) -> Answer:
    """Let an answer that was cut go on. Its new text is added to what is there.

    :raises Refusal: it is not the last message of its branch or has no text, or nothing can
        answer now; nothing was changed.
    """
    # What a dead process left is marked before its place is taken: then it seems to run here.
    orders.settled(conversation)
    answer = orders.take_place(owner, conversation, message_id)
    try:
        rows = orders.settled(conversation)
        row = _find(rows, message_id)
        last = branches.leaf(rows, row.id) == row.id
        if row.role != "assistant" or not row.text or not last:
            raise Refusal("nothing_to_answer", gettext("This cannot go on. Ask again."), "retry")
        shown = branches.path(rows, row.id)
        answer.go_on(row.continued + 1, reasoning=row.reasoning, delta=row.text)
        used = _used(row)

        def write(payment: Payment) -> None:
            nonlocal used
            with database.atomic():
                if not _restart(row, payment):
                    raise orders.collision()
                if any(getattr(row, name) != value for name, value in _said(payment).items()):
                    _put_down(conversation, row)
                    used = None
                _settle(conversation, payment, row.id)

        payment = orders.pay(owner, conversation, wish, write)
        answer.stored = True
        order = _order(payment, conversation, shown, wish)
        order.messages.append({"role": "user", "content": GO_ON})
        orders.start(answer, replace(order, already=used))
        return answer
    except BaseException:
        orders.leave_place(answer)
        raise


def show(conversation: Conversation, message_id: str) -> None:
    """Show the newest path that goes through a message.

    :raises Refusal: it is not here, or an answer is being written.
    """
    rows = orders.settled(conversation)
    head = branches.leaf(rows, _find(rows, message_id).id)
    Conversation.update(head=head).where(Conversation.id == conversation.id).execute()


def stop(conversation: Conversation) -> None:
    """Stop the conversation's running answer; what it has so far stays."""
    answer = here().answers.running(conversation.id)
    if answer is not None:
        stop_answer(answer)
        return
    broadcast = here().broadcast
    if broadcast is not None:
        for row in Message.select(Message.id, Message.continued).where(
            Message.conversation == conversation.id, Message.state == "streaming"
        ):
            broadcast.stop(row)
    # Another process may be writing it: that one sees the row's state with its next save.
    now = time.time()
    Message.update(state="stopped", finish_reason="stopped", finished=now).where(
        Message.conversation == conversation.id, Message.state == "streaming"
    ).execute()


def stop_answer(answer: Answer) -> None:
    record.finish(answer, "stopped", finish_reason="stopped")
    answer.cut()


def _before(conversation: Conversation, rows: list[Message], draft: Draft) -> list[Message]:
    """What a question follows."""
    head: str | None = conversation.head
    if draft.edit is not None:
        if _find(rows, draft.edit).role != "user":
            raise _missing()
        head = branches.parents(rows)[draft.edit]
    elif draft.parent is not None:
        head = _find(rows, draft.parent).id
    return [] if head == branches.ROOT else branches.path(rows, head)


def _find(rows: list[Message], message_id: str) -> Message:
    found = next((row for row in rows if row.id == message_id), None)
    if found is None:
        raise _missing()
    return found


def _missing() -> Refusal:
    return Refusal(
        "no_message", gettext("That message is not here any more. Reload the page."), "reload"
    )


def _keep_waiting(conversation: Conversation, question: Message) -> None:
    try:
        with database.atomic():
            _end_with(conversation, question.id)
            _insert(question)
            attachments.bind(conversation, question)
    except peewee.IntegrityError:
        raise orders.collision() from None
    conversation.stored = True


def _begin(
    answer: Answer,
    conversation: Conversation,
    shown: Sequence[Message],
    wish: Wish,
    rows: Sequence[Message],
    stored: bool = True,
) -> Answer:
    """Begin the answer to the last message of ``shown``.

    :param rows: all messages that are stored.
    :param stored: whether that last one is among them.
    """
    question = shown[-1]

    def write(payment: Payment) -> None:
        files = attachments.of([question]).get(question.id, ())
        images = any(file.kind == "image" for file in files)
        if images and not attachments.sees(answer.owner, payment):
            raise attachments.blind(payment.model)
        _write(answer, conversation, question, payment, rows, stored)

    payment = orders.pay(answer.owner, conversation, wish, write)
    answer.stored = True
    orders.start(answer, _order(payment, conversation, shown, wish))
    return answer


def _order(
    payment: Payment, conversation: Conversation, shown: Sequence[Message], wish: Wish
) -> writer.Order:
    told = instructions.of(conversation.owner, conversation)
    files = attachments.of(shown)
    seen = not files or attachments.sees(conversation.owner, payment)
    parts = attachments.Parts(files, images=seen)
    first = [{"role": "system", "content": told}] if told.strip() else []
    return writer.Order(
        payer=payment.payer,
        model=payment.model,
        messages=first + conversations.history(shown, parts.content),
        max_tokens=wish.max_tokens,
        day=payment.day,
    )


def _write(
    answer: Answer,
    conversation: Conversation,
    question: Message,
    payment: Payment,
    rows: Sequence[Message],
    stored: bool,
) -> None:
    """Save the question as sent and its answer as begun, in one transaction.

    Nothing goes but what it was answered with nothing but an error.
    """
    waiting = any(row.state == "waiting" for row in rows)
    empty: list[str] = []
    position = question.position + 1
    if stored:
        position = rows[-1].position + 1
        followed = set(branches.parents(rows).values())
        empty = [
            row.id
            for row in branches.below(rows, question.id, "assistant")
            if row.state == "failed" and not row.text and not row.reasoning
            if row.id not in followed
        ]
    with database.atomic():
        _settle(conversation, payment, answer.message_id)
        if empty:
            Message.delete().where(Message.id.in_(empty)).execute()
        if waiting:
            _sent.execute(id=conversation.id)
        if not stored:
            question.state = "sent"
            _insert(question)
            attachments.bind(conversation, question)
        _insert(
            Message(
                id=answer.message_id,
                conversation=conversation.id,
                position=position,
                parent=question.id,
                role="assistant",
                state="streaming",
                **_said(payment),
            )
        )
    conversation.stored = True


def _restart(row: Message, payment: Payment) -> bool:
    """Save an answer as running once more. False where somebody else was faster."""
    changed: int = (
        Message.update(
            state="streaming",
            saved=time.time(),
            finished=None,
            finish_reason=None,
            error_code=None,
            error_message=None,
            error_action=None,
            affordable=None,
            continued=Message.continued + 1,
            **_said(payment),
        )
        .where(
            Message.id == row.id,
            Message.state == row.state,
            Message.continued == row.continued,
        )
        .execute()
    )
    return bool(changed)


def _used(row: Message) -> Usage | None:
    if row.completion_tokens is None:
        return None
    return Usage(row.prompt_tokens or 0, row.completion_tokens, row.cost)


def _put_down(conversation: Conversation, row: Message) -> None:
    """Keep what an answer used under who paid for it: somebody else, or another model, goes on."""
    used = {name: getattr(row, name) for name in ("prompt_tokens", "completion_tokens", "cost")}
    known = any(value is not None for value in used.values())
    # Without a payer it was imported: nobody here paid.
    if row.payer is not None and (known or row.state == "complete"):
        paid = {name: getattr(row, name) for name in ("provider", "model", "payer", "created")}
        Spent.insert(owner=conversation.owner, **paid, **used).execute()
    Message.update(dict.fromkeys(used)).where(Message.id == row.id).execute()


def _said(payment: Payment) -> dict[str, Any]:
    payer = payment.payer
    return {"provider": payer.provider, "model": payment.model, "payer": payer.kind}


def _settle(conversation: Conversation, payment: Payment, head: str) -> None:
    """Let the conversation end with this answer, and remember who gives it."""
    conversation.provider, conversation.model = payment.payer.provider, payment.model
    _end_with(conversation, head)


def _end_with(conversation: Conversation, head: str) -> None:
    """Write what a conversation says of itself, the row of a new one too."""
    conversation.head, conversation.updated = head, time.time()
    if not conversation.stored:
        conversations.insert(conversation)
        return
    names = ("id", "title", "provider", "model", "head", "updated")
    _settled.execute(**{name: getattr(conversation, name) for name in names})
