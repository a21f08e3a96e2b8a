"""What a chat request may say, read from JSON or from a form. Wrong input is a sentence."""

import re
from collections.abc import Mapping
from typing import Any

from flask import abort, request

from .. import conversations, shelf
from ..attachments import MOST
from ..language import gettext, number
from ..orders import Wish
from ..turns import Draft

LONGEST_TEXT = 100_000
_NEW_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MODEL = re.compile(r"[!-~]{1,200}")
_PROVIDER = re.compile(r"[a-z][a-z0-9-]{0,31}")
_MOST_TOKENS = 10_000_000


def draft() -> Draft:
    """A message as it is to be sent."""
    fields = _fields()
    files = _attachments(fields.get("attachments"))
    return Draft(
        _text(may_be_empty=bool(files)),
        id=_word(fields, "id", _NEW_ID),
        edit=_word(fields, "edit", _ID),
        parent=_word(fields, "parent", _ID),
        attachments=files,
    )


def _attachments(ids: Any) -> tuple[str, ...]:
    if ids is None or ids == "":
        return ()
    if not isinstance(ids, list) or len(ids) > MOST:
        abort(400, gettext("A message takes at most %(most)s files.", most=MOST))
    words = [_word({"file": one}, "file", _ID) for one in ids]
    return tuple(dict.fromkeys(word for word in words if word))


def message_id() -> str | None:
    """The message that a request is about, None where it names none."""
    return _word(_fields(), "message_id", _ID)


def new_id() -> str | None:
    """The id that the sender made for the answer it asks for, None where it made none."""
    return _word(_fields(), "id", _NEW_ID)


def continued() -> int | None:
    """How often an answer had gone on when its reader asked for more, None where it is not said."""
    known = _fields().get("continued")
    if known is None:
        return None
    if not isinstance(known, int) or isinstance(known, bool) or known < 0:
        abort(400, gettext("%(field)s must be a whole number.", field="continued"))
    return known


def _text(may_be_empty: bool = False) -> str:
    text = _fields().get("text")
    if not isinstance(text, str):
        abort(400, gettext("The message is missing. Send it as text."))
    # Forms send line breaks as two characters.
    text = text.replace("\r\n", "\n")
    if not text.strip():
        if may_be_empty:
            return ""
        abort(400, gettext("The message is empty. Write something first."))
    if len(text) > LONGEST_TEXT:
        abort(
            400,
            gettext(
                "The message is longer than %(most)s characters. Make it shorter.",
                most=number(LONGEST_TEXT),
            ),
        )
    return text


def wish() -> Wish:
    """Which provider and model are asked for; empty means no wish."""
    fields = _fields()
    most = fields.get("max_tokens")
    if isinstance(most, str) and not request.is_json and re.fullmatch(r"[0-9]{1,9}", most):
        most = int(most)
    if most is not None and (
        not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= _MOST_TOKENS
    ):
        abort(400, gettext("max_tokens must be a whole number above zero."))
    return Wish(
        provider=provider_of(fields),
        model=_word(fields, "model", _MODEL),
        max_tokens=most,
    )


def provider_of(fields: Mapping[str, Any]) -> str | None:
    """The provider that is named, None where none is."""
    return _word(fields, "provider", _PROVIDER)


def text_or_none(name: str, longest: int) -> str | None:
    """A text that may be empty, or missing."""
    text = _fields().get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        abort(400, gettext("The %(field)s is no text.", field=name))
    text = text.replace("\r\n", "\n")
    if len(text) > longest:
        abort(
            400,
            gettext(
                "This is longer than %(most)s characters. Make it shorter.", most=number(longest)
            ),
        )
    return text


def ids(name: str) -> list[str]:
    """Ids of conversations, at most 1,000; a form names one."""
    found = _fields().get(name)
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or len(found) > conversations.FILED:
        abort(400, gettext("Name the conversations."))
    return [word for one in found if (word := _word({name: one}, name, _ID))]


def folder(name: str, or_none: bool = False) -> str | None:
    """The name of a folder, None where null stands for no folder."""
    text = _fields().get(name)
    if or_none and text in (None, ""):
        return None
    if not isinstance(text, str) or not text.strip() or len(text) > 1000:
        abort(400, gettext("Write a name for the folder."))
    return shelf.folder_of(text)


def title() -> str:
    """A new title for a conversation."""
    text = _fields().get("title")
    if not isinstance(text, str) or not text.strip():
        abort(400, gettext("The title is empty. Write one."))
    if len(text) > 1000:
        abort(400, gettext("The title is too long. Make it shorter."))
    return text


def _word(fields: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not form.fullmatch(value):
        abort(
            400,
            gettext(
                "The %(field)s is not one that exists. Pick another.",
                field=name.replace("_", " "),
            ),
        )
    return value


def _fields() -> dict[str, Any]:
    if not request.is_json:
        return request.form.to_dict()
    try:
        value = request.get_json(silent=True)
    except RecursionError:
        value = None
    if not isinstance(value, dict):
        abort(400, gettext("The request holds no JSON object."))
    return value
