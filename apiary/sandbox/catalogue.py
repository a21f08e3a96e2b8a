"""The model list: the sandbox's own models, and some 350 that look like the real ones.

The shape is the ``Model`` of the official Python SDK 1.3.84; count and size resemble a full
response of May 2026 (356 models, 423 kB). Everything is derived from the names, so the list
is the same on every machine.
"""

from __future__ import annotations

import functools
import hashlib
import re
from decimal import Decimal
from typing import Any

from .families import ALIASES, GIVEN_AWAY, ROUTERS, Family, families

_NEWEST = 1763000000
_BRACES = re.compile(r"\{([^{}]*)\}")
_COMMON = ["frequency_penalty", "max_tokens", "presence_penalty", "seed", "stop", "temperature"]
_TOOLS = ["response_format", "structured_outputs", "tool_choice", "tools", "top_k", "top_p"]
_VARIANTS = ("free", "nitro", "floor", "online", "thinking", "extended", "exacto")

# Only some of the models that can be called are listed; see stages.py and faults.py.
OWN = {
    "sandbox/echo": ("Echo", "Repeats your message word by word."),
    "sandbox/echo:free": ("Echo (free)", "Repeats your message and costs nothing."),
    "sandbox/slow": ("Slow", "Counts to forty in ten seconds, for trying Stop."),
    "sandbox/markdown": ("Markdown", "Headings, code, a table, and hostile HTML."),
    "sandbox/reasoning": ("Reasoning", "Thinks first, then answers."),
    "sandbox/long": ("Long", "About four thousand words at full speed."),
    "sandbox/cut": ("Cut", "Breaks off in the middle of a sentence."),
    "sandbox/mid-error": ("Error inside", "Begins well, then reports an error."),
    "sandbox/error-402": ("Error 402", "Has no credits left."),
    "sandbox/error-403-moderation": ("Error 403", "Refuses by moderation."),
    "sandbox/error-404": ("Error 404", "Is gone."),
    "sandbox/error-429": ("Error 429", "Asks you to wait seven seconds."),
    "sandbox/error-503": ("Error 503", "Has no provider at the moment."),
}


@functools.cache
def models() -> tuple[dict[str, Any], ...]:
    """Return the whole list, newest first, which is the order that was observed."""
    real = [_real(family, slug) for family in families() for slug in _expand(family.slugs)]
    by_id = {model["id"]: model for model in real}
    others = [_router(model_id, name, "-1") for model_id, name in ROUTERS.items()]
    others += [_router(model_id, name, "0") for model_id, name in GIVEN_AWAY.items()]
    others += [_alias(model_id, by_id[target]) for model_id, target in ALIASES.items()]
    own = [_own(model_id, number) for number, model_id in enumerate(OWN)]
    return tuple(own + sorted(others + real, key=lambda model: -int(model["created"])))


def find(model_id: object) -> dict[str, Any] | None:
    """Return a model that can be called: a listed one, a variant, an alias, a hidden stage."""
    if not isinstance(model_id, str):
        return None
    listed = _index().get(model_id)
    if listed is not None:
        target = listed.get("alias_target")
        return _index()[target["slug"]] if target else listed
    base, _, variant = model_id.rpartition(":")
    if variant in _VARIANTS and base in _index():
        return _index()[base]
    if model_id.startswith("sandbox/") and re.fullmatch(r"[a-z0-9-]+", model_id[8:]):
        return _own(model_id, 0)
    return None


@functools.cache
def _index() -> dict[str, dict[str, Any]]:
    return {model["id"]: model for model in models()}


def _expand(text: str) -> list[str]:
    """Read ``a-{b,c}`` as ``a-b a-c``."""
    done: list[str] = []
    # Blanks separate names, and no brace contains one.
    for word in text.split():
        pending = [word]
        while any("{" in each for each in pending):
            pending = [
                each[: found.start()] + option + each[found.end() :]
                for each in pending
                if (found := _BRACES.search(each))
                for option in found[1].split(",")
            ]
        done += pending
    return list(dict.fromkeys(done))


def _dice(model_id: str, name: str, sides: int) -> int:
    """Return a number below ``sides`` that depends on nothing but the names."""
    thrown = hashlib.sha256(f"{model_id} {name}".encode()).digest()
    return int.from_bytes(thrown[:6]) % sides


def _per_token(dollars_per_million: float) -> str:
    """Write a price as OpenRouter does: a decimal string, USD per token."""
    price = Decimal(str(round(dollars_per_million, 3))) / 1_000_000
    return f"{price.normalize():f}"


