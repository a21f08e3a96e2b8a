"""What stands between a request and a running answer: a free place, a payer, a thread."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import peewee
from flask import Flask, current_app, g

from apiary import ApiaryError, DatabaseDown, localized

from . import allowance, conversations, limits, payers, record, writer
from .answers import Answer, Full
from .language import gettext, lazy_gettext
from .payers import Payer
from .state import here
from .tables import Conversation, Message, new_id

_STATUS = {
    "busy": 409,
    "too_many_answers": 429,
    "too_many_readers": 429,
    "server_busy": 503,
    "not_connected": 409,
    "key_rejected": 409,
    "key_unreadable": 409,
    "daily_limit": 429,
    "rate_limited": 429,
    "provider_down": 502,
    "nothing_to_answer": 400,
    "no_message": 404,
    "no_file": 404,
}


class NoThread(ApiaryError):
    """The system lets this process have no further thread."""

    code = "server_busy"
    action = "retry"

    def __init__(self) -> None:
        super().__init__(
            lazy_gettext(
                "The server is busy with other answers. Your message is kept; ask again soon."
            )
        )


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
class Payment:
    """Who pays, with which model. ``day`` is set where a built-in message was taken for it."""

    payer: Payer
    model: str
    day: str | None


def take_place(owner: str, conversation: Conversation, message_id: str | None = None) -> Answer:
    """Take the conversation's place for an answer.

    :param message_id: the id of the answer; left out, a new one.
    :raises Refusal: an answer is running here, or too many elsewhere.
    """
    answer = Answer(message_id or new_id(), conversation.id, owner)
    answers, broadcast = here().answers, here().broadcast
    try:
        answers.open(answer)
        if broadcast is not None:
            try:
                broadcast.places.take(answer)
            except Full:
                answers.drop(answer)
                raise
    except Full as full:
        raise Refusal(full.code, full.message, "wait") from None
    return answer


def leave_place(answer: Answer) -> None:
    """Give the place back of an answer that never began."""
    here().answers.drop(answer)
    if (broadcast := here().broadcast) is not None:
        broadcast.places.leave(answer)


def settled(conversation: Conversation) -> list[Message]:
    """The messages of all branches, those of a dead process saved as broken off.

    :raises Refusal: another process is writing an answer here.
    """
    rows = conversations.all_messages(conversation)
    for row in rows:
        if conversations.is_running(row):
            raise _busy()
        if row.is_dirty() and not conversations.keep_broken_off(row):
            raise _busy()
    return rows


def pay(
    owner: str, conversation: Conversation, wish: Wish, write: Callable[[Payment], None]
) -> Payment:
    """Find who pays and with which model, take a built-in message, and write the rows.

    :param write: saves the answer as begun; where it fails the message is given back.
    :raises Refusal: nothing can answer now.
    """
    payer = payers.resolve(owner, wish.provider, conversation)
    if payer.kind == "none":
        raise _refusal(payer)
    try:
        model = payers.choose_model(owner, payer, conversation, wish.model)
    except DatabaseDown:
        raise
    except ApiaryError as error:
        raise Refusal(error.code, localized(error.message), error.action) from None
    day = None
    if payer.kind == "builtin":
        daily = here().settings.builtin_daily_messages
        # A new guest costs a cookie; the address that makes many of them has a limit of its own.
        limits.take_built_in()
        day = allowance.take(owner, daily)
        if day is None:
            raise _refusal(payers.used_up())
    payment = Payment(payer, model, day)
    try:
        write(payment)
    except BaseException as error:
        if day is not None:
            allowance.give_back(owner, day)
        if isinstance(error, peewee.IntegrityError):
            raise collision() from None
        raise
    return payment


def collision() -> Refusal:
    return Refusal(
        "busy",
        gettext("Another message was sent here at the same moment. Try again."),
        "retry",
    )


def _busy() -> Refusal:
    return Refusal("busy", gettext("An answer is still being written here. Wait for it."), "wait")


def _refusal(payer: Payer) -> Refusal:
    later = allowance.renews_in() if payer.code == "daily_limit" else None
    return Refusal(payer.code, payer.sentence, payer.action, later)


def this_app() -> Flask:
    """The app itself, for a thread or a stream that outlives the request."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app


def start(answer: Answer, order: writer.Order) -> None:
    """Begin to write the answer, in a thread of its own or by what ``g.afterwards`` says."""
    if answer.claimed:
        # Stopped before its row was there: who stopped it found nothing to mark.
        record.mark_stopped(answer)
        if order.day is not None:
            allowance.give_back(answer.owner, order.day)
        return
    app = this_app()
    try:
        run = g.get("afterwards") or here().threads.run
        run(partial(writer.run, app, answer, order))
        here().keeper.watch(app)
    except RuntimeError:
        record.fail(answer, NoThread(), order.day)
