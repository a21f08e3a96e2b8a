"""Running answers told to other processes, and followed from there."""

import logging
import threading
import time
from collections.abc import Iterator

import peewee
from flask import Flask

from apiary import database

from . import conversations, elsewhere, record, wire
from .answers import HEARTBEAT, Answer, Answers
from .places import Places
from .readers import Seat
from .shared import DEAD, Away, Published, Shared
from .tables import Conversation, Message, name_of

_log = logging.getLogger(__name__)
#: Seconds between two rounds: what other processes' readers wait longer.
_EVERY = 0.04
#: The same at most, however long a round takes: claims of answers and places run out.
_LONGEST = 0.5
#: Milliseconds in which an answer that runs should have been told of.
_BEGINS = 400
#: Seconds that who stops an answer waits for its writer.
_PATIENCE = 2.0
_NOTHING = 50
#: Seconds after which an answer that Redis did not take is told anew.
_LATER = 1.0


class Broadcast:
    """One thread that tells of this process's answers while there are any.

    :param most: how many answers may run on the whole site, 0 for any number.
    """

    def __init__(self, shared: Shared, answers: Answers, most: int = 0) -> None:
        self.shared = shared
        self.places = Places(shared, most)
        self._answers = answers
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._known: dict[Answer, Published] = {}
        self._later: dict[Answer, float] = {}

    def watch(self, app: Flask) -> None:
        """Make sure that the thread runs; it ends by itself when there is nothing to tell."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, args=(app,), name="apiary-broadcast", daemon=True
                )
                self._thread.start()

    def _run(self, app: Flask) -> None:
        idle, took = 0, 0.0
        while True:
            # With many answers a round takes longer, and must leave time for other threads.
            time.sleep(min(max(_EVERY, took), _LONGEST))
            began = time.monotonic()
            try:
                busy = self._round(app)
                self.places.renew()
            except Away:
                # What of it arrived is not known: all is told anew.
                self._known.clear()
                time.sleep(0.5)
                continue
            except Exception:
                _log.exception("Other processes could not be told of answers")
                time.sleep(1)
                continue
            idle, took = 0 if busy else idle + 1, time.monotonic() - began
            with self._lock:
                if idle > _NOTHING and not self._answers.all_running():
                    self._thread = None
                    return

    def _round(self, app: Flask) -> bool:
        kept = [answer for answer in self._answers.all_kept() if answer.stored]
        told: dict[Answer, Published] = {}
        now = time.monotonic()
        for answer in kept:
            if self._later.get(answer, 0) > now:
                continue
            known = self._known.get(answer)
            if known is None:
                known = self._known[answer] = Published(answer.name)
            elif known.over:
                continue
            known.events, known.at, known.over = answer.since(known.at)
            told[answer] = known
        for gone in self._known.keys() - set(kept):
            del self._known[gone]
        for gone in self._later.keys() - set(kept):
            del self._later[gone]
        if not told:
            return False
        wanted, refused = self.shared.publish(told.values())
        for answer in told:
            if answer.name in refused:
                # Told anew, and not at once: it may be refused again.
                del self._known[answer]
                self._later[answer] = time.monotonic() + _LATER
            if answer.name in wanted:
                with app.app_context():
                    record.finish(answer, "stopped", finish_reason="stopped")
                    answer.cut()
        return True

    def stop(self, row: Message) -> bool:
        """Stop another process's answer. False when nobody did; the caller marks it then."""
        if not self.shared.stop(name_of(row)):
            return False
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            time.sleep(0.05)
            if not Message.select().where(_streaming(row)).exists():
                return True
        return False

    def dead(self, row: Message) -> bool:
        """Whether the process that wrote this answer is surely gone."""
        return abs(time.time() - row.saved) > DEAD and self.shared.claimed(name_of(row)) is False

    def find(self, conversation: Conversation, seen: int) -> str | None:
        """The name of the answer there that goes on behind what somebody has seen of it."""
        rows = conversations.messages(conversation)
        if not rows or rows[-1].role != "assistant":
            return None
        last, running = name_of(rows[-1]), rows[-1].state == "streaming"
        if not (wire.is_of(last, seen) if seen else running):
            return None
        # One that has just begun is told of with its writer's next round.
        return last if self.shared.has(last, _BEGINS if running else 0) else None

    def follow(self, app: Flask, name: str, after: int, seat: Seat) -> Iterator[bytes]:
        """The events behind number ``after`` of an answer that another process writes."""
        yield b": open\n\n"
        after = max(after, wire.before(name))
        position, spoke = f"{after}-0", time.monotonic()
        while not seat.gone:
            try:
                found = self.shared.read(name, position, 1000)
            except Away:
                # Who reads comes again, and is told then what can be had.
                return
            # An entry may begin before what was read: with who comes back to it, and where
            # all was told anew.
            news = b"".join(wire.behind(events, after) for _, events, _ in found)
            if found:
                position = found[-1][0]
                after = int(position.partition("-")[0])
            elif self.shared.claimed(name) is False:
                with app.app_context(), database.connection_context():
                    row = bury(self, name)
                    there = Message.select().where(_named(name)).exists()
                if not there:
                    # Deleted with its conversation, or it goes on under another name.
                    return
                if row is not None:
                    yield elsewhere.end(after, row)
                    return
            if not news and time.monotonic() - spoke > HEARTBEAT:
                news = b": still here\n\n"
            if news:
                spoke = time.monotonic()
                yield news
            if found and found[-1][2]:
                return


def bury(broadcast: Broadcast, name: str) -> Message | None:
    """Save the answer of a dead process as broken off, with all text that others heard of.

    None while it may still live.
    """
    row: Message | None = Message.get_or_none(_named(name))
    if row is None or (row.state == "streaming" and not broadcast.dead(row)):
        return None
    if row.state == "streaming":
        texts = broadcast.shared.texts(name)
        for field, kind in (("text", "delta"), ("reasoning", "reasoning")):
            if len(heard := texts.get(kind, "")) > len(getattr(row, field)):
                setattr(row, field, heard)
        seen = row.saved
        conversations.break_off(row)
        fields = ("text", "reasoning", "state", "finished")
        values = {field: getattr(row, field) for field in fields}
        values |= {n: getattr(row, n) for n in ("error_code", "error_message", "error_action")}
        # Unless its process lives after all.
        if not Message.update(**values).where(_streaming(row), Message.saved == seen).execute():
            return None
    return row


def _named(name: str) -> peewee.Expression:
    id, _, generation = name.rpartition(".")
    return (Message.id == id) & (Message.continued == int(generation))


def _streaming(row: Message) -> peewee.Expression:
    return _named(name_of(row)) & (Message.state == "streaming")