def _real(family: Family, slug: str) -> dict[str, Any]:
    model_id = f"{family.author}/{slug}"
    low, high = family.price
    prompt = low * (high / low) ** (_dice(model_id, "price", 101) / 100)
    title = " ".join(
        part.upper() if len(part) < 4 and part.isalpha() else part.capitalize()
        for part in slug.partition(":")[0].split("-")
    )
    suffix = slug.partition(":")[2]
    model = _model(
        model_id,
        f"{family.maker}: {title}" + (f" ({suffix})" if suffix else ""),
        (
            f"{title} is a model by {family.maker} for conversation, writing, summaries, data "
            "extraction and code. It follows long instructions, keeps to a requested format "
            "and calls tools where its provider allows them. This text stands in for the "
            "maker's own; answers come from the sandbox, which repeats the last question."
        ),
        created=_NEWEST - 86400 * (1 + _dice(model_id, "age", 900)),
        context=family.contexts[_dice(model_id, "context", len(family.contexts))],
        inputs=family.inputs,
        outputs=family.outputs,
        tokenizer=family.tokenizer,
    )
    if suffix == "free":
        model["pricing"] = {"prompt": "0", "completion": "0", "request": "0", "image": "0"}
    else:
        model["pricing"] = {
            "prompt": _per_token(prompt),
            "completion": _per_token(prompt * (2 + _dice(model_id, "ratio", 4))),
        }
        if "image" in family.inputs:
            model["pricing"]["image"] = _per_token(prompt * 1000)
        if _dice(model_id, "cache", 3) == 0:
            model["pricing"]["input_cache_read"] = _per_token(prompt / 10)
        if family.author in ("openai", "anthropic", "perplexity"):
            model["pricing"]["web_search"] = "0.01"
    model["top_provider"]["is_moderated"] = family.moderated
    if family.reasoning:
        model["supported_parameters"] += ["include_reasoning", "reasoning"]
        model["reasoning"] = {
            "mandatory": _dice(model_id, "mandatory", 4) == 0,
            "default_effort": "medium",
            "default_enabled": True,
            "supported_efforts": ["high", "medium", "low"],
            "supports_max_tokens": family.author == "anthropic",
        }
    if _dice(model_id, "expires", 40) == 0:
        model["expiration_date"] = "2027-03-31"
    return model


def _model(
    model_id: str,
    name: str,
    description: str,
    *,
    created: int,
    context: int | None,
    inputs: tuple[str, ...] = ("text",),
    outputs: tuple[str, ...] = ("text",),
    tokenizer: str = "Other",
) -> dict[str, Any]:
    return {
        "id": model_id,
        "canonical_slug": model_id.partition(":")[0].lstrip("~"),
        "hugging_face_id": None,
        "name": name,
        "created": created,
        "description": description,
        "context_length": context,
        "architecture": {
            "modality": "+".join(inputs) + "->" + "+".join(outputs),
            "input_modalities": list(inputs),
            "output_modalities": list(outputs),
            "tokenizer": tokenizer,
            "instruct_type": None,
        },
        "pricing": {"prompt": "0", "completion": "0"},
        "top_provider": {
            "context_length": context,
            "max_completion_tokens": context // 8 if context else None,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": sorted(_COMMON + _TOOLS),
        "default_parameters": {"temperature": None, "top_p": None, "frequency_penalty": None},
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{model_id}/endpoints"},
    }


def _own(model_id: str, number: int) -> dict[str, Any]:
    title, about = OWN.get(model_id, (model_id.partition("/")[2], "A stage for tests."))
    model = _model(
        model_id, f"Sandbox: {title}", about, created=_NEWEST + 100 - number, context=65536
    )
    if not model_id.endswith(":free"):
        model["pricing"] = {"prompt": "0.000001", "completion": "0.000002"}
    return model


def _router(model_id: str, name: str, price: str) -> dict[str, Any]:
    model = _model(
        model_id,
        name,
        f"{name} picks a model for each request, as OpenRouter's routers do.",
        created=_NEWEST - 86400 * _dice(model_id, "age", 300),
        context=2000000,
        tokenizer="Router",
    )
    model["pricing"] = {"prompt": price, "completion": price}
    return model


def _alias(model_id: str, target: dict[str, Any]) -> dict[str, Any]:
    return target | {
        "id": model_id,
        "name": f"{target['name']} (latest)",
        "created": _NEWEST - 86400 * _dice(model_id, "age", 200),
        "alias_target": {"name": target["name"], "slug": target["id"]},
        "links": {"details": f"/api/v1/models/{model_id}/endpoints"},
    }
