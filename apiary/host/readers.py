"""The open streams of one process: how many there may be, and whose session is over."""

import logging
import threading
import time
from typing import TYPE_CHECKING

import peewee
from flask import Flask

from apiary import database

from .answers import MOST_PER_OWNER, MOST_READERS, Answers, Full
from .language import gettext
from .tables import Account

if TYPE_CHECKING:
    from .accounts import Person

_log = logging.getLogger(__name__)
#: Readers of one process, and those that each hold a thread, where the server does not say how
#: many it has.
MOST, MOST_THREADS = 4000, 1000
#: All readers that the answers of one owner may have in one process, and as many elsewhere.
MOST_OF_OWNER = 2 * MOST_PER_OWNER * MOST_READERS
#: Seconds between two looks at whose session is over.
LOOK = 2.0
_AT_ONCE = 500


class Seat:
    """One reader's place. ``gone``: it is to end; who may still read will come back."""

    def __init__(
        self, owner: str, epoch: int, message_id: str | None = None, thread: bool = True
    ) -> None:
        self.owner = owner
        self.thread = thread
        self.epoch = epoch
        self.message_id = message_id
        self.gone = False


class Readers:
    """The seats of one process.

    A reader of another process's answer holds a thread, and so does one that the relay cannot
    serve. There are ``most_threads`` of these at most.
    """

    def __init__(self, answers: Answers) -> None:
        self.most_threads = MOST_THREADS
        self._answers = answers
        self._lock = threading.Lock()
        #: In the order in which they came.
        self._seats: dict[Seat, None] = {}
        self._of_owner: dict[str, int] = {}
        self._thread: threading.Thread | None = None

    def count(self) -> int:
        """How many read now."""
        return len(self._seats)

    def enter(
        self, app: Flask, person: "Person", message_id: str | None = None, *, thread: bool
    ) -> Seat:
        """Take a seat; it has to be left again.

        :param message_id: an answer that another process writes. Of more than a few readers of
            it the one that came first is sent away.
        :param thread: whether the reader holds a thread.
        :raises Full: there is none, for this owner or at all.
        """
        with self._lock:
            threads = sum(seat.thread for seat in self._seats) if thread else 0
            if len(self._seats) >= MOST or threads >= self.most_threads:
                raise Full(
                    "server_busy", gettext("The server is busy with other readers. Try again soon.")
                )
            if self._of_owner.get(person.id, 0) >= MOST_OF_OWNER:
                raise Full(
                    "too_many_readers",
                    gettext(
                        "Your answers are being read in too many places at once. Close some pages."
                    ),
                )
            if message_id is not None:
                same = [s for s in self._seats if s.message_id == message_id and not s.gone]
                for seat in same[: 1 - MOST_READERS]:
                    seat.gone = True
            seat = Seat(person.id, person.epoch, message_id, thread)
            self._seats[seat] = None
            self._of_owner[person.id] = self._of_owner.get(person.id, 0) + 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._watch, args=(app,), name="apiary-readers", daemon=True
                )
                self._thread.start()
        return seat

    def leave(self, seat: Seat) -> None:
        """Give a seat back; once is enough, and more does no harm."""
        with self._lock:
            if seat not in self._seats:
                return
            del self._seats[seat]
            self._of_owner[seat.owner] -= 1
            if not self._of_owner[seat.owner]:
                del self._of_owner[seat.owner]

    def send_away(self, owner: str) -> None:
        """End all streams of an owner; who may still read will come back."""
        with self._lock:
            for seat in self._seats:
                if seat.owner == owner:
                    seat.gone = True
        for answer in self._answers.all_running(owner):
            answer.send_away()

    def _watch(self, app: Flask) -> None:
        """Send away whose session another process has ended, while anybody reads here."""
        while True:
            time.sleep(LOOK)
            with self._lock:
                if not self._seats:
                    self._thread = None
                    return
            try:
                self.look(app)
            except (peewee.PeeweeException, ValueError):
                _log.warning("Whose session is over could not be looked up", exc_info=True)

    def look(self, app: Flask) -> None:
        """Send away whose session is over by what the database says now."""
        with self._lock:
            # Read before the database is: a seat that is taken meanwhile is newer than that.
            seats = [seat for seat in self._seats if not seat.gone]
        owners = sorted({seat.owner for seat in seats})
        epochs: dict[str, int] = {}
        with app.app_context(), database.connection_context():
            for n in range(0, len(owners), _AT_ONCE):
                some = Account.id.in_(owners[n : n + _AT_ONCE])
                for row in Account.select(Account.id, Account.epoch).where(some):
                    epochs[row.id] = row.epoch
        for owner in {s.owner for s in seats if epochs.get(s.owner) != s.epoch}:
            self.send_away(owner)
