"""Answers of other processes, as far as it needs no Redis."""

import threading
import time

from apiary.host.answers import Answers
from apiary.host.broadcast import Broadcast
from apiary.host.readers import Seat


class Silent:
    """Redis that knows nothing of the answer any more."""

    def read(self, name, after, wait):
        time.sleep(0.01)
        return []

    def claimed(self, name):
        return False


def test_who_follows_what_was_deleted_comes_to_an_end(host):
    events = Broadcast(Silent(), Answers()).follow(host, "nowhere.0", 0, Seat("ann", 0, None))
    reading = threading.Thread(target=list, args=(events,), daemon=True)
    reading.start()
    reading.join(10)
    assert not reading.is_alive()
