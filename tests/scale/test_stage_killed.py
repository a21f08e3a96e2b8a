"""App, Redis and PostgreSQL killed in the middle of a hundred running answers.

A third of them, where the long tests are left out.
"""

import os
import time

import pytest

from tests.scale.running import WHOLE, Person, Reader, events, wait_for
from tests.scale.stage import APPS, URL, Stage

#: The first test builds the stage.
pytestmark = pytest.mark.timeout(240)

PEOPLE, EACH = 34 if os.environ.get("APIARY_TEST_LONG") else 12, 3
COUNT = PEOPLE * EACH


class Crowd:
    """People with three conversations each, in all of which an answer is being written."""

    def __init__(self, stage: Stage, guest) -> None:
        self.stage = stage
        people: list[Person] = [guest() for _ in range(PEOPLE)]
        talks = [ann.another(URL) for ann in people for _ in range(EACH)]
        self.readers = [Reader(ann, URL, wait=False) for ann in talks]
        wait_for(lambda: all(len(reader.found) > 2 for reader in self.readers), 60)
        # Long enough that each has been saved.
        wait_for(lambda: all(text for _, text, _ in self.rows().values()))

    def rows(self) -> dict[str, tuple[str, str, str | None]]:
        """State, text and error of the answers, by their ids."""
        talks = [reader.ann.talk.removeprefix("/c/") for reader in self.readers]
        found = self.stage.sql(
            "SELECT id, state, text, error_code FROM message"
            " WHERE role = 'assistant' AND conversation_id = ANY(%s)",
            talks,
        )
        return {id: (state, text, error) for id, state, text, error in found}

    def settled(self) -> bool:
        return all(state != "streaming" for state, _, _ in self.rows().values())

    def check(self, before: dict) -> None:
        """Nothing that was saved is lost, and whatever did not end says so."""
        now = self.rows()
        assert now.keys() == before.keys() and len(now) == COUNT
        for id, (state, text, error) in now.items():
            assert text.startswith(before[id][1]) and WHOLE.startswith(text)
            assert (state, error) in (("complete", None), ("incomplete", "broken_off"))
            assert (text == WHOLE) == (state == "complete")
        sql = self.stage.sql
        asked = "SELECT count(*) FROM message WHERE role = 'user' AND state = 'sent' AND text = %s"
        talks = [reader.ann.talk.removeprefix("/c/") for reader in self.readers]
        assert sql(f"{asked} AND conversation_id = ANY(%s)", "count", talks) == [(COUNT,)]
        # Each conversation shows its answer, and each person's key is there and opens.
        heads = "SELECT count(*) FROM conversation WHERE id = ANY(%s) AND head = ANY(%s)"
        assert sql(heads, talks, list(now)) == [(COUNT,)]
        owners = "SELECT DISTINCT owner FROM conversation WHERE id = ANY(%s)"
        keys = f"SELECT count(*) FROM apiary_connection WHERE owner IN ({owners})"
        assert sql(f"{keys} AND state = 'connected'", talks) == [(PEOPLE,)]
        # What somebody has read is what is there, as far as either goes.
        texts = {id: text for id, (_, text, _) in now.items()}
        for reader in self.readers:
            row = reader.ann.messages(URL)[-1]
            assert texts[row["id"]].startswith(reader.text) or reader.text.startswith(row["text"])

    def go_on(self) -> int:
        """Let some that broke off go on; how many."""
        self.stage.sandbox(pace=0)
        broken = [r for r in self.readers if r.ann.messages(URL)[-1]["state"] == "incomplete"]
        for reader in broken[:6]:
            ann, row = reader.ann, reader.ann.messages(URL)[-1]
            about = {"message_id": row["id"], "model": "sandbox/echo"}
            url = f"{URL}{ann.talk}/continue"
            with ann.http.stream("POST", url, json=about, headers=ann.headers) as response:
                assert response.status_code == 200, response.read()
                assert list(events(response))[-1][1] == "done"
            after = ann.messages(URL)[-1]
            assert after["state"] == "complete" and after["text"].startswith(row["text"])
        return len(broken)


@pytest.fixture
def crowd(stage, guest):
    stage.sandbox(pace=1.5)
    made = Crowd(stage, guest)
    yield made
    stage.sandbox(pace=0)
    for reader in made.readers:
        reader.join(30)


def test_an_app_machine_is_killed(stage, crowd):
    before = crowd.rows()
    stage["app1"].kill_all()
    stage.programs["app1"].wait()
    stage.start_app("app1")
    stage.wait_for_app("app1")
    stage.sandbox(pace=0.1)
    wait_for(crowd.settled, 40)
    crowd.check(before)
    broken = crowd.go_on()
    # nginx gave each machine its share, of so few answers not exactly a third.
    assert COUNT // 9 < broken < COUNT * 2 // 3


@pytest.mark.long
def test_all_app_machines_are_killed(stage, crowd):
    before = crowd.rows()
    for name in APPS:
        stage[name].kill_all()
    for name in APPS:
        stage.programs[name].wait()
        stage.start_app(name)
    for name in APPS:
        stage.wait_for_app(name)
    wait_for(crowd.settled, 40)
    crowd.check(before)
    assert crowd.go_on() == COUNT


@pytest.mark.long
def test_redis_is_killed(stage, crowd):
    before = crowd.rows()
    stage["cache"].kill_all()
    stage.programs["cache"].wait()
    time.sleep(1)
    stage.start_cache()
    time.sleep(1)
    stage.sandbox(pace=0.1)
    wait_for(crowd.settled, 40)
    crowd.check(before)
    # They need it for nothing but each other.
    assert {state for state, _, _ in crowd.rows().values()} == {"complete"}
    assert all(reader.found[-1][1] == "done" for reader in crowd.readers)


def test_postgresql_is_killed(stage, crowd):
    before = crowd.rows()
    stage["db"].kill_all()
    stage.programs["db"].wait()
    # Some end while it is away.
    stage.sandbox(pace=0.1)
    time.sleep(3)
    stage.start_database()
    stage.wait_for_database()
    wait_for(crowd.settled, 60)
    crowd.check(before)
    assert {state for state, _, _ in crowd.rows().values()} == {"complete"}
    for reader in crowd.readers:
        reader.join(20)
        assert reader.text == WHOLE and reader.found[-1][1] == "done"
