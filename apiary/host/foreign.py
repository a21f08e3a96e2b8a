"""Chats as other programs' files hold them, and our own, read into one form.

Whatever a file says is text from strangers: each value is looked at before it is believed, no
walk goes in circles, and what cannot be read is left out.
"""

import math
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from . import instructions
from .tables import clean

OURS, CHATGPT, OPEN_WEBUI = "Apiary", "ChatGPT", "Open WebUI"
#: Of a longer message the end is left out.
LONGEST = 1_000_000
_STATES = {"user": {"sent"}, "assistant": {"complete", "stopped", "incomplete", "failed"}}
_NAME = re.compile(r"[!-~]{1,200}")
_PROVIDER = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DAY = 86400.0
_REASONING = '<details type="reasoning"'


@dataclass(frozen=True)
class File:
    """A file of a message. ``key`` is what the export calls it, ``content`` base64 or empty."""

    key: str
    name: str
    content: str


@dataclass
class Turn:
    """A message. ``key`` and ``parent`` are what the file calls it and what it follows."""

    role: str
    text: str
    created: float | None = None
    key: str = ""
    parent: str | None = None
    #: Columns of the message beside these.
    more: dict[str, Any] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    #: What is still to be added to the text.
    pieces: list[str] = field(default_factory=list)


@dataclass
class Talk:
    """A conversation. ``turns`` are the path that is shown, ``others`` stand beside it."""

    source: str
    key: str
    title: str
    created: float | None
    updated: float | None
    pinned: bool
    turns: list[Turn]
    others: list[Turn] = field(default_factory=list)
    #: Pictures, files and the like that stayed behind.
    left_out: int = 0
    #: Of this conversation; None stands for the default of whoever reads it in.
    instructions: str | None = None
    folder: str | None = None


def talks(value: Any) -> Iterator[Talk | None]:
    """The conversations of a file; None for each entry that is none."""
    if isinstance(value, dict) and isinstance(value.get("conversations"), list):
        value = value["conversations"]
    elif isinstance(value, dict):
        value = [value]
    for entry in value if isinstance(value, list) else ():
        yield _talk(entry)


def _talk(entry: Any) -> Talk | None:
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("mapping"), dict):
        return _chatgpt(entry)
    if isinstance(entry.get("chat"), dict):
        return _open_webui(entry, entry["chat"])
    if isinstance(entry.get("messages"), list):
        return _ours(entry)
    return None


# -- our own


def _ours(entry: dict[str, Any]) -> Talk:
    told = entry.get("instructions")
    others = entry.get("other_branches")
    return Talk(
        source=OURS,
        key=_text(entry.get("id"))[:200],
        title=_text(entry.get("title")),
        created=when(entry.get("created")),
        updated=when(entry.get("updated")),
        pinned=entry.get("pinned") is True,
        turns=list(_our_turns(entry["messages"])),
        others=list(_our_turns(others)),
        instructions=_text(told)[: instructions.LONGEST] if isinstance(told, str) else None,
        folder=_text(entry.get("folder"))[:1000].strip() or None,
    )


def _our_turns(rows: Any) -> Iterator[Turn]:
    for row in _dicts(rows):
        role = row.get("role")
        if role not in ("user", "assistant"):
            continue
        state = _text(row.get("state"))
        default = "sent" if role == "user" else "complete"
        more: dict[str, Any] = {
            # A question that waited must not be sent by an import.
            "state": state if state in _STATES[role] else default,
            "reasoning": _text(row.get("reasoning")),
            "error_message": _text(row.get("error")) or None,
            "continued": _count(row.get("continued")) or 0,
            "provider": _word(row.get("provider"), _PROVIDER),
            "model": _word(row.get("model"), _NAME),
            "prompt_tokens": _count(row.get("prompt_tokens")),
            "completion_tokens": _count(row.get("completion_tokens")),
            "cost": _money(row.get("cost_usd")),
        }
        if state == "streaming":
            more["state"] = "incomplete"
        if more["error_message"]:
            more["error_code"], more["error_action"] = "imported", "retry"
        parent = row.get("parent")
        yield Turn(
            role,
            _text(row.get("text")),
            when(row.get("created")),
            _text(row.get("id"))[:200],
            parent[:200] if isinstance(parent, str) else None,
            more,
            [
                File(
                    _text(file.get("id"))[:200], _text(file.get("name")), _text(file.get("content"))
                )
                for file in _dicts(row.get("attachments"))
            ],
        )


# -- ChatGPT: conversations.json


