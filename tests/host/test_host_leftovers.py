"""Rows of requests that were under way while the account of their sender was deleted."""

import threading
import time

import pytest

from apiary import Facts, database
from apiary.host import leftovers
from apiary.host.leftovers import Leftovers
from apiary.host.tables import Account, Allowance, Attachment, Conversation, Message, Spent
from apiary.secret import Secret

LONG_AGO = 7200.0


@pytest.fixture
def app(make_host, database_url):
    found = make_host(APIARY_DATABASE_URL=database_url)
    with found.app_context(), database.connection_context():
        yield found


def belongings(owner: str, age: float) -> None:
    then = time.time() - age
    kept = Conversation.create(owner=owner, title="Bees", created=then)
    Message.create(
        conversation=kept,
        position=0,
        role="assistant",
        state="complete",
        payer="key",
        completion_tokens=5,
        created=then,
    )
    Attachment.create(
        owner=owner, kind="text", name="a", mime="text/plain", size=1, data=b"a", created=then
    )
    Spent.create(owner=owner, created=then)
    Allowance.create(owner=owner, day="2026-11-25", used=1)


def owners(table) -> set[str]:
    return {row.owner for row in table.select(table.owner)}


def test_what_belongs_to_nobody_goes_and_the_rest_stays(app):
    Account.create(id="ann")
    belongings("ann", LONG_AGO)
    belongings("gone", LONG_AGO)
    belongings("just-gone", 0)
    leftovers.delete()
    for table in (Conversation, Attachment, Spent):
        assert owners(table) == {"ann", "just-gone"}
    assert owners(Allowance) == {"ann"}
    assert Message.select().count() == 2


def test_it_looks_once_an_hour(app, monkeypatch):
    belongings("gone", LONG_AGO)
    one = Leftovers()
    one.sweep()
    assert owners(Conversation) == {"gone"}
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3601)
    one.sweep()
    assert owners(Conversation) == set()


def connect(app, owner: str) -> None:
    state = app.extensions["apiary"]
    provider = state.providers["openrouter"]
    state.vault.put(owner, provider, Secret("sk-or-v1-" + "0" * 64), source="key", facts=Facts())


def test_a_key_that_is_stored_behind_the_deletion_does_not_stay(app):
    Account.create(id="ann")
    connect(app, "ann")
    connect(app, "gone")
    state = app.extensions["apiary"]
    assert state.vault.get("ann", "openrouter") is not None
    assert state.vault.last("gone", "openrouter") is None


def test_a_key_that_is_stored_in_the_midst_of_the_deletion_does_not_stay(app):
    """The deletion holds the row of the account, and whoever connects meanwhile waits for it."""
    Account.create(id="ann")
    state = app.extensions["apiary"]
    problems: list[Exception] = []

    def store() -> None:
        try:
            with app.app_context(), database.connection_context():
                connect(app, "ann")
        except Exception as error:
            problems.append(error)

    late = threading.Thread(target=store)
    with database.atomic():
        Account.delete().where(Account.id == "ann").execute()
        state.vault.forget_owner("ann")
        late.start()
        late.join(0.5)
    late.join(10)
    assert not problems
    assert state.vault.last("ann", "openrouter") is None
