"""Accounts and keys: who they belong to, what they may spend and what they have spent."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from .journal import digest

# For pasting by hand: valid from the start, revocable like any other key. It has the
# documented form (sk-or-v1- and 64 hex digits) and is plainly no secret.
PASTE_KEY = "sk-or-v1-" + "0123456789abcdef" * 4


@dataclass(frozen=True)
class Account:
    """A pretend account at OpenRouter."""

    id: str
    name: str
    free_tier: bool


ACCOUNTS = (
    Account("user_2yOPcMpKoQhcd4bVgSMlELRaIah", "Ada (has credits)", free_tier=False),
    Account("user_2zHnVt7WfRk9sXbYcQmD3uLpEoG", "Bruno (free tier)", free_tier=True),
)


def account(user_id: str) -> Account:
    """Return the account with this id, or the first one."""
    return next((each for each in ACCOUNTS if each.id == user_id), ACCOUNTS[0])


def mask(key: str) -> str:
    """Return a key as OpenRouter shows it, ``sk-or-v1-au7...890``."""
    return f"{key[:12]}...{key[-3:]}"


@dataclass
class Key:
    """An API key, known by its hash alone, as a careful server would keep it."""

    hash: str
    masked: str
    user_id: str
    name: str = ""
    app: str = ""
    limit: float | None = None
    limit_reset: str | None = None
    expires_at: dt.datetime | None = None
    created: float = 0.0
    revoked: bool = False
    free_requests: dict[dt.date, int] = field(default_factory=dict)
    spent: dict[dt.date, float] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, user_id: str, **details: object) -> Key:
        """Make the record of a key; the key itself is not in it."""
        return cls(digest(key), mask(key), user_id, **details)  # type: ignore[arg-type]

    def alive(self, now: dt.datetime) -> bool:
        """Tell whether the key still works."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)

    def usage(self, now: dt.datetime, period: str | None = None) -> float:
        """Return what was spent in the current UTC day, week (from Monday), month, or ever."""
        today = now.date()
        first = {
            "daily": today,
            "weekly": today - dt.timedelta(days=today.weekday()),
            "monthly": today.replace(day=1),
        }.get(period or "", dt.date.min)
        return round(sum(cost for day, cost in self.spent.items() if day >= first), 10)

    def remaining(self, now: dt.datetime) -> float | None:
        """Return what the key's own limit leaves, or None without one."""
        if self.limit is None:
            return None
        return round(max(0.0, self.limit - self.usage(now, self.limit_reset)), 10)

    def charge(self, now: dt.datetime, cost: float, *, free: bool) -> None:
        """Add one request to what the key has used."""
        day = now.date()
        self.spent[day] = self.spent.get(day, 0.0) + cost
        if free:
            self.free_requests[day] = self.free_requests.get(day, 0) + 1


def describe(key: Key, now: dt.datetime) -> dict[str, object]:
    """Return the ``data`` of ``GET /api/v1/key``: every field of the Python SDK 1.3.84."""
    owner = account(key.user_id)
    remaining = key.remaining(now)
    free_limit = 50 if owner.free_tier else 1000
    free_used = key.free_requests.get(now.date(), 0)
    budget = None
    if key.limit is not None:
        budget = {
            "budget_id": None,
            "guardrail_id": None,
            "include_byok": False,
            "limit_usd": key.limit,
            "remaining_usd": remaining,
            "reset_interval": key.limit_reset,
            "resets_at": _next_reset(key.limit_reset, now),
            "scope": "key_limit",
            "spend_usd": key.usage(now, key.limit_reset),
        }
    return {
        # The masked key; whether OpenRouter puts a key_label here is not verified.
        "label": key.masked,
        "limit": key.limit,
        "limit_remaining": remaining,
        "limit_reset": key.limit_reset,
        "expires_at": stamp(key.expires_at) if key.expires_at else None,
        "usage": key.usage(now),
        "usage_daily": key.usage(now, "daily"),
        "usage_weekly": key.usage(now, "weekly"),
        "usage_monthly": key.usage(now, "monthly"),
        "byok_usage": 0,
        "byok_usage_daily": 0,
        "byok_usage_weekly": 0,
        "byok_usage_monthly": 0,
        "include_byok_in_limit": False,
        "is_free_tier": owner.free_tier,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": key.user_id,
        "organization_id": None,
        "workspace_id": None,
        "allowed_data_regions": ["global"],
        "budgets": [budget] if budget else [],
        "effective_budget": budget,
        "free_model_daily_requests": {
            "limit": free_limit,
            "remaining": max(0, free_limit - free_used),
            "used": free_used,
        },
        "rate_limit": {
            "interval": "10s",
            "requests": -1,
            "note": "This field is deprecated and safe to ignore.",
        },
    }


def stamp(moment: dt.datetime) -> str:
    """Write a UTC moment as OpenRouter does, with seconds and a Z."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _next_reset(period: str | None, now: dt.datetime) -> str | None:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "daily":
        return stamp(midnight + dt.timedelta(days=1))
    if period == "weekly":
        return stamp(midnight + dt.timedelta(days=7 - midnight.weekday()))
    if period == "monthly":
        return stamp((midnight.replace(day=1) + dt.timedelta(days=32)).replace(day=1))
    return None
