"""The stage is restarted and upgraded machine by machine while people go on using it."""

import secrets
import signal
import threading
import time

import pytest

from tests.scale.running import WHOLE, Reader, last
from tests.scale.stage import APPS, AT, URL

#: The first test builds the stage.
pytestmark = pytest.mark.timeout(240)

#: Of a new version: a column and a table that the old one knows nothing of.
MIGRATION = """
def up(migrator, db):
    db.execute_sql("ALTER TABLE message ADD COLUMN NAME TEXT")
    db.execute_sql("CREATE TABLE NAME (id INTEGER PRIMARY KEY)")


def down(migrator, db):
    db.execute_sql("DROP TABLE NAME")
    db.execute_sql("ALTER TABLE message DROP COLUMN NAME")
"""


@pytest.mark.long
@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP"])
def test_a_restart_of_each_machine_refuses_nobody(stage, guest, people, how):
    for name in APPS:
        program = stage.programs[name]
        # While this runs the process stays, and must leave new requests to the others.
        slow = Reader(guest(), AT[name])
        if how == "SIGTERM":
            program.signal(signal.SIGTERM)
            assert program.wait() == 0
            stage.start_app(name)
        else:
            [old] = program.children
            program.signal(signal.SIGHUP)
            end = time.monotonic() + 30
            while old in program.children:
                assert time.monotonic() < end
                time.sleep(0.05)
        stage.wait_for_app(name)
        slow.join(20)
        assert slow.found[-1][1] == "done" and slow.text == WHOLE
    people.leave()
    assert people.asked > 6 and people.wrong == []


def test_a_new_version_takes_the_place_of_the_old_one(stage, guest, people):
    new = stage.copy_code()
    # Of its own for each try: the stage keeps its database.
    name = f"stage_{secrets.token_hex(4)}"
    migration = new / "apiary" / "host" / "migrations" / f"9990_{name}.py"
    migration.write_text(MIGRATION.replace("NAME", name))
    stage.code = dict.fromkeys(APPS, new)
    # Before the first starts it brings the database up to date, as make run does. Two at once:
    # one of them waits for the other, and has nothing to do.
    said: list[str] = []

    def upgrade(app: str) -> None:
        said.append(stage[app].do(*stage.flask(app, "upgrade"), env=stage.environ(app)))

    both = [threading.Thread(target=upgrade, args=(app,)) for app in ("app1", "app3")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert "".join(said).count(migration.stem) == 1 and len(said) == 2
    assert stage.sql(f"SELECT count(*) FROM {name}") == [(0,)]
    # The old ones go on with the new database.
    ann = guest()
    slow = Reader(ann, AT["app3"])
    for app in APPS:
        with stage.client() as http:
            assert http.get(f"{AT[app]}/readyz").status_code == 200
        stage.programs[app].signal(signal.SIGTERM)
        assert stage.programs[app].wait() == 0
        stage.start_app(app)
        stage.wait_for_app(app)
        if app == "app1":
            # A new one follows what an old one writes.
            with ann.follow(AT["app1"], after=slow.found[1][0]) as (status, events):
                assert status == 200 and list(events)[-1][1] == "done"
    slow.join(20)
    assert slow.text == WHOLE and last(ann, URL) == ("complete", WHOLE)
    people.leave()
    assert people.asked > 6 and people.wrong == []
