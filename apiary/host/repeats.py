"""A question that comes again, from a page that did not hear that it had arrived."""

from collections.abc import Iterator

from apiary import database

from . import branches, conversations, elsewhere, orders, turns
from .orders import Wish
from .readers import Seat
from .state import here
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


def find(conversation: Conversation, draft: Draft) -> Message | None:
    """The question that was stored when it came first."""
    if draft.id is None:
        return None
    found: Message | None = _asked.first(
        id=draft.id, conversation=conversation.id, text=clean(draft.text)
    )
    return found


def follow(
    owner: str, conversation: Conversation, question: Message, wish: Wish, seat: Seat
) -> Iterator[bytes]:
    """The events of its answer, from the beginning; it is asked now if it was not yet."""
    rows = conversations.all_messages(conversation)
    written = branches.below(rows, question.id, "assistant")
    if not written:
        return turns.again(owner, conversation, wish, question.id).follow()
    answer = here().answers.find(conversation.id)
    if answer is not None and answer.message_id == written[-1].id:
        return answer.follow()
    return elsewhere.follow(orders.this_app(), written[-1].id, seat)
