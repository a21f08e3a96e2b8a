"""What stands behind an answer: asks the provider, passes events on, saves as it grows."""

import hashlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import peewee
from flask import Flask
from playhouse.pool import MaxConnectionsExceeded

from apiary import (
    ApiaryError,
    Delta,
    Done,
    KeyRejected,
    ModelGone,
    OutOfCredit,
    Pause,
    ProviderDown,
    RateLimited,
    Reasoning,
    Stream,
    Usage,
    database,
)

from . import allowance, answers, conversations, relay
from .answers import Answer
from .language import lazy_gettext, spoken
from .payers import BUILT_IN_TOKENS, Payer
from .state import here
from .tables import Message, clean

_log = logging.getLogger(__name__)
#: The database is not there, or takes nothing now.
AWAY = (
    *(peewee.OperationalError, peewee.InterfaceError, peewee.InternalError),
    *(MaxConnectionsExceeded, OSError),
)
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
# With the operator's key these are the operator's to mend.
_OPERATORS = (KeyRejected, OutOfCredit, ModelGone)


class BuiltInDown(ApiaryError):
    """The operator's own key or credit is at fault; no user can mend that."""

    code = "builtin_down"
    action = "connect"


def run(app: Flask, answer: Answer, order: Order) -> None:
    """Ask, and write the answer to its end, however it ends.

    Where the relay can carry the answer this returns once it has begun, else at its end.
    """
    with app.app_context(), _ends(answer, order):
        passing = Passing(app, answer, order, _stream(answer, order))
        if not passing.carried():
            passing.finish()


@contextmanager
def _ends(answer: Answer, order: Order) -> Iterator[None]:
    try:
        yield
    except ApiaryError as error:
        fail(answer, _for_user(error, order), order.day)
    except Exception:
        _log.exception("An answer broke off")
        ours = ApiaryError(lazy_gettext("Something went wrong on this site. Ask again."))
        ours.action = "retry"
        fail(answer, ours, order.day)


def _for_user(error: ApiaryError, order: Order) -> ApiaryError:
    if order.payer.kind == "builtin" and isinstance(error, _OPERATORS):
        _log.error("The built-in model fails: %s", error.message)
        return BuiltInDown(
            lazy_gettext(
                "The built-in model is out of service until the person who runs this site has"
                " mended it. Connect a provider of your own to go on."
            )
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
        max_tokens=order.max_tokens and min(order.max_tokens, BUILT_IN_TOKENS),
        # So that the provider can tell the users of the operator's key apart.
        user=hashlib.sha256(f"apiary:{answer.owner}".encode()).hexdigest()[:32],
        api_key=host.settings.builtin_key,
    )


class Passing:
    """What a provider sends, on its way into an answer. One thread at a time calls it."""

    sock: socket.socket

    def __init__(self, app: Flask, answer: Answer, order: Order, stream: Stream) -> None:
        answer.attach(stream)
        self.answer = answer
        self._app = app
        self._order = order
        self._stream = stream
        self._events = iter(stream)
        self._pausing: Callable[[bool], socket.socket | None] | None = None
        self._problem: BaseException | None = None
        #: Pieces of one kind that go out as one event.
        self._kind = ""
        self._pieces: list[str] = []
        self._reason = "stop"
        self._used: dict[str, Any] = {}
        self._stopped = False

    def carried(self) -> bool:
        """Hand it to the relay. False where that cannot carry it."""
        pausing = getattr(self._stream, "pausing", None)
        if pausing is None or not relay.available():
            return False
        sock = pausing(True)
        if sock is None:
            return False
        self.sock, self._pausing = sock, pausing
        here().answers.relay.carry(self)
        return True

    def step(self) -> bool:
        """Pass on what has come. False when nothing more will, or the end is in sight."""
        for event in self._events:
            if isinstance(event, Delta | Reasoning):
                if event.text and not self._text(event):
                    return False
            elif isinstance(event, Pause):
                return self._flush()
            elif isinstance(event, Usage):
                self._used = _told(_sum(self._order.already, event))
                cost = self._used["cost"]
                told = {**self._used, "cost": None if cost is None else float(cost)}
                if not (self._flush() and self._send("usage", told)):
                    return False
            elif isinstance(event, Done):
                self._reason = event.finish_reason
                if self._pausing is not None:
                    break
        self._flush()
        return False

    def _text(self, event: Delta | Reasoning) -> bool:
        kind = "delta" if isinstance(event, Delta) else "reasoning"
        if kind != self._kind and not self._flush():
            return False
        self._kind = kind
        self._pieces.append(event.text)
        # While pausing, what came in one piece goes out in one.
        return self._pausing is not None or self._flush()

    def _flush(self) -> bool:
        if not self._pieces:
            return True
        text = clean("".join(self._pieces))
        self._pieces.clear()
        return self._send(self._kind, {"text": text})

    def _send(self, kind: str, data: dict[str, Any]) -> bool:
        """False once somebody has ended the answer."""
        if not self.answer.send(kind, data):
            self._stopped = True
            return False
        if self.answer.size > answers.LARGEST or self.answer.count > answers.MOST_EVENTS:
            raise ApiaryError(lazy_gettext("The answer grew too long and was ended here."))
        return True

    def leave(self, problem: BaseException | None) -> None:
        """End it in a thread: it takes the database, and perhaps the provider's last bytes."""
        self._problem = problem
        try:
            threading.Thread(target=self._leave, name="apiary-answer", daemon=True).start()
        except RuntimeError:
            # The system has no thread left. An end that others wait for is late rather than lost.
            self._leave()

    def _leave(self) -> None:
        with self._app.app_context(), _ends(self.answer, self._order):
            self.finish()

    def finish(self) -> None:
        """Pass on what is still to come, and end the answer.

        :raises ApiaryError: it broke off.
        """
        try:
            if self._pausing is not None:
                self._pausing(False)
                self._pausing = None
            if self._problem is not None:
                raise self._problem
            if not self._stopped:
                self.step()
        finally:
            self._stream.close()
        if self._stopped:
            return
        answer = self.answer
        if not answer.text and not answer.reasoning and not self._used.get("completion_tokens"):
            raise ProviderDown(
                lazy_gettext(
                    "%(provider)s sent an empty answer. Ask again.",
                    provider=self._order.payer.label,
                ),
                provider=str(self._order.payer.provider),
            )
        finish(answer, "complete", finish_reason=clean(self._reason)[:64], **self._used)


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
        answer.end(*lost)
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
        answer.end(kind, data)

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
    answer.end("error", problem)


def _texts(answer: Answer) -> dict[str, Any]:
    return {"text": answer.text, "reasoning": answer.reasoning}


def _end(answer: Answer, values: dict[str, Any]) -> None:
    now = time.time()
    row = dict.fromkeys(_ENDINGS) | values | _texts(answer)
    _last.execute(
        id=answer.message_id, generation=answer.generation, saved=now, finished=now, **row
    )
