"""Error answers in OpenRouter's forms (docs, errors and debugging; OpenAPI document)."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask import json as flask_json

from .ledger import Key
from .state import Sandbox, bearer, current

# Canonical values of ApiErrorType for the statuses that have one.
ERROR_TYPES = {
    400: "invalid_request",
    401: "authentication",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    408: "timeout",
    412: "precondition_failed",
    413: "payload_too_large",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    500: "server",
    502: "provider_unavailable",
    503: "provider_overloaded",
    504: "timeout",
    524: "timeout",
    529: "provider_overloaded",
}


def as_json(data: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(flask_json.dumps(data), status, mimetype="application/json")


def failure(
    status: int,
    message: str,
    *,
    metadata: dict[str, Any] | None = None,
    user_id: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Answer with the common error body; a real one may carry the owner at the top."""
    body: dict[str, Any] = {"error": {"code": status, "message": message}}
    if metadata is not None:
        body["error"]["metadata"] = metadata
    if user_id is not None:
        body["user_id"] = user_id
    answer = as_json(body, status)
    answer.headers.update(headers or {})
    return answer


def unavailable(
    status: int, message: str, code: str, *, retryable: bool, model: str, retry_after: int | None
) -> Response:
    """Answer with the availability form, which has no ``code`` of its own.

    The official Python SDK 1.3.84 cannot read it; the documentation shows it all the same.
    """
    answer = as_json(
        {
            "error": {
                "message": message,
                "error_type": ERROR_TYPES.get(status, "unmapped"),
                "http_status": status,
                "availability": {
                    "code": code,
                    "retryable": retryable,
                    "retry_after": retry_after,
                    "requested_models": [model],
                    "fallback_models": ["sandbox/echo"],
                    "docs_url": "https://openrouter.ai/docs/api-reference/errors",
                },
            }
        },
        status,
    )
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def authenticate() -> tuple[Sandbox, Key] | Response:
    """Return the key of this request, or the 401 that OpenRouter gives.

    A revoked, deleted or expired key reads ``User not found.``; tell by the status, the
    texts have changed before.
    """
    sandbox = current()
    key = bearer(request)
    if not key:
        return failure(401, "Missing Authentication header")
    found = sandbox.key(key)
    if found is None:
        return failure(401, "User not found.")
    return sandbox, found
