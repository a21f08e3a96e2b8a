"""What can go wrong, in one tree. Every error carries a sentence for people and never a secret.

ApiaryError
├── ConfigError          the operator's settings contradict each other or cannot be read
├── DatabaseDown         our own database cannot be used right now
├── NotConnected         this owner has no connection to this provider
├── KeyRejected          the provider no longer accepts the key (401)
├── KeyUnreadable        the stored key cannot be decrypted with the key ring at hand
├── OutOfCredit          the provider wants to be paid first (402)
├── Forbidden            limit, moderation, region or permission (403)
├── RateLimited          too many requests (429)
├── ModelGone            the provider does not have that model (404)
├── RequestRefused       the provider does not take the request as it is (400, 413, 422)
├── ProviderDown         unreachable, timed out, broken off or answering nonsense
└── EndpointRefused      our own address policy does not allow that address
"""


class ApiaryError(Exception):
    """The base of all errors of this package.

    :param message: one or two plain sentences: what happened, what to do next.
    :param provider: the name of the provider concerned, or "".

    ``code`` names the kind of error for programs, ``action`` the one thing that the page
    should offer: ``connect``, ``reconnect``, ``credits``, ``provider``, ``wait``,
    ``pick_model``, ``retry``, ``settings`` or "".
    """

    code = "error"
    action = ""

    def __init__(self, message: str, *, provider: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider


class ConfigError(ApiaryError):
    """The settings cannot be used as they are; the start stops with this sentence."""

    code = "config"


class DatabaseDown(ApiaryError):
    """What the driver said is its ``__cause__``, for the log: it may name hosts and users."""

    code = "database"
    action = "retry"


class NotConnected(ApiaryError):
    code = "not_connected"
    action = "connect"


class KeyRejected(ApiaryError):
    code = "key_rejected"
    action = "reconnect"


class KeyUnreadable(ApiaryError):
    code = "key_unreadable"
    action = "reconnect"


class OutOfCredit(ApiaryError):
    """``affordable`` is the number of answer tokens that the credit would pay for, if told."""

    code = "out_of_credit"
    action = "credits"

    def __init__(self, message: str, *, provider: str = "", affordable: int | None = None) -> None:
        super().__init__(message, provider=provider)
        self.affordable = affordable


class Forbidden(ApiaryError):
    code = "forbidden"
    action = "provider"


class RateLimited(ApiaryError):
    """``retry_after`` is in seconds, None where the provider does not tell."""

    code = "rate_limited"
    action = "wait"

    def __init__(
        self, message: str, *, provider: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, provider=provider)
        self.retry_after = retry_after


class ModelGone(ApiaryError):
    code = "model_gone"
    action = "pick_model"


class RequestRefused(ApiaryError):
    code = "request_refused"


class ProviderDown(ApiaryError):
    code = "provider_down"
    action = "retry"


class EndpointRefused(ApiaryError):
    code = "endpoint_refused"
    action = "settings"
