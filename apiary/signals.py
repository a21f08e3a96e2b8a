"""What other code can hear of. The sender is the app; a secret is never in a signal.

Each is sent with ``owner`` (str), ``provider`` (str) and ``version`` (int, of the connection).
"""

from blinker import Namespace

_signals = Namespace()

#: A connection was made or replaced; also carries ``source``, "oauth" or "key".
connected = _signals.signal("connected")
#: A connection was deleted by its owner.
disconnected = _signals.signal("disconnected")
#: The provider answered 401 to a stored key.
rejected = _signals.signal("rejected")
