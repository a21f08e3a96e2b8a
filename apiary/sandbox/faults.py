"""Errors before the stream, chosen by the model: ``sandbox/error-<status>[-<variant>]``."""

from __future__ import annotations

import re

from flask import Response

from .replies import ERROR_TYPES, failure, unavailable

AFFORDABLE = 3919
_NAME = re.compile(r"error-([45]\d\d)(?:-([a-z]+))?")
_MESSAGES = {
    400: "Invalid request parameters",
    401: "User not found.",
    402: "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
    403: "Access denied by your privacy or guardrail settings",
    404: "No endpoints found for {model}.",
    408: "Request timed out",
    429: "Rate limit exceeded: limit_rpm. Please retry shortly",
    500: "Internal Server Error",
    502: "Provider returned error",
    503: "No provider is available for {model} right now.",
    524: "A timeout occurred",
    529: "Provider is overloaded",
}
LIMIT = "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"


def staged(model: str, slug: str, max_tokens: int | None, user_id: str) -> Response | None:
    """Return the error that a model of the sandbox stands for, or None."""
    named = _NAME.fullmatch(slug)
    if named is None:
        return None
    status, variant = int(named[1]), named[2] or ""
    message = _MESSAGES.get(status, f"Staged error {status}").format(model=model)
    metadata: dict[str, object] = {"error_type": ERROR_TYPES.get(status, "unmapped")}
    headers = {}
    match status, variant:
        case 402, "afford":
            # Without max_tokens the pre-check assumes the model's largest answer, so a
            # client that asks for less gets one (oh-my-pi issue 9569).
            if max_tokens is not None and max_tokens <= AFFORDABLE:
                return None
            message = (
                "This request requires more credits, or fewer max_tokens. You requested up to "
                f"{max_tokens or 65536} tokens, but can only afford {AFFORDABLE}. To increase, "
                "visit https://openrouter.ai/settings/credits and add more credits"
            )
        case 403, "limit":
            message = LIMIT
        case 403, "moderation":
            message = f"{model} requires moderation. Your input was flagged"
            metadata |= {
                "error_type": "content_policy_violation",
                "reasons": ["harassment"],
                "flagged_input": "the flagged text",
                "provider_name": "Sandbox",
                "model_slug": model,
            }
        case 503, "" | "availability":
            return unavailable(
                503, message, "no_provider_available", retryable=True, model=model, retry_after=40
            )
        case 404, "availability":
            return unavailable(
                404, message, "model_deprecated", retryable=False, model=model, retry_after=None
            )
        case 429, "upstream":
            # Only OpenRouter's own 429 carries the X-RateLimit headers.
            headers = {"Retry-After": "7"}
            metadata["provider_name"] = "Sandbox"
        case 429, _:
            headers = {
                "Retry-After": "7",
                "X-RateLimit-Limit": "20",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": "1763000000000",
            }
    return failure(status, message, metadata=metadata, user_id=user_id, headers=headers)
