"""What comes again, from a page that did not hear that it had arrived."""

from apiary import database

from . import branches, conversations
from .tables import Conversation, Message, clean
from .turns import Draft

_asked = database.prepare(
    lambda id, conversation, text: Message.select().where(
        Message.id == id,
        Message.conversation == conversation,
        Message.role == "user",
        Message.text == text,
    )
)

_answer = database.prepare(
    lambda id, conversation: Message.select().where(
        Message.id == id, Message.conversation == conversation, Message.role == "assistant"
    )
)


def find(conversation: Conversation, draft: Draft) -> Message | None:
    """The question that was stored when it came first."""
    if draft.id is None:
        return None
    found: Message | None = _asked.first(
        id=draft.id, conversation=conversation.id, text=clean(draft.text)
    )
    return found


def written(conversation: Conversation, question: Message) -> str | None:
    """The id of its answer, running or whole, the newest of several; None while it has none."""
    rows = branches.below(conversations.all_messages(conversation), question.id, "assistant")
    return str(rows[-1].id) if rows else None


def begun(conversation: Conversation, answer_id: str) -> bool:
    """Whether the answer is there that was asked for under this id."""
    return _find_answer(conversation, answer_id) is not None


def went_on(conversation: Conversation, answer_id: str, continued: int | None) -> bool:
    """Whether an answer has gone on since its reader saw it go on so often."""
    if continued is None:
        return False
    row = _find_answer(conversation, answer_id)
    return row is not None and row.continued > continued


def _find_answer(conversation: Conversation, id: str) -> Message | None:
    found: Message | None = _answer.first(id=id, conversation=conversation.id)
    return found
