"""The thread behind an answer: asks the provider, passes events on, saves as it grows."""

import hashlib
import logging
import time
from dataclasses import dataclass
from typing import Any

import peewee
from flask import Flask

from apiary import (
    ApiaryError,
    Delta,
    Done,
    KeyRejected,
    ModelGone,
    OutOfCredit,
    ProviderDown,
    RateLimited,
    Reasoning,
    Stream,
    Usage,
    database,
)

from . import allowance, answers
from .answers import Answer
from .payers import Payer
from .state import here
from .tables import Message, clean

_log = logging.getLogger(__name__)
_SAVE_EVERY = 1.0
_MOST_TOKENS = 2**53
_MOST_COST = 10**9


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask whom. ``day`` is set where a message of the built-in model was taken.

    ``already`` is what the answer took before it was asked to go on.
    """

    payer: Payer
    model: str
    messages: list[dict[str, Any]]
    max_tokens: int | None
    day: str | None
    already: Usage | None = None


# With the operator's key these are the operator's to mend.
_OPERATORS = (KeyRejected, OutOfCredit, ModelGone)


class BuiltInDown(ApiaryError):
    """The operator's own key or credit is at fault; no user can mend that."""

    code = "builtin_down"
    action = "connect"


def run(app: Flask, answer: Answer, order: Order) -> None:
    """Write one answer to its end, however it ends. The thread's whole life."""
    with app.app_context():
        try:
            _ask(answer, order)
        except ApiaryError as error:
            fail(answer, _for_user(error, order), order.day)
        except Exception:
            _log.exception("An answer broke off")
            ours = ApiaryError("Something went wrong on this site. Ask again.")
            ours.action = "retry"
            fail(answer, ours, order.day)


def _for_user(error: ApiaryError, order: Order) -> ApiaryError:
    if order.payer.kind == "builtin" and isinstance(error, _OPERATORS):
        _log.error("The built-in model fails: %s", error.message)
        return BuiltInDown(
            "The built-in model is out of service until the person who runs this site has mended"
            " it. Connect a provider of your own to go on."
        )
    return error


def _stream(answer: Answer, order: Order) -> Stream:
    host = here()
    if order.payer.kind != "builtin":
        return host.apiary.stream(
            answer.owner,
            str(order.payer.provider),
            model=order.model,
            messages=order.messages,
            max_tokens=order.max_tokens,
        )
    return host.apiary.stream(
        None,
        host.settings.builtin_provider,
        model=order.model,
        messages=order.messages,
        max_tokens=order.max_tokens,
        # So that the provider can tell the users of the operator's key apart.
        user=hashlib.sha256(f"apiary:{answer.owner}".encode()).hexdigest()[:32],
        api_key=host.settings.builtin_key,
    )


def _ask(answer: Answer, order: Order) -> None:
    reason = "stop"
    told: dict[str, Any] = {}
    saved = time.monotonic()
    stream = _stream(answer, order)
    answer.attach(stream)
    try:
        for event in stream:
            if isinstance(event, Delta | Reasoning):
                if not event.text:
                    continue
                kind = "delta" if isinstance(event, Delta) else "reasoning"
                going = answer.send(kind, {"text": clean(event.text)})
            elif isinstance(event, Usage):
                told = _told(_sum(order.already, event))
                cost = None if told["cost"] is None else float(told["cost"])
                going = answer.send("usage", {**told, "cost": cost})
            else:
                if isinstance(event, Done):
                    reason = event.finish_reason
                going = True
            if not going:
                return
            if answer.size > answers.LARGEST or answer.count > answers.MOST_EVENTS:
                raise ApiaryError("The answer grew too long and was ended here.")
            if time.monotonic() - saved >= _SAVE_EVERY:
                save(answer)
                saved = time.monotonic()
    finally:
        stream.close()
    if not answer.text and not answer.reasoning and not told.get("completion_tokens"):
        raise ProviderDown(
            f"{order.payer.label} sent an empty answer. Ask again.",
            provider=str(order.payer.provider),
        )
    finish(answer, "complete", finish_reason=clean(reason)[:64], **told)


