"""Running answers: events in memory, for any number of readers that come and go."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from .language import gettext, tongue
from .relay import HEARTBEAT as HEARTBEAT
from .relay import Relay
from .wire import TEXTS, Events

#: Finished answers stay for this many seconds, for readers that come back.
KEPT = 60.0
#: What one answer may take: seconds, bytes, events.
LONGEST = 15 * 60.0
LARGEST = 2 * 1024 * 1024
MOST_EVENTS = 300_000
#: Readers of one answer, running answers of one owner, and of all in one process. An answer of
#: usual length takes a tenth of a megabyte with its reader, so 2,000 fit into half a gigabyte;
#: one of the greatest length takes four, and few are.
MOST_READERS = 4
MOST_PER_OWNER = 3
MOST = 2000


class Closable(Protocol):
    def close(self) -> None: ...


class Answer:
    """The events of one answer, written by one thread and read by many.

    It belongs to the server: a reader that goes away does not end it.
    """

    def __init__(self, message_id: str, conversation_id: str, owner: str) -> None:
        self.message_id = message_id
        self.conversation_id = conversation_id
        self.owner = owner
        #: The language of who asked: an end may have to be told where no request is.
        self.language = tongue().tag
        #: How often it was continued: a process that was taken for dead writes to none later.
        self.generation = 0
        self.began = time.monotonic()
        #: When the last event was appended, by the monotonic clock; None while it runs.
        self.ended: float | None = None
        #: Whether its row exists; before that nobody may look for it there.
        self.stored = False
        #: Bytes of text so far, and how many of them are saved.
        self.size = self.saved = 0
        #: Bytes of text that were there before it was asked to go on.
        self.given = 0
        #: When the keeper saved it last, by the monotonic clock.
        self.signed = self.began
        #: Held by who saves it.
        self.saving = threading.Lock()
        self._claimed = False
        self._readers: list[object] = []
        #: Told of every new event, beside the readers that wait here.
        self.wake: Callable[[Answer], None] | None = None
        self._events = Events(self.name)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        #: Threads that wait for the next event: of a relayed answer none.
        self._waiting = 0
        self._upstream: Closable | None = None

    @property
    def name(self) -> str:
        """As the processes of a site call it: its id, and how often it was continued."""
        return f"{self.message_id}.{self.generation}"

    @property
    def text(self) -> str:
        with self._lock:
            return self._events.text("delta")

    @property
    def reasoning(self) -> str:
        with self._lock:
            return self._events.text("reasoning")

    def send(self, kind: str, data: dict[str, Any]) -> bool:
        """Append an event. False once somebody has claimed the end: then nothing happens."""
        with self._lock:
            if self._claimed:
                return False
            if kind in TEXTS:
                self.size += len(data["text"].encode())
            self._append(kind, data)
            return True

    def go_on(self, generation: int, **texts: str) -> None:
        """Begin with what is there already; readers get it as their first events."""
        with self._lock:
            self.generation = generation
            if not self._claimed:
                self._events = Events(self.name)
        for kind, text in texts.items():
            if text:
                self.send(kind, {"text": text})
        self.given = self.size

    def claim(self) -> bool:
        """Claim the right to end the answer. True for the first who asks; text stands still."""
        with self._lock:
            first, self._claimed = not self._claimed, True
            return first

    @property
    def claimed(self) -> bool:
        """Whether somebody ends it, or has."""
        with self._lock:
            return self._claimed

    def end(self, kind: str, data: dict[str, Any]) -> None:
        """Append the last event; only for who has claimed the end, and saved the answer."""
        with self._lock:
            self.ended = time.monotonic()
            self._append(kind, data)

    def _append(self, kind: str, data: dict[str, Any]) -> None:
        self._events.append(kind, data)
        self._tell()

    def _tell(self) -> None:
        if self._waiting:
            self._changed.notify_all()
        if self.wake is not None:
            self.wake(self)

    def attach(self, upstream: Closable) -> None:
        """Hand over what :meth:`cut` closes."""
        with self._lock:
            self._upstream = upstream
            late = self._claimed
        if late:
            upstream.close()

    def detach(self) -> None:
        """Let go of the provider's answer, which has ended; this one stays for a while."""
        with self._lock:
            self._upstream = None

    def cut(self) -> None:
        """Close the connection to the provider."""
        with self._lock:
            upstream = self._upstream
        if upstream is not None:
            upstream.close()

    def follow(self, after: int = 0) -> Iterator[bytes]:
        """The events behind number ``after``, as they come; what is queued goes in one write.

        Of more than a few readers of one answer the one that came first is sent away.
        """
        me = self.enter()
        # A first byte at once: the browser sees the headers, and proxies open the way.
        yield b": open\n\n"
        at = after
        while True:
            with self._lock:
                self._wait_for(partial(self._has_news, me, at), HEARTBEAT)
                if me not in self._readers:
                    return
                batch, at = self._events.behind(at), max(at, self._events.last)
                over = self.ended is not None
            yield batch or b": still here\n\n"
            if over:
                return

    def _has_news(self, me: object, after: int) -> bool:
        return self._events.last > after or self._over or me not in self._readers

    def enter(self) -> object:
        """Become a reader; of more than a few the one that came first is sent away."""
        me = object()
        with self._lock:
            self._readers = [*self._readers[1 - MOST_READERS :], me]
            self._tell()
        return me

    def news(self, me: object, after: int) -> tuple[bytes, int, bool] | None:
        """For a reader: the events behind number ``after``, the last one's number, and whether
        it is the end. None for who was sent away."""
        with self._lock:
            if me not in self._readers:
                return None
            return self._events.behind(after), max(after, self._events.last), self._over

    def since(self, after: int) -> tuple[bytes, int, bool]:
        """As :meth:`news`, for who is no reader."""
        with self._lock:
            return self._events.behind(after), max(after, self._events.last), self._over

    def has_more(self, seen: int) -> bool:
        """Whether there is, or may be, more for who saw that event last; 0 for none."""
        with self._lock:
            if not seen:
                return not self._over
            return self._events.has(seen) and not (self._over and seen == self._events.last)

    def send_away(self) -> None:
        """End all readers; the answer goes on. Who may still read will come back."""
        with self._lock:
            self._readers.clear()
            self._tell()

    @property
    def count(self) -> int:
        """How many events there are so far."""
        return self._events.count

    @property
    def _over(self) -> bool:
        return self.ended is not None

    def wait(self, seconds: float) -> bool:
        """Wait until the answer has ended; False when it did not in that time."""
        with self._lock:
            return self._wait_for(lambda: self.ended is not None, seconds)

    def _wait_for(self, there: Callable[[], bool], seconds: float) -> bool:
        self._waiting += 1
        try:
            return self._changed.wait_for(there, seconds)
        finally:
            self._waiting -= 1


