"""``flask apiary upgrade`` in real processes: from blank, twice, at once, and killed half-way."""

import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
import psycopg
import pytest

from apiary import db
from tests.faults.databases import Child, command

SLOW = """
import os
import time

def up(migrator, db):
    db.execute_sql("CREATE TABLE extra_first (id INTEGER)")
    db.execute_sql("INSERT INTO extra_first VALUES (1)")
    os.write(1, b"half-way\\n")
    if SECONDS:
        time.sleep(SECONDS)
    db.execute_sql("CREATE TABLE extra_second (id INTEGER)")
"""


@pytest.fixture
def extra(tmp_path: Path) -> Path:
    """A folder for migrations of a host's own."""
    folder = tmp_path / "extra"
    folder.mkdir()
    return folder


def write(folder: Path, seconds: int) -> None:
    (folder / "0001_slow.py").write_text(SLOW.replace("SECONDS", str(seconds)))


@pytest.fixture
def environ(tmp_path: Path, database_url: str, extra: Path) -> dict[str, str]:
    write(extra, 0)
    return {
        "APIARY_DATABASE_URL": database_url,
        "APIARY_INSTANCE_PATH": str(tmp_path / "instance"),
        "EXTRA": str(extra),
    }


UPGRADE = f"result = {command('upgrade')}\nprint(result.output)\nsys.exit(result.exit_code)"


def tables(url: str) -> dict[str, int]:
    """Every table with the number of its rows."""
    database = db.open_url(url)
    with database.connection_context():
        names = database.get_tables()
        counts = {n: peewee.Table(n).bind(database).select().count() for n in names}
    database.close_all() if hasattr(database, "close_all") else database.close()
    return counts


def test_from_blank_and_then_again(environ, database_url: str) -> None:
    code, out, err = Child(UPGRADE, **environ).wait()
    assert code == 0, out + err
    found = tables(database_url)
    assert {"apiary_connection", "apiary_flow", "apiary_canary", "extra_second"} <= found.keys()
    code, out, err = Child(UPGRADE, **environ).wait()
    assert code == 0 and "Nothing to do" in out, out + err
    assert tables(database_url) == found


def test_three_at_once_run_each_migration_once(environ, database_url: str, extra: Path) -> None:
    write(extra, 1)
    children = [Child(UPGRADE, **environ) for _ in range(3)]
    ended = [child.wait() for child in children]
    assert [code for code, _, _ in ended] == [0, 0, 0], ended
    assert sum(out.count("half-way") for _, out, _ in ended) == 1, ended
    found = tables(database_url)
    assert found["extra_migration"] == 1 and found["extra_first"] == 1
    assert found["apiary_migration"] == len(list(Path("apiary/migrations").glob("0*.py")))


def test_a_killed_one_is_mended_by_the_next(environ, database_url: str, extra: Path) -> None:
    write(extra, 60)
    # An embedded database is upgraded as the app is made, others by the command: either way.
    child = Child(UPGRADE, **environ)
    assert child.line() == "half-way"
    child.kill()
    # Nothing of the half is there, and neither is its lock.
    assert "extra_first" not in tables(database_url)
    write(extra, 0)
    code, out, err = Child(UPGRADE, **environ).wait()
    assert code == 0, out + err
    found = tables(database_url)
    assert found["extra_first"] == 1 and "extra_second" in found


def test_pages_of_an_old_database_say_what_to_do(new_postgres, tmp_path: Path, extra: Path) -> None:
    write(extra, 0)
    environ = {
        "APIARY_DATABASE_URL": new_postgres(),
        "APIARY_INSTANCE_PATH": str(tmp_path / "instance"),
        "EXTRA": str(extra),
    }
    code = textwrap.dedent(
        f"""
        client = app.test_client()
        before = client.get("/settings/")
        print(before.status_code, "flask apiary upgrade" in before.text, "Traceback" in before.text)
        told = {command("keys", "status")}
        print(told.exit_code, "flask apiary upgrade" in told.output)
        {command("upgrade")}
        print(client.get("/settings/").status_code)
        """
    )
    status, out, err = Child(code, **environ).wait()
    assert status == 0, err
    lines = [line for line in out.splitlines() if line != "half-way"]
    assert lines == ["503 True False", "1 True", "200"]
    assert "Traceback" not in err


@contextmanager
def held(url: str, statement: str, seconds: float) -> Iterator[None]:
    """Another connection runs this, and goes after a while."""

    def hold() -> None:
        with psycopg.connect(url) as other:
            other.execute(statement)
            ready.set()
            time.sleep(seconds)

    ready = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    yield
    thread.join()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_it_waits_longer_than_a_page_does(environ, database_url: str, extra: Path) -> None:
    with held(database_url, f"SELECT pg_advisory_lock({db._LOCK})", 7):
        code, out, err = Child(UPGRADE, **environ).wait()
    assert code == 0, out + err
    (extra / "0002_more.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('ALTER TABLE extra_first ADD more INTEGER')\n"
    )
    with held(database_url, "LOCK TABLE extra_first", 7):
        code, out, err = Child(UPGRADE, **environ).wait()
    assert code == 0 and "extra: 0002_more" in out, out + err
    # The pool's connection waits as short as before again.
    database = db.open_url(database_url)
    with database.connection_context():
        db.upgrade(database, {})
        assert database.execute_sql("SHOW lock_timeout").fetchone() == ("5s",)
    database.close_all()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_it_does_not_wait_without_end(environ, database_url: str, extra: Path) -> None:
    assert Child(UPGRADE, **environ).wait()[0] == 0
    (extra / "0002_more.py").write_text(
        "def up(migrator, db):\n"
        "    db.execute_sql('CREATE TABLE extra_third (id INTEGER)')\n"
        # As the wait of a minute ends, in a tenth of the time.
        "    db.execute_sql(\"SET lock_timeout = '6s'\")\n"
        "    db.execute_sql('ALTER TABLE extra_first ADD more INTEGER')\n"
    )
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE extra_first")
        code, out, err = Child(UPGRADE, **environ).wait()
        assert code == 1 and "Traceback" not in err, out + err
        assert "Another connection has locked what is needed here" in out
    assert "extra_third" not in tables(database_url)
    code, out, err = Child(UPGRADE, **environ).wait()
    assert code == 0 and "extra: 0002_more" in out, out + err
