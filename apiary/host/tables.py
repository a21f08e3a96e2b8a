"""The host's tables. Times are Unix seconds; ids are opaque and unguessable."""

import secrets
import sqlite3
import time

import peewee

from apiary import database


def new_id() -> str:
    """22 URL-safe characters, 128 random bits."""
    return secrets.token_urlsafe(16)


def clean(text: str) -> str:
    """Text that every database and every encoder takes: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def scrub() -> None:
    """Let deleted text leave SQLite's write-ahead log too; the file itself is overwritten."""
    if isinstance(database.obj, peewee.SqliteDatabase):
        if sqlite3.sqlite_version_info < (3, 42):
            # Later ones take deleted words out of the search index at once.
            database.execute_sql("INSERT INTO search_words (search_words) VALUES ('optimize')")
        # Does nothing, and says so in its row, while somebody else reads.
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")


class Table(peewee.Model):
    class Meta:
        database = database
        legacy_table_names = False


class Account(Table):
    """Somebody who wrote something: a guest (no name, no password) or a member.

    ``name_key`` is the name as it is compared. A session carries the ``epoch`` that it was
    made under; raising it ends all of them. ``language`` is the tag of the one that was chosen,
    None where the browser says it.
    """

    id = peewee.CharField(max_length=64, primary_key=True)
    name = peewee.CharField(max_length=64, null=True)
    name_key = peewee.CharField(max_length=255, null=True, unique=True)
    password = peewee.CharField(max_length=255, null=True)
    epoch = peewee.IntegerField(default=0)
    instructions = peewee.TextField(null=True)
    language = peewee.CharField(max_length=16, null=True)
    created = peewee.DoubleField(default=time.time)


class Conversation(Table):
    """``provider`` and ``model`` are those of the last question, None before the first.

    One without a ``title`` has no messages: the first question gives it one.
    ``head`` is the last message of the path that is shown; None stands for the newest one.
    ``instructions`` None stands for the owner's default. ``folder`` is the name of one.
    """

    #: False for a new one, whose row is to come with its first question.
    stored = True

    id = peewee.CharField(max_length=64, primary_key=True, default=new_id)
    owner = peewee.CharField(max_length=255)
    title = peewee.CharField(max_length=255, default="")
    provider = peewee.CharField(max_length=64, null=True)
    model = peewee.CharField(max_length=255, null=True)
    head = peewee.CharField(max_length=64, null=True)
    instructions = peewee.TextField(null=True)
    created = peewee.DoubleField(default=time.time)
    updated = peewee.DoubleField(default=time.time)
    pinned = peewee.DoubleField(null=True)
    folder = peewee.CharField(max_length=100, null=True)
    deleted = peewee.DoubleField(null=True)

    class Meta:
        indexes = ((("owner", "updated"), False),)


class Message(Table):
    """A question or an answer.

    ``state`` of a user's message: ``sent``, or ``waiting`` while nothing can answer it. Of an
    assistant's: ``streaming``, ``complete``, ``stopped`` (by the user), ``incomplete`` (broke
    off, text kept) or ``failed`` (no text). ``saved`` is refreshed while the answer runs, so
    that other processes can tell a running answer from one whose process died. ``cost`` is in
    USD, None where the provider does not tell. ``position`` counts all messages of a
    conversation in the order of their making; what follows what is said by ``parent``
    (:mod:`.branches`). ``affordable`` is how many tokens of an answer the credit would have
    paid for, ``continued`` how often the answer went on after it was cut. ``attachments`` are
    the ids of files, with spaces between them: an edited question has the same ones.
    """

    id = peewee.CharField(max_length=64, primary_key=True, default=new_id)
    # Without an index of its own: that of the place begins with it.
    conversation = peewee.ForeignKeyField(
        Conversation, backref="messages", on_delete="CASCADE", index=False
    )
    position = peewee.IntegerField()
    parent = peewee.CharField(max_length=64, null=True)
    role = peewee.CharField(max_length=16)
    text = peewee.TextField(default="")
    attachments = peewee.TextField(null=True)
    reasoning = peewee.TextField(default="")
    state = peewee.CharField(max_length=16)
    provider = peewee.CharField(max_length=64, null=True)
    model = peewee.CharField(max_length=255, null=True)
    payer = peewee.CharField(max_length=16, null=True)
    finish_reason = peewee.CharField(max_length=64, null=True)
    prompt_tokens = peewee.BigIntegerField(null=True)
    completion_tokens = peewee.BigIntegerField(null=True)
    cost = peewee.DecimalField(max_digits=20, decimal_places=10, null=True)
    error_code = peewee.CharField(max_length=64, null=True)
    error_message = peewee.TextField(null=True)
    error_action = peewee.CharField(max_length=64, null=True)
    affordable = peewee.BigIntegerField(null=True)
    continued = peewee.IntegerField(default=0)
    created = peewee.DoubleField(default=time.time)
    saved = peewee.DoubleField(default=time.time)
    finished = peewee.DoubleField(null=True)

    class Meta:
        indexes = ((("conversation", "position"), True),)


def name_of(row: Message) -> str:
    """The name of an answer among the processes of a site, as :attr:`.answers.Answer.name`."""
    return f"{row.id}.{row.continued}"


class Spent(Table):
    """What an answer cost that is deleted since. A trigger of the database writes it."""

    owner = peewee.CharField(max_length=255)
    provider = peewee.CharField(max_length=64, null=True)
    model = peewee.CharField(max_length=255, null=True)
    payer = peewee.CharField(max_length=16, null=True)
    prompt_tokens = peewee.BigIntegerField(null=True)
    completion_tokens = peewee.BigIntegerField(null=True)
    cost = peewee.DecimalField(max_digits=20, decimal_places=10, null=True)
    created = peewee.DoubleField()

    class Meta:
        primary_key = False


class Attachment(Table):
    """An image or a text file. It belongs to no conversation until it is sent."""

    id = peewee.CharField(max_length=64, primary_key=True, default=new_id)
    owner = peewee.CharField(max_length=255, index=True)
    conversation = peewee.ForeignKeyField(Conversation, null=True, on_delete="CASCADE")
    kind = peewee.CharField(max_length=16)
    name = peewee.CharField(max_length=255)
    mime = peewee.CharField(max_length=64)
    size = peewee.IntegerField()
    data = peewee.BlobField()
    created = peewee.DoubleField(default=time.time)


class Allowance(Table):
    """How many messages of the built-in model an owner used on one UTC day (``2026-11-25``)."""

    owner = peewee.CharField(max_length=255)
    day = peewee.CharField(max_length=10)
    used = peewee.IntegerField()

    class Meta:
        indexes = ((("owner", "day"), True),)
