"""From what a provider answered to an error of our tree, in our words.

What a provider says is untrusted text that may hold the key it was sent: it is quoted only
where it helps, shortened, and never with a piece of the key in it.
"""

import re
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import (
    ApiaryError,
    Forbidden,
    KeyRejected,
    ModelGone,
    OutOfCredit,
    ProviderDown,
    RateLimited,
    RequestRefused,
)
from ..replies import Reply, Unusable
from ..secret import Secret
from ..translation import Sentence, say, say_n

_EXCERPT = 200
_LONGEST_WAIT = 3600.0
_AFFORD = re.compile(r"can only afford ([0-9][0-9,]{0,12})")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,6})?")
_NO_MODEL = re.compile(
    r"model_not_found|model_deprecated|is not a valid model|model .{1,80} not found", re.I
)
_NO_CREDIT = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_error"})
#: Words that stand where a number would: what they mean as an HTTP status.
_WORDS = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "content_policy_violation": 403,
    "context_length_exceeded": 400,
    "credit_balance_exhausted": 402,
    "insufficient_quota": 402,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "server_error": 500,
    "timeout_error": 504,
}


_MODERATED = frozenset(
    {"content_policy_violation", "content_filter", "moderation", "moderated", "guardrail_blocked"}
)


@dataclass(frozen=True, slots=True)
class Detail:
    """What the body of an error says, in whichever of the known forms it has."""

    message: str = ""
    #: The codes and types that it names, in small letters.
    words: frozenset[str] = frozenset()
    #: The status it names, None if it names none.
    status: int | None = None
    #: Seconds to wait, None if it does not say.
    wait: float | None = None


def detail(data: Any) -> Detail:
    """Read ``{"error": {...}}``, ``{"error": "text"}``, ``{"detail": ...}`` and their like."""
    if not isinstance(data, Mapping):
        return Detail()
    error = data.get("error", data)
    if isinstance(error, str):
        return Detail(error)
    if not isinstance(error, Mapping):
        return Detail()
    words = [error.get(name) for name in ("code", "type", "error_type", "status")]
    message = error.get("message") or error.get("detail") or error.get("msg")
    wait = None
    status = _status(error.get("code"))
    if status is None:
        status = _status(error.get("http_status"))
    for inner in (error.get("metadata"), error.get("availability")):
        if isinstance(inner, Mapping):
            words += [inner.get(name) for name in ("error_type", "code")]
            wait = seconds(str(inner.get("retry_after", ""))) if wait is None else wait
    known = frozenset(word.lower() for word in words if isinstance(word, str) and len(word) < 80)
    if status is None:
        status = next((_WORDS[word] for word in sorted(known) if word in _WORDS), None)
    return Detail(message if isinstance(message, str) else "", known, status, wait)


def refusal(
    name: str, label: str, key: Secret | None, reply: Reply, *, asked: str = "model"
) -> ApiaryError:
    """The error that an answer other than 200 stands for.

    :param asked: what the request was for: ``model`` for an answer of a model, else the key or
        the list of models, where a 404 is the server's fault.
    """
    said = detail(reply.data)
    status = reply.status
    # Over a 200 or a stream the body's own number is all there is.
    if status < 400:
        status = said.status if said.status is not None and 400 <= said.status < 600 else 500
    wait = retry_after(reply.headers)
    return error(name, label, key, status, said, said.wait if wait is None else wait, asked)


