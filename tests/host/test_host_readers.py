"""Seats of readers: taken, given back, refused, and those of sessions that are over."""

from collections.abc import Callable, Iterator

import pytest

from apiary import database
from apiary.host import accounts
from apiary.host.accounts import Person
from apiary.host.answers import MOST_READERS, Answers, Full
from apiary.host.readers import MOST_OF_OWNER, Readers, Seat
from apiary.host.tables import Account
from tests.host.browsing import Browser

ANN, BOB = Person("ann"), Person("bob")
Enter = Callable[..., Seat]


@pytest.fixture
def readers() -> Readers:
    return Readers(Answers())


@pytest.fixture
def enter(host, readers) -> Iterator[Enter]:
    """Takes seats that are left at the end.

    Else the thread that looks after them goes on while other tests run, and logs into theirs.
    """
    seats: list[Seat] = []

    def take(who: Person, message_id: str | None = None, *, thread: bool = True) -> Seat:
        seats.append(readers.enter(host, who, message_id, thread=thread))
        return seats[-1]

    yield take
    for seat in seats:
        readers.leave(seat)
    assert readers.count() == 0


def test_of_one_answer_the_last_stay(enter):
    seats = [enter(ANN, "answer") for _ in range(MOST_READERS + 2)]
    assert [seat.gone for seat in seats] == [True, True] + [False] * MOST_READERS
    other = enter(ANN, "other")
    assert not other.gone and not seats[-1].gone


def test_one_owner_has_so_many(readers, enter):
    """Also where those that were sent away do not go, because nobody takes what they send."""
    seats = [enter(ANN, "answer") for _ in range(MOST_OF_OWNER)]
    with pytest.raises(Full) as refused:
        enter(ANN, "answer")
    assert refused.value.code == "too_many_readers"
    enter(BOB)
    readers.leave(seats[0])
    readers.leave(seats[0])
    enter(ANN)
    with pytest.raises(Full):
        enter(ANN)


def test_who_needs_no_thread_finds_a_seat(readers, enter):
    readers.most_threads = 2
    for who in (ANN, BOB):
        enter(who)
    with pytest.raises(Full) as refused:
        enter(ANN)
    assert refused.value.code == "server_busy"
    enter(ANN, thread=False)


def test_a_refusal_is_a_sentence_with_a_time(builtin):
    """And nothing began that nobody could read."""
    guest = Browser(builtin)
    conversation = guest.conversation()
    builtin.extensions["apiary.host"].readers.most_threads = 0
    with guest.send(f"/c/{conversation}/messages", {"text": "hello"}) as refused:
        assert (refused.status_code, refused.json["code"]) == (503, "server_busy")
        assert int(refused.headers["Retry-After"]) > 0 and refused.json["message"].endswith(".")
    assert guest.messages(conversation) == []
    with guest.get("/payer") as payer:
        assert payer.json["left"] == 3


def test_whose_session_is_over(host, readers, enter):
    for name in ("Ada", "Bruno", "Cleo"):
        Browser(host).sign_up(name)
    with host.app_context(), database.connection_context():
        people = {row.name: accounts._person(row) for row in Account.select()}
        seats = {name: enter(one) for name, one in people.items()}
        accounts.end_sessions(people["Bruno"])
        accounts.delete(people["Cleo"])
    readers.look(host)
    assert {name: seat.gone for name, seat in seats.items()} == {
        "Ada": False, "Bruno": True, "Cleo": True
    }  # fmt: skip