class Full(Exception):
    """No further answer can run now. The text says why, for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def too_many() -> Full:
    return Full(
        "too_many_answers",
        gettext(
            "%(most)s of your answers are being written. Wait for one to end.",
            most=MOST_PER_OWNER,
        ),
    )


def busy() -> Full:
    return Full("server_busy", gettext("The server is busy with other answers. Try again soon."))


class Answers:
    """The answers of one process, the running ones and for a minute the finished ones.

    :param most: how many may run at once, 0 for as many as the process takes.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._by_conversation: dict[str, Answer] = {}
        #: Those of them that ran at the last look: each that is asked looks at all of these, and
        #: in a minute many more end.
        self._running: dict[str, Answer] = {}
        self._swept = 0.0
        self.relay = Relay()

    def open(self, answer: Answer) -> None:
        """Take the place of the conversation's answer.

        :raises Full: it has one that is running, or a cap is reached.
        """
        with self._lock:
            self._sweep()
            there = self._by_conversation.get(answer.conversation_id)
            if there is not None and there.ended is None:
                raise Full(
                    "busy",
                    gettext("An answer is still being written here. Stop it, or wait for it."),
                )
            running = [a.owner for a in self._still_running()]
            if running.count(answer.owner) >= MOST_PER_OWNER:
                raise too_many()
            if len(running) >= min(MOST, self._most or MOST):
                raise busy()
            self._by_conversation[answer.conversation_id] = answer
            self._running[answer.conversation_id] = answer

    def drop(self, answer: Answer) -> None:
        """Give the place back of an answer that never began."""
        with self._lock:
            if self._by_conversation.get(answer.conversation_id) is answer:
                del self._by_conversation[answer.conversation_id]
                self._running.pop(answer.conversation_id, None)

    def find(self, conversation_id: str) -> Answer | None:
        """The conversation's answer, running or just finished."""
        with self._lock:
            found = self._by_conversation.get(conversation_id)
        return None if found is None or _is_old(found, time.monotonic()) else found

    def running(self, conversation_id: str) -> Answer | None:
        found = self.find(conversation_id)
        return found if found and found.ended is None else None

    def writes(self, conversation_id: str, message_id: str) -> bool:
        """Whether this process is writing that answer, whatever the clock says."""
        with self._lock:
            found = self._by_conversation.get(conversation_id)
        return found is not None and found.ended is None and found.message_id == message_id

    def all_running(self, owner: str | None = None) -> list[Answer]:
        with self._lock:
            return [a for a in self._still_running() if owner in (None, a.owner)]

    def all_kept(self) -> list[Answer]:
        """The running answers, and those that ended less than a minute ago."""
        with self._lock:
            self._sweep()
            return list(self._by_conversation.values())

    def _still_running(self) -> list[Answer]:
        """The caller has the lock."""
        for key in [key for key, a in self._running.items() if a.ended is not None]:
            del self._running[key]
        return list(self._running.values())

    def _sweep(self) -> None:
        now = time.monotonic()
        if now < self._swept + 1:
            return
        self._swept = now
        for key, answer in list(self._by_conversation.items()):
            if _is_old(answer, now):
                del self._by_conversation[key]


def _is_old(answer: Answer, now: float) -> bool:
    return answer.ended is not None and answer.ended < now - KEPT
