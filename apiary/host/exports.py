"""What an owner can take away: one conversation, or everything. Never a key."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

from flask import Response

from . import activity, allowance, attachments, branches, conversations
from .accounts import Person
from .language import gettext, lazy_gettext
from .state import here
from .tables import Account, Attachment, Conversation, Message

#: Bytes of files that an export holds, so that it can be imported again; others are named only.
FILES = 12 * 1024 * 1024
_STATES = {
    "failed": lazy_gettext("failed"),
    "incomplete": lazy_gettext("incomplete"),
    "stopped": lazy_gettext("stopped"),
    "streaming": lazy_gettext("streaming"),
    "waiting": lazy_gettext("waiting"),
}


def attachment(text: str, mimetype: str, name: str) -> Response:
    """A file to save. It runs nothing, should a browser show it after all."""
    response = Response(text, mimetype=mimetype)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


def as_json(conversation: Conversation, rows: list[Message]) -> str:
    return _dump(_conversation(conversation, rows, _Files()))


def as_markdown(conversation: Conversation, rows: list[Message]) -> str:
    """The conversation to read, each message under a heading."""
    title = conversation.title or gettext("Conversation")
    parts = [f"# {title}", f"{_time(conversation.created)}"]
    files = attachments.of(rows)
    for row in rows:
        who = gettext("You") if row.role == "user" else row.model or gettext("Answer")
        state = _STATES.get(row.state, row.state)
        parts.append(f"## {who}" if row.state in ("sent", "complete") else f"## {who} ({state})")
        if text := row.text or row.error_message:
            parts.append(text)
        if row.id in files:
            names = ", ".join(f"`{file.name}`" for file in files[row.id])
            parts.append(gettext("Files: %(names)s", names=names))
    return "\n\n".join(parts) + "\n"


def everything(person: Person) -> str:
    """All that this site holds of somebody, as JSON, without passwords and keys."""
    owner = person.id
    account = Account.get_or_none(Account.id == owner)
    files = _Files()
    return _dump(
        {
            "account": {
                "id": owner,
                "name": person.name,
                "created": _time(account.created) if account else None,
                "instructions": (account.instructions if account else None) or "",
            },
            "connections": [
                {
                    "provider": connection.provider,
                    "identity": connection.identity,
                    "source": connection.source,
                    "state": connection.state,
                    "since": connection.since.isoformat(),
                }
                for connection in here().apiary.connections(owner)
            ],
            "built_in_messages_today": allowance.used(owner),
            "activity": activity.everything(owner),
            "conversations": [
                _conversation(conversation, rows, files)
                for conversation, rows in conversations.all_of(owner)
            ],
        }
    )


class _Files:
    """Writes the files of messages; the bytes of each once, where it is named first."""

    def __init__(self) -> None:
        self._left = FILES
        self._written: set[str] = set()

    def write(self, file: Attachment) -> dict[str, Any]:
        found: dict[str, Any] = {"name": file.name, "type": file.mime, "size": file.size}
        found["id"] = file.id
        if file.id not in self._written and file.size <= self._left:
            self._written.add(file.id)
            self._left -= file.size
            found["content"] = base64.b64encode(attachments.data_of(file)).decode()
        return found


def _conversation(
    conversation: Conversation, rows: list[Message], writer: _Files
) -> dict[str, Any]:
    """The path that is shown as ``messages``, what stands beside it as ``other_branches``.

    :param rows: the messages of all branches.
    """
    above = branches.parents(rows)
    shown = branches.path(rows, conversation.head)
    ids = {row.id for row in shown}
    files = attachments.of(rows)
    found: dict[str, Any] = {
        "id": conversation.id,
        "title": conversation.title,
        "created": _time(conversation.created),
        "updated": _time(conversation.updated),
        "instructions": conversation.instructions,
        "messages": [_message(row, above, files, writer) for row in shown],
    }
    if conversation.pinned:
        found["pinned"] = True
    if conversation.folder:
        found["folder"] = conversation.folder
    others = [_message(row, above, files, writer) for row in rows if row.id not in ids]
    return found | ({"other_branches": others} if others else {})


def _message(
    row: Message, above: dict[str, str], files: dict[str, list[Attachment]], writer: _Files
) -> dict[str, Any]:
    found: dict[str, Any] = {"id": row.id, "parent": above[row.id] or None}
    found |= {"role": row.role, "text": row.text, "state": row.state}
    for name in ("reasoning", "provider", "model", "prompt_tokens", "completion_tokens"):
        if getattr(row, name):
            found[name] = getattr(row, name)
    if row.cost is not None:
        found["cost_usd"] = float(row.cost)
    if row.id in files:
        found["attachments"] = [writer.write(file) for file in files[row.id]]
    if row.continued:
        found["continued"] = row.continued
    if row.error_message:
        found["error"] = row.error_message
    return found | {"created": _time(row.created)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
