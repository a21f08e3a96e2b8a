"""What a model is told before the first message: the conversation's own, else one's default."""

from apiary import database

from .tables import Account, Conversation, clean

LONGEST = 20_000
_default = database.prepare(
    lambda owner: Account.select(Account.instructions).where(Account.id == owner)
)


def of(owner: str, conversation: Conversation) -> str:
    """The instructions that hold in a conversation, "" where there are none."""
    own: str | None = conversation.instructions
    return default(owner) if own is None else own


def default(owner: str) -> str:
    """What holds where a conversation has none of its own."""
    row = _default.first(owner=owner)
    return (row.instructions if row else None) or ""


def keep(conversation: Conversation, text: str | None) -> None:
    """Give a conversation its own. "" means none at all, None the default."""
    kept = None if text is None else clean(text)
    Conversation.update(instructions=kept).where(Conversation.id == conversation.id).execute()


def keep_default(owner: str, text: str) -> None:
    Account.update(instructions=clean(text) or None).where(Account.id == owner).execute()
