"""One thread that looks after the running answers while there are any.

The broadcast and the readers have each a thread like it, and not one for all three: a round waits
for seconds where Redis or the database is gone. Others are told of new text 25 times a second
while the database stands still, answers are saved while Redis does, and who was signed out is
sent away however long a save takes.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable

from flask import Flask

from apiary import ApiaryError, database

from . import answers, conversations, record, undertaker
from .answers import Answer, Answers
from .broadcast import Broadcast
from .language import lazy_gettext

_log = logging.getLogger(__name__)
#: Seconds between two rounds, and times its own length that one waits for the next.
_EVERY = 1.0
_REST = 10.0
#: A silent answer gives a sign of life as often as this.
_SIGN = 5.0
#: Seconds between two looks for answers of processes that died.
_SWEEP = 30.0
#: Seconds for which an end is kept that the database does not take.
_PATIENCE = 60.0
_TOO_LONG = lazy_gettext("The answer took too long and was ended here.")


class BrokenOff(ApiaryError):
    code = "broken_off"
    action = "retry"

    def __init__(self) -> None:
        super().__init__(conversations.BROKEN_OFF)


class Keeper:
    """Saves answers whose provider is silent just now, and ends those that last too long.

    Other processes, and this one after a crash, take an answer without signs of life for dead.
    """

    def __init__(self, running: Answers, broadcast: Broadcast | None = None) -> None:
        self._broadcast = broadcast
        self._answers = running
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._app: Flask | None = None
        self._swept = 0.0
        #: Ends that the database did not take: how to save each, and since when.
        self._owed: dict[Answer, tuple[Callable[[], None], float]] = {}
        #: Held by who saves ends here.
        self._ending = threading.Lock()

    def owe(self, answer: Answer, save: Callable[[], None]) -> None:
        """Save an answer's end as soon as the database takes it.

        Until its last event it counts as running, so the thread is there.
        """
        self._owed[answer] = save, time.monotonic()

    def watch(self, app: Flask) -> None:
        """Make sure that the thread runs; it ends by itself when no answer does."""
        if self._broadcast is not None:
            self._broadcast.watch(app)
        with self._lock:
            if self._thread is None:
                self._app = app
                atexit.register(self.leave)
                self._thread = threading.Thread(
                    target=self._run, args=(app,), name="apiary-keeper", daemon=True
                )
                self._thread.start()

    def _run(self, app: Flask) -> None:
        took = 0.0
        while True:
            # Never so long that others take what runs for dead (conversations.LEASE).
            time.sleep(min(max(_EVERY, _REST * took), _SIGN))
            with self._lock:
                running = self._answers.all_running()
                if not running:
                    self._thread = self._app = None
                    atexit.unregister(self.leave)
                    return
            began = time.monotonic()
            try:
                with app.app_context():
                    self._round(running)
            except Exception:
                # Without this thread nothing would be saved any more, nor ended.
                _log.exception("Running answers could not be looked after")
            took = time.monotonic() - began

    def _round(self, running: list[Answer]) -> None:
        now = time.monotonic()
        oldest = now - answers.LONGEST
        for answer in running:
            if answer.began < oldest:
                record.fail(answer, ApiaryError(_TOO_LONG))
                answer.cut()
            elif answer.stored and (answer.size > answer.saved or answer.signed < now - _SIGN):
                answer.signed = now
                if not record.save(answer):
                    # The others would each wait as long, and be no better off.
                    break
        with self._ending:
            self._pay(now)
        if now > self._swept + _SWEEP:
            self._swept = now
            with database.connection_context():
                undertaker.sweep()

    def _pay(self, now: float) -> None:
        """Save the ends that the database did not take, as many as it takes now.

        The caller has the lock.
        """
        for answer, (save, since) in list(self._owed.items()):
            try:
                save()
            except Exception as error:
                if isinstance(error, record.AWAY) and since > now - _PATIENCE:
                    return
                _log.exception("The end of an answer was given up")
                record.give_up(answer)
            del self._owed[answer]

    def leave(self) -> None:
        """Break off what still runs when the process ends in good order.

        Several threads may see to that: each returns when all is saved.
        """
        app = self._app
        if app is None:
            return
        with app.app_context(), self._ending:
            self._pay(time.monotonic())
            for answer in self._answers.all_running():
                record.fail(answer, BrokenOff())