def error(
    name: str,
    label: str,
    key: Secret | None,
    status: int,
    said: Detail,
    wait: float | None = None,
    asked: str = "model",
) -> ApiaryError:
    """The error of our tree for a status and what was said with it."""
    quoted = excerpt(said.message, key)
    unpaid = said.words & _NO_CREDIT or "credit balance is too low" in said.message
    if status == 402 or (status in (400, 403, 429) and unpaid):
        found = _AFFORD.search(said.message)
        if found:
            tokens = int(found[1].replace(",", ""))
            return OutOfCredit(
                say_n(
                    "{label} wants to be paid first: the credit that is left pays for about"
                    " {count} token. Add credit, or ask for a shorter answer.",
                    "{label} wants to be paid first: the credit that is left pays for about"
                    " {count} tokens. Add credit, or ask for a shorter answer.",
                    tokens,
                    label=label,
                ),
                provider=name,
                affordable=tokens,
            )
        if quoted:
            unpaid_for = say("{label} wants to be paid first: {said}", label=label, said=quoted)
        else:
            unpaid_for = say(
                "{label} wants to be paid first. Add credit there, then send again.", label=label
            )
        return OutOfCredit(unpaid_for, provider=name)
    if asked == "model" and (
        status == 404
        or (status in (400, 403, 503) and _NO_MODEL.search(" ".join([said.message, *said.words])))
    ):
        return ModelGone(
            say("That model is no longer offered by {label}. Pick another.", label=label),
            provider=name,
        )
    if status == 401:
        return KeyRejected(say("{label} does not accept this key.", label=label), provider=name)
    if status == 403:
        found_bad = Forbidden(
            say("{label} does not allow this: {said}", label=label, said=quoted)
            if quoted
            else say("{label} does not allow this.", label=label),
            provider=name,
        )
        if said.words & _MODERATED:
            # Nothing in the account changes that; another model may see it otherwise.
            found_bad.action = "pick_model"
        return found_bad
    if status == 429:
        return RateLimited(
            say("{label} asks to wait {time}.", label=label, time=_duration(wait)),
            provider=name,
            retry_after=wait,
        )
    if status in (408, 504, 524):
        return ProviderDown(say("{label} took too long. Try again.", label=label), provider=name)
    if status >= 500 or status < 400 or asked != "model":
        return ProviderDown(
            say(
                "{label} has a problem of its own ({status}). Try again.",
                label=label,
                status=status,
            ),
            provider=name,
        )
    if status == 413:
        return RequestRefused(
            say(
                "{label} finds this too long. Begin a new conversation, or shorten it.", label=label
            ),
            provider=name,
        )
    return RequestRefused(
        say("{label} does not take this request: {said}", label=label, said=quoted)
        if quoted
        else say("{label} does not take this request.", label=label),
        provider=name,
    )


def down(name: str, label: str, failure: Unusable) -> ProviderDown:
    """The error for an answer that never came, or came as nonsense."""
    sentence = {
        "unreachable": say("{label} could not be reached. Try again.", label=label),
        "timeout": say("{label} took too long to answer. Try again.", label=label),
        "broken": say("{label} broke the connection off. Try again.", label=label),
        "answer": say("{label} gave an answer that cannot be used. Try again.", label=label),
    }[failure.reason]
    return ProviderDown(sentence, provider=name)


def broken(name: str) -> ProviderDown:
    """The error for an answer that began well and did not end."""
    return ProviderDown(say("The answer broke off. What came is kept."), provider=name)


def excerpt(text: str, key: Secret | None, *, limit: int = _EXCERPT, piece: int = 8) -> str:
    """Foreign text fit to be shown, or "" where it holds a piece of the key."""
    # Cc and Cf go: no line breaks, no escapes, nothing that turns the reading direction.
    plain = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text[:10_000])
    bare = "".join(plain.split())
    secret = key.reveal() if key else ""
    for start in range(max(0, len(secret) - piece) + 1 if secret else 0):
        part = secret[start : start + piece]
        if part in text or part in bare:
            return ""
    short = " ".join(plain.split())
    return short if len(short) <= limit else short[: limit - 1].rstrip() + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the header asks to wait, at most an hour; None if it says nothing clear."""
    value = headers.get("retry-after", "").strip()
    found = seconds(value)
    if found is not None or not value:
        return found
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, at - time.time()), _LONGEST_WAIT)


def seconds(text: str) -> float | None:
    """A plain number of seconds, at most an hour."""
    return min(float(text), _LONGEST_WAIT) if _NUMBER.fullmatch(text) else None


def _duration(wait: float | None) -> Sentence:
    if wait is None:
        return say("a little")
    whole = max(1, round(wait))
    if whole < 120:
        return say_n("{count} second", "{count} seconds", whole)
    return say_n("{count} minute", "{count} minutes", round(whole / 60))


def _status(code: Any) -> int | None:
    if isinstance(code, str) and re.fullmatch(r"[1-5][0-9]{2}", code):
        return int(code)
    ours = isinstance(code, int) and not isinstance(code, bool) and 100 <= code < 600
    return code if ours else None
