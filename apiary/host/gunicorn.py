"""The worker of the production server: gunicorn's own with threads, and a good end.

``gunicorn --worker-class apiary.host.gunicorn.Worker``
"""

import threading
from types import FrameType
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

#: Seconds before gunicorn's graceful time-out at which what still runs is broken off.
_MARGIN = 3.0


class Worker(ThreadWorker):  # type: ignore[misc]
    """Told to end, it lets running answers end, within a bound; the others it keeps, marked.

    gunicorn kills what is still there at its ``graceful_timeout``: by then all must be saved.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.alive:
            patience = max(0.0, self.cfg.graceful_timeout - _MARGIN)
            timer = threading.Timer(patience, _break_off, [self.wsgi])
            timer.daemon = True
            timer.start()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """The quick end: nothing is waited for, but all is kept."""
        # The interpreter waits for the threads of readers, and they for the end of answers.
        threading.Thread(target=_break_off, args=[self.wsgi], daemon=True).start()
        super().handle_quit(sig, frame)


def _break_off(app: Any) -> None:
    host = getattr(app, "extensions", {}).get("apiary.host")
    if host is not None:
        host.keeper.leave()