def _chatgpt(entry: dict[str, Any]) -> Talk:
    found = Talk(
        source=CHATGPT,
        key=_text(entry.get("conversation_id") or entry.get("id"))[:200],
        title=_text(entry.get("title")),
        created=when(entry.get("create_time")),
        updated=when(entry.get("update_time")),
        pinned=False,
        turns=[],
    )
    thoughts = ""
    for node in _path(entry["mapping"], entry.get("current_node"), "parent"):
        message = _dict(node.get("message"))
        role = _dict(message.get("author")).get("role")
        about, content = _dict(message.get("metadata")), _dict(message.get("content"))
        if about.get("is_visually_hidden_from_conversation") is True:
            continue
        if role == "assistant" and content.get("content_type") == "thoughts":
            thoughts += _thoughts(content)
            continue
        text, left_out = _parts(content)
        found.left_out += left_out
        if role not in ("user", "assistant") or not text.strip():
            continue
        model = _word(about.get("model_slug"), _NAME) if role == "assistant" else None
        _append(found.turns, Turn(role, text, when(message.get("create_time"))), model, thoughts)
        thoughts = ""
    _join(found.turns)
    return found


def _parts(content: dict[str, Any]) -> tuple[str, int]:
    """The text of a message and how much of it is no text."""
    kind = content.get("content_type")
    if kind == "code":
        return f"```\n{_text(content.get('text'))}\n```", 0
    parts = content.get("parts")
    if kind not in ("text", "multimodal_text") or not isinstance(parts, list):
        return "", 0
    texts = [_text(part) for part in parts if isinstance(part, str)]
    return "\n\n".join(text for text in texts if text), len(parts) - len(texts)


def _thoughts(content: dict[str, Any]) -> str:
    found = [_text(thought.get("content")) for thought in _dicts(content.get("thoughts"))]
    return "".join(f"{text}\n\n" for text in found if text)


# -- Open WebUI: Settings, Chats, Export


def _open_webui(entry: dict[str, Any], chat: dict[str, Any]) -> Talk:
    history = _dict(chat.get("history"))
    found = Talk(
        source=OPEN_WEBUI,
        key=_text(entry.get("id") or chat.get("id"))[:200],
        title=_text(entry.get("title") or chat.get("title")),
        created=when(entry.get("created_at") or chat.get("timestamp")),
        updated=when(entry.get("updated_at")),
        pinned=entry.get("pinned") is True,
        turns=[],
    )
    nodes: Iterable[dict[str, Any]] = _path(
        _dict(history.get("messages")), history.get("currentId"), "parentId"
    )
    for node in list(nodes) or _dicts(chat.get("messages")):
        role, content = node.get("role"), node.get("content")
        files = node.get("files")
        found.left_out += len(files) if isinstance(files, list) else 0
        if isinstance(content, list):
            texts = [_text(part.get("text")) for part in _dicts(content)]
            found.left_out += len(content) - sum(bool(text) for text in texts)
            content = "\n\n".join(text for text in texts if text)
        text, thoughts = _without_reasoning(_text(content))
        if role not in ("user", "assistant") or not text.strip():
            continue
        model = _word(node.get("model"), _NAME) if role == "assistant" else None
        _append(found.turns, Turn(role, text, when(node.get("timestamp"))), model, thoughts)
    _join(found.turns)
    return found


def _without_reasoning(text: str) -> tuple[str, str]:
    """What stands in front of an answer folded away, taken out of it."""
    if not text.lstrip().startswith(_REASONING):
        return text, ""
    head, end, rest = text.partition("</details>")
    if not end:
        return text, ""
    inner = head.partition("</summary>")[2] or head.partition(">")[2]
    lines = [line.removeprefix("> ").removeprefix("&gt; ") for line in inner.strip().split("\n")]
    return rest.lstrip("\n"), "\n".join(lines)


# -- what they share


def _path(nodes: dict[str, Any], head: Any, up: str) -> list[dict[str, Any]]:
    """The nodes from the first one to ``head``; each at most once."""
    found, seen = [], set()
    while isinstance(head, str) and head not in seen and isinstance(nodes.get(head), dict):
        seen.add(head)
        found.append(nodes[head])
        head = nodes[head].get(up)
    return found[::-1]


def _append(turns: list[Turn], turn: Turn, model: str | None, thoughts: str) -> None:
    """Add a turn; an answer in several pieces, as around tools, becomes one."""
    if turns and turn.role == turns[-1].role == "assistant":
        # Joined at the end: each piece added to the text itself would copy all of it.
        turns[-1].pieces += ["\n\n", turn.text]
        turns[-1].more["reasoning"] += thoughts
        return
    state = "sent" if turn.role == "user" else "complete"
    turn.more = {"state": state, "model": model, "reasoning": thoughts.strip()}
    turns.append(turn)


def _join(turns: list[Turn]) -> None:
    for turn in turns:
        turn.text += "".join(turn.pieces)
        turn.pieces.clear()


def when(value: Any) -> float | None:
    """Unix seconds of a number in whichever unit, or of an ISO date; None where it is none."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value[:40]).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e20:
        return None
    while value > 1e11:  # milliseconds, or less
        value /= 1000
    return float(value) if value < time.time() + _DAY else None


def _text(value: Any) -> str:
    return clean(value) if isinstance(value, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _word(value: Any, form: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and form.fullmatch(value) else None


def _count(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
    return value if good else None


def _money(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not (0 <= value < 1e9) or not math.isfinite(value):
        return None
    return Decimal(repr(value)).quantize(Decimal("1e-10"))
