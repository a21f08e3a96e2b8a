"""Images and text files that go with a message: what is taken, kept, and sent to a model."""

import base64
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import peewee

from apiary import ApiaryError, database

from .language import gettext
from .orders import Payment, Refusal
from .state import here
from .tables import Attachment, Conversation, Message, clean, new_id

LARGEST_IMAGE = 5 * 1024 * 1024
LARGEST_TEXT = 200_000
#: What one owner may keep here, and how many may go with one message.
LARGEST_SUM = 50 * 1024 * 1024
MOST = 10
#: Bytes of images that are sent to a model with one question; older ones are only named.
_SENT = 20 * 1024 * 1024
#: The same for the bytes of text files: those of one message always go.
_SENT_TEXT = MOST * LARGEST_TEXT
#: What was uploaded and not sent is kept for so many seconds.
_UNSENT = 24 * 3600.0
_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_TICKS = re.compile("`+")
_META = [
    Attachment.id,
    Attachment.owner,
    Attachment.conversation,
    Attachment.kind,
    Attachment.name,
    Attachment.mime,
    Attachment.size,
]


class Unfit(Exception):
    """The file is not taken. The text says why, for people."""


def sniff(data: bytes) -> tuple[str, str]:
    """The kind and the type of a file, by its bytes and by nothing that somebody says of it.

    :raises Unfit: it is neither an image that models read nor a text.
    """
    found = next((mime for magic, mime in _MAGIC.items() if data.startswith(magic)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = "image/webp"
    if found:
        if len(data) > LARGEST_IMAGE:
            raise Unfit(gettext("An image may have 5 MB. Make it smaller."))
        return "image", found
    try:
        text = "" if b"\0" in data else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not text.strip():
        raise Unfit(gettext("This is no PNG, JPEG, WebP or GIF image and no text (UTF-8)."))
    if len(data) > LARGEST_TEXT:
        raise Unfit(gettext("A text file may have 200 kB. Send a part of it."))
    return "text", "text/plain"


def store(owner: str, name: str, data: bytes, conversation: str | None = None) -> Attachment:
    """Keep a file: one that is about to be sent, or with ``conversation`` a part of that.

    :raises Unfit: it is not taken.
    """
    kind, mime = sniff(data)
    with database.atomic():
        Attachment.delete().where(
            Attachment.owner == owner,
            Attachment.conversation.is_null(),
            Attachment.created < time.time() - _UNSENT,
        ).execute()
        kept = (
            Attachment.select(peewee.fn.SUM(Attachment.size))
            .where(Attachment.owner == owner)
            .scalar()
        )
        if int(kept or 0) + len(data) > LARGEST_SUM:
            raise Unfit(
                gettext(
                    "You keep 50 MB of files here already. Delete a conversation that has some."
                )
            )
        return Attachment.create(
            id=new_id(),
            owner=owner,
            conversation=conversation,
            kind=kind,
            name=_name(name),
            mime=mime,
            size=len(data),
            data=data,
        )


def _name(name: str) -> str:
    last = clean(name).replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable()).strip()[:100] or "file"


def find(owner: str, attachment_id: str) -> Attachment | None:
    found: Attachment | None = Attachment.get_or_none(
        Attachment.id == attachment_id, Attachment.owner == owner
    )
    return found


def drop(owner: str, attachment_id: str) -> None:
    """Forget a file that was not sent."""
    Attachment.delete().where(
        Attachment.id == attachment_id,
        Attachment.owner == owner,
        Attachment.conversation.is_null(),
    ).execute()


def claim(owner: str, conversation: Conversation, ids: Sequence[str]) -> str | None:
    """What a message of a conversation keeps of its files, None without any.

    :raises Refusal: one is not there, or is part of another conversation.
    """
    if not ids:
        return None
    if Attachment.select().where(_free(conversation, ids)).count() != len(set(ids)):
        raise _missing()
    return " ".join(ids)


def bind(conversation: Conversation, message: Message) -> None:
    """Make the files of a message part of its conversation. A message refused binds none.

    In the transaction that saves the message.

    :raises Refusal: another conversation was faster.
    """
    if not message.attachments:
        return
    ids = message.attachments.split()
    update = Attachment.update(conversation=conversation.id)
    if update.where(_free(conversation, ids)).execute() != len(set(ids)):
        raise _missing()


def _free(conversation: Conversation, ids: Sequence[str]) -> peewee.Expression:
    return (
        Attachment.id.in_(list(ids))
        & (Attachment.owner == conversation.owner)
        & (Attachment.conversation.is_null() | (Attachment.conversation == conversation.id))
    )


def _missing() -> Refusal:
    return Refusal(
        "no_file", gettext("A file is not here any more. Remove it and attach it again.")
    )


def of(rows: Iterable[Message]) -> dict[str, list[Attachment]]:
    """The files of each message, without their bytes."""
    ids = {row.id: row.attachments.split() for row in rows if row.attachments}
    wanted = [name for names in ids.values() for name in names]
    if not wanted:
        return {}
    found = {a.id: a for a in Attachment.select(*_META).where(Attachment.id.in_(wanted))}
    return {row: [found[name] for name in names if name in found] for row, names in ids.items()}


def names(message: Message) -> str:
    """What the files of a message are called."""
    return ", ".join(file.name for file in of([message]).get(message.id, ()))


def sees(owner: str, payment: Payment) -> bool:
    """Whether the model reads images, as far as its provider's list tells."""
    if payment.payer.kind == "builtin":
        return True
    try:
        models = here().apiary.catalogue(owner, str(payment.payer.provider)).models
    except ApiaryError:
        return True
    # Some lists tell of no model what it reads.
    told = any("image" in model.inputs for model in models)
    inputs = next((model.inputs for model in models if model.id == payment.model), None)
    return not told or inputs is None or "image" in inputs


def blind(model: str) -> Refusal:
    return Refusal(
        "text_only",
        gettext(
            "%(model)s reads text only. Pick a model that reads images, or remove the image.",
            model=model,
        ),
        "pick_model",
    )


class Parts:
    """Writes messages with their files as providers take them, the newest first."""

    def __init__(self, files: Mapping[str, Sequence[Attachment]], images: bool) -> None:
        self._files = files
        self._images = images
        self._left = {"image": _SENT, "text": _SENT_TEXT}

    def content(self, row: Message) -> str | list[dict[str, Any]]:
        """The content of a message: its text, or parts in OpenAI's wire form."""
        files = self._files.get(row.id) or ()
        if not files:
            text: str = row.text or "[A file was here]"
            return text
        # A part without text is refused by some.
        parts: list[dict[str, Any]] = [{"type": "text", "text": row.text}] if row.text else []
        return parts + [self._part(file) for file in files]

    def _part(self, file: Attachment) -> dict[str, Any]:
        self._left[file.kind] -= file.size
        fits = self._left[file.kind] >= 0
        if file.kind == "text":
            if not fits:
                return {"type": "text", "text": f"[A file was here: {file.name}]"}
            text = data_of(file).decode("utf-8-sig")
            # Longer than all that are in it.
            fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(text)), default=0))
            return {"type": "text", "text": f"{file.name}:\n{fence}\n{text}\n{fence}"}
        if not self._images or not fits:
            return {"type": "text", "text": f"[An image was here: {file.name}]"}
        url = f"data:{file.mime};base64,{base64.b64encode(data_of(file)).decode()}"
        return {"type": "image_url", "image_url": {"url": url}}


def data_of(file: Attachment) -> bytes:
    """The bytes of a file that was found without them."""
    return bytes(Attachment.get_by_id(file.id).data)
