"""What stands behind an answer: asks the provider, and passes on what it sends."""

import hashlib
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask

from apiary import (
    ApiaryError,
    Delta,
    Done,
    KeyRejected,
    ModelGone,
    OutOfCredit,
    Pause,
    ProviderDown,
    Reasoning,
    Stream,
    Usage,
)

from . import answers, record, relay
from .answers import Answer
from .language import lazy_gettext
from .payers import BUILT_IN_TOKENS, Payer
from .state import here
from .tables import clean
from .threads import Threads

_log = logging.getLogger(__name__)
_TEXT = (Delta, Reasoning)
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
    """Ask, and write the answer to its end, however it ends.

    Where the relay can carry the answer this returns once it has begun, else at its end.
    """
    if answer.claimed:
        # Stopped while its reader was still being handed over: nobody has to pay for that.
        return
    with app.app_context(), _ends(answer, order):
        passing = Passing(app, answer, replace(order, messages=[]), _stream(answer, order))
        if not passing.carried():
            passing.finish()


@contextmanager
def _ends(answer: Answer, order: Order) -> Iterator[None]:
    try:
        yield
    except ApiaryError as error:
        record.fail(answer, _for_user(error, order), order.day)
    except Exception:
        _log.exception("An answer broke off")
        ours = ApiaryError(lazy_gettext("Something went wrong on this site. Ask again."))
        ours.action = "retry"
        record.fail(answer, ours, order.day)


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
            if isinstance(event, _TEXT):
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
            threads: Threads = self._app.extensions["apiary.host"].threads
            threads.run(self._leave)
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
            self.answer.detach()
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
        record.finish(answer, "complete", finish_reason=clean(self._reason)[:64], **self._used)


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
