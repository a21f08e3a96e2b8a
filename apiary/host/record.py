"""What the database is told of an answer: as it grows, and how it ends."""

import logging
import time
from typing import Any

import peewee
from playhouse.pool import MaxConnectionsExceeded

from apiary import ApiaryError, RateLimited, database

from . import allowance, conversations
from .answers import Answer
from .language import lazy_gettext, spoken
from .state import here
from .tables import Message, clean

_log = logging.getLogger(__name__)
#: The database is not there, or takes nothing now.
AWAY = (
    *(peewee.OperationalError, peewee.InterfaceError, peewee.InternalError),
    *(MaxConnectionsExceeded, OSError),
)


def _running(id: Any, generation: Any) -> Any:
    """Only while it runs, and not after another process has let it go on.

    It runs too where this process was out of reach and taken for dead.
    """
    runs = (Message.state == "streaming") | (Message.error_code == conversations.LOST)
    return (Message.id == id) & (Message.continued == generation) & runs


_RUNS = {"state": "streaming", "finished": None} | dict.fromkeys(
    ("error_code", "error_message", "error_action")
)
_sign = database.prepare(
    lambda id, generation, saved: Message.update(_RUNS, saved=saved).where(_running(id, generation))
)
_grow = database.prepare(
    lambda id, generation, saved, text, reasoning: Message.update(
        _RUNS, saved=saved, text=text, reasoning=reasoning
    ).where(_running(id, generation))
)
#: What an end tells, beside its text; what it took stays where nothing is told of it.
_TOOK = ("prompt_tokens", "completion_tokens", "cost")
_ENDINGS = (
    *("state", "finish_reason", *_TOOK),
    *("error_code", "error_message", "error_action", "affordable"),
)


def _ended(**told: Any) -> Any:
    known = {name: peewee.fn.COALESCE(told[name], getattr(Message, name)) for name in _TOOK}
    values = {name: told[name] for name in told if name not in ("id", "generation")}
    return Message.update(values | known).where(_running(told["id"], told["generation"]))


_last = database.prepare(
    _ended, ("id", "generation", "saved", "finished", "text", "reasoning", *_ENDINGS)
)

_WENT_ON = lazy_gettext(
    "This answer went on from another tab meanwhile. Reload the page to see it."
)
_UNSAVED = lazy_gettext("The database did not take the answer. Copy it before you leave the page.")


def save(answer: Answer) -> bool:
    """Save what there is so far, and give a sign of life. False when the database takes nothing.

    Where the row is no longer running, another process has stopped it, or let it go on: then it
    ends here too. A failure is noted and tried again with the next save.
    """
    with answer.saving:
        return answer.claimed or _save(answer)


def _save(answer: Answer) -> bool:
    size = answer.size
    row = {"id": answer.message_id, "generation": answer.generation, "saved": time.time()}
    try:
        with database.connection_context():
            if size == answer.saved:
                there = _sign.execute(**row)
            else:
                there = _grow.execute(**row, **_texts(answer))
            lost = None if there else _how_it_ended(answer)
    except (peewee.PeeweeException, *AWAY) as error:
        _log.warning("An answer could not be saved for now", exc_info=True)
        return not isinstance(error, AWAY)
    answer.saved = size
    if lost is not None and answer.claim():
        _tell(answer, *lost)
        answer.cut()
    return True


def _how_it_ended(answer: Answer) -> tuple[str, dict[str, Any]]:
    """The last event of an answer that somebody else has ended."""
    row = Message.get_or_none(Message.id == answer.message_id)
    about: dict[str, Any] = {"message_id": answer.message_id}
    if row is not None and row.continued != answer.generation:
        text = spoken(_WENT_ON, answer.language)
        return "error", about | {"code": "continued", "message": text, "action": "reload"}
    return "done", about | {"finish_reason": "stopped"}


def went_on(answer: Answer) -> bool:
    """Whether an answer that ended here has gone on elsewhere."""
    if answer.ended is None:
        return False
    row = Message.get_or_none(Message.id == answer.message_id)
    return row is not None and row.continued != answer.generation


def finish(answer: Answer, state: str, *, finish_reason: str, **told: Any) -> None:
    """End an answer: save it, then tell the readers. The first end wins."""
    if answer.claim():
        done = {"message_id": answer.message_id, "finish_reason": finish_reason}
        _end_with(answer, "done", done, state, finish_reason=finish_reason, **told)


def mark_stopped(answer: Answer) -> None:
    """Mark the row of an answer that was ended before it had one."""
    _end(answer, {"state": "stopped", "finish_reason": "stopped"})


def fail(answer: Answer, error: ApiaryError, day: str | None = None) -> None:
    """End an answer by an error: ``incomplete`` where text has come, else ``failed``.

    :param day: a message of the built-in model is given back where not a word has come.
    """
    if not answer.claim():
        return
    here().metrics.count("upstream_errors", code=error.code)
    begun = bool(answer.text or answer.reasoning)
    message = clean(spoken(error.message, answer.language))
    data: dict[str, Any] = {
        "code": error.code,
        "message": message,
        "action": error.action,
        "message_id": answer.message_id,
    }
    if isinstance(error, RateLimited) and error.retry_after is not None:
        data["retry_after"] = error.retry_after
    affordable = getattr(error, "affordable", None)
    if affordable is not None:
        data["affordable"] = affordable
    _end_with(
        answer,
        "error",
        data,
        "incomplete" if begun else "failed",
        error_code=error.code,
        error_message=message,
        error_action=error.action,
        affordable=affordable,
        # Not a word has come, beside what was there when it was asked to go on.
        give_back=None if answer.size > answer.given else day,
    )


def _end_with(
    answer: Answer,
    kind: str,
    data: dict[str, Any],
    state: str,
    *,
    give_back: str | None = None,
    **values: Any,
) -> None:
    """Save the end, then tell it by its last event.

    While the database takes nothing the keeper tries again; nobody is told of an end before it
    is saved, or given up.
    """
    here().metrics.count("answers", state=state)

    def save() -> None:
        # In the request that stops an answer the connection is open already and stays open.
        opened = database.connect(reuse_if_open=True)
        try:
            # A save that is under way comes first, and none comes after this.
            with answer.saving:
                _end(answer, {"state": state, **values})
            if give_back is not None:
                allowance.give_back(answer.owner, give_back)
        finally:
            if opened:
                database.close()
        _tell(answer, kind, data)

    try:
        save()
    except AWAY:
        _log.warning("The end of an answer could not be saved for now", exc_info=True)
        here().keeper.owe(answer, save)
    except Exception:
        # Whatever it was: readers wait for an end, and get one.
        _log.exception("The end of an answer could not be saved")
        give_up(answer)


def give_up(answer: Answer) -> None:
    """Tell that the end of an answer could not be saved."""
    problem = {
        "code": "not_saved",
        "message": spoken(_UNSAVED, answer.language),
        "action": "retry",
        "message_id": answer.message_id,
    }
    _tell(answer, "error", problem)


def _tell(answer: Answer, kind: str, data: dict[str, Any]) -> None:
    """Tell the readers of the end. Its place is free by then: who reads it may ask at once."""
    if (broadcast := here().broadcast) is not None:
        broadcast.places.leave(answer)
    answer.end(kind, data)


def _texts(answer: Answer) -> dict[str, Any]:
    return {"text": answer.text, "reasoning": answer.reasoning}


def _end(answer: Answer, values: dict[str, Any]) -> None:
    now = time.time()
    row = dict.fromkeys(_ENDINGS) | values | _texts(answer)
    _last.execute(
        id=answer.message_id, generation=answer.generation, saved=now, finished=now, **row
    )