def _sum(already: Usage | None, usage: Usage) -> Usage:
    if already is None:
        return usage
    known = already.cost is not None and usage.cost is not None
    return Usage(
        already.prompt_tokens + usage.prompt_tokens,
        already.completion_tokens + usage.completion_tokens,
        already.cost + usage.cost if known else None,  # type: ignore[operator]
    )


def _told(usage: Usage) -> dict[str, Any]:
    """What a provider tells of the usage, within what a database column takes."""
    cost = usage.cost
    if cost is not None and not (cost.is_finite() and 0 <= cost < _MOST_COST):
        cost = None
    return {
        "prompt_tokens": min(max(usage.prompt_tokens, 0), _MOST_TOKENS),
        "completion_tokens": min(max(usage.completion_tokens, 0), _MOST_TOKENS),
        "cost": cost,
    }


def save(answer: Answer) -> None:
    """Save what there is so far, and give a sign of life.

    Where the row is no longer running, another process has stopped it: then it ends here too.
    A failure is noted and tried again with the next save.
    """
    size = answer.size
    texts = {} if size == answer.saved else _texts(answer)
    try:
        with database.connection_context():
            there = _update(answer, saved=time.time(), **texts)
    except peewee.PeeweeException:
        _log.warning("An answer could not be saved for now", exc_info=True)
        return
    answer.saved = size
    if not there and answer.claim():
        done = {"message_id": answer.message_id, "finish_reason": "stopped"}
        answer.end("done", done)
        answer.cut()


def finish(answer: Answer, state: str, *, finish_reason: str, **told: Any) -> None:
    """End an answer: save it, then tell the readers. The first end wins."""
    if answer.claim():
        problem = _save_last(answer, state, finish_reason=finish_reason, **told)
        if problem is None:
            answer.end("done", {"message_id": answer.message_id, "finish_reason": finish_reason})
        else:
            answer.end("error", problem)


def fail(answer: Answer, error: ApiaryError, day: str | None = None) -> None:
    """End an answer by an error: ``incomplete`` where text has come, else ``failed``.

    :param day: a message of the built-in model is given back where not a word has come.
    """
    if not answer.claim():
        return
    here().metrics.count("upstream_errors", code=error.code)
    begun = bool(answer.text or answer.reasoning)
    data: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "action": error.action,
        "message_id": answer.message_id,
    }
    if isinstance(error, RateLimited) and error.retry_after is not None:
        data["retry_after"] = error.retry_after
    affordable = getattr(error, "affordable", None)
    if affordable is not None:
        data["affordable"] = affordable
    _save_last(
        answer,
        "incomplete" if begun else "failed",
        error_code=error.code,
        error_message=clean(error.message),
        error_action=error.action,
        affordable=affordable,
        # Not a word has come, beside what was there when it was asked to go on.
        give_back=None if answer.size > answer.given else day,
    )
    answer.end("error", data)


def _save_last(
    answer: Answer, state: str, *, give_back: str | None = None, **values: Any
) -> dict[str, Any] | None:
    """None when it was saved, else what to tell the readers instead of the end."""
    here().metrics.count("answers", state=state)
    now = time.time()
    try:
        # In the request that stops an answer the connection is open already and stays open.
        opened = database.connect(reuse_if_open=True)
        try:
            _update(answer, state=state, saved=now, finished=now, **_texts(answer), **values)
            if give_back is not None:
                allowance.give_back(answer.owner, give_back)
        finally:
            if opened:
                database.close()
    except Exception:
        # Whatever it was: readers wait for an end, and get one.
        _log.exception("The end of an answer could not be saved")
        return {
            "code": "not_saved",
            "message": "The database did not take the answer. Copy it before you leave the page.",
            "action": "retry",
            "message_id": answer.message_id,
        }
    return None


def _texts(answer: Answer) -> dict[str, Any]:
    return {"text": answer.text, "reasoning": answer.reasoning}


def _update(answer: Answer, **values: Any) -> int:
    # Only while it runs: a save that comes late must not undo the end.
    changed: int = (
        Message.update(**values)
        .where(Message.id == answer.message_id, Message.state == "streaming")
        .execute()
    )
    return changed
