"""What other code can hear of. The sender is the app; a secret is never in a signal.

The first three are sent with ``owner`` (str), ``provider`` (str) and ``version`` (int, of the
connection).
"""

from blinker import Namespace

_signals = Namespace()

#: A connection was made or replaced; also carries ``source``, "oauth" or "key".
connected = _signals.signal("connected")
#: A connection was deleted by its owner.
disconnected = _signals.signal("disconnected")
#: The provider answered 401 to a stored key.
rejected = _signals.signal("rejected")
#: Attempts to connect by OAuth ended; carries ``outcome``, their final state, and ``count``.
attempt_ended = _signals.signal("attempt_ended")
