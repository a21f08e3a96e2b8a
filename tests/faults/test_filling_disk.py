"""A rotation and an upgrade on a disk that fills up, at each of their writes in turn.

SQLite stands on the machine of machine.c. PostgreSQL says that its disk is full, after so many
changes of rows or of tables.
"""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from apiary.crypto import new_key
from tests.faults.databases import Child
from tests.faults.machine import Machine

K1, K2 = new_key("k1"), new_key("k2")
ROWS = 12

#: What both have around them: a disk with room for so many writes (None: for all).
AROUND = """
import errno, json
from apiary import db
from apiary.crypto import KeyRing
from apiary.models import StoredConnection
from apiary.providers.base import Facts
from apiary.secret import Secret
from apiary.vault import Vault

state = app.extensions["apiary"]
provider = state.providers["openrouter"]
sqlite = os.environ["APIARY_DATABASE_URL"].startswith("sqlite")

def room(writes):
    if sqlite:
        full = (0, 0) if writes is None else (errno.ENOSPC, writes)
        with open(os.environ["MACHINE"], "r+b", buffering=0) as file:
            file.seek(8)
            file.write(b"".join(n.to_bytes(8, sys.byteorder, signed=True) for n in full))
    else:
        import psycopg
        with psycopg.connect(os.environ["APIARY_DATABASE_URL"], autocommit=True) as own:
            left = 100000 if writes is None else writes + 1
            own.execute(f"ALTER SEQUENCE room RESTART WITH {left}")

def run(*words):
    done = app.test_cli_runner().invoke(args=["apiary", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.output

def keys(ring):
    vault, found = Vault(KeyRing.parse(ring)), []
    for row in StoredConnection.select().order_by(StoredConnection.id):
        found.append(vault.reveal(row.owner, provider).reveal())
    return found
"""

ROTATE = """
ring = os.environ["APIARY_ENCRYPTION_KEYS"]
old = Vault(KeyRing.parse(os.environ["OLD"]))
with app.app_context(), database.connection_context():
    for n in range(int(os.environ["ROWS"])):
        key = Secret(f"sk-or-v1-{'c0ffee' * 10}{n:03}")
        old.put(f"o{n}", provider, key, source="key", facts=Facts())
    before = keys(ring)
room(None)
for writes in range(500):
    room(writes)
    code, told = run("keys", "rotate", "--batch", "5")
    room(None)
    with app.app_context(), database.connection_context():
        assert keys(ring) == before
        waiting = StoredConnection.select().where(StoredConnection.kid.startswith("k1.")).count()
    doctor = run("doctor", "--offline")
    print(json.dumps([code, told, waiting, doctor]), flush=True)
    if code == 0:
        break
with app.app_context(), database.connection_context():
    assert keys(os.environ["NEW"]) == before
"""

UPGRADE = """
folders = {"host": Path("apiary/host/migrations")}
opened, undisturbed = (db.open_url(os.environ[name]) for name in ("BLANK", "OTHER"))
db.upgrade(undisturbed, folders)

def schema(one):
    query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    if not sqlite:
        query = (
            "SELECT table_name, column_name, data_type, is_nullable"
            " FROM information_schema.columns WHERE table_schema = 'public'"
            " AND table_name <> 'room' UNION ALL SELECT tablename, indexname, indexdef, ''"
            " FROM pg_indexes WHERE schemaname = 'public'"
        )
    with one.connection_context():
        return sorted(map(repr, one.execute_sql(query).fetchall()))

writes, attempts, left = 0, 0, len(db.pending(opened, folders))
before = schema(opened)
while left:
    room(writes)
    try:
        db.upgrade(opened, folders)
        error = ""
    except db.ERRORS as caught:
        error = str(caught)
    room(None)
    attempts += 1
    now, after = len(db.pending(opened, folders)), schema(opened)
    if now == left:
        # Beside the table that tells which were run, nothing of the half is there.
        assert [line for line in after if line not in before and "_migration" not in line] == []
        assert [line for line in before if line not in after] == []
        assert "full" in error or "No space left" in error, error
    writes = writes + 1 if now == left else 0
    before, left = after, now
assert schema(opened) == schema(undisturbed)
assert db.upgrade(opened, folders) == []
print(json.dumps([attempts]))
"""

#: Counts down, and says that the disk is full when there is no room left.
FULL = """
CREATE SEQUENCE room INCREMENT -1 MINVALUE -1000000 MAXVALUE 1000000 START 100000;
CREATE FUNCTION full_disk() RETURNS {kind} LANGUAGE plpgsql AS $f$ BEGIN
  IF nextval('room') <= 0 THEN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
  END IF;
  {end}
END $f$;
"""
ROW_BY_ROW = "".join(
    f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION full_disk();"
    for table in ("apiary_connection", "apiary_canary")
)


@pytest.fixture
def environ(tmp_path: Path, database_url: str, machine: Machine) -> dict[str, str]:
    return {
        "APIARY_DATABASE_URL": database_url,
        "APIARY_INSTANCE_PATH": str(tmp_path / "instance"),
        "APIARY_ENCRYPTION_KEYS": f"{K2},{K1}",
        **machine.environ,
    }


def lines(code: str, **environ: str) -> list[list]:
    status, out, err = Child(code, **environ).wait()
    assert status == 0, out[-2000:] + err[-2000:]
    return [json.loads(line) for line in out.splitlines() if line.startswith("[")]


def test_a_rotation(environ: dict[str, str], database_url: str) -> None:
    if database_url.startswith("postgres"):
        upgrade = "app.test_cli_runner().invoke(args=['apiary', 'upgrade'])"
        assert Child(upgrade, **environ).wait()[0] == 0
        with psycopg.connect(database_url) as own:
            own.execute(FULL.format(kind="trigger", end="RETURN NEW;"))
            own.execute(ROW_BY_ROW)
    told = lines(AROUND + ROTATE, **environ, OLD=K1, NEW=K2, ROWS=str(ROWS))
    assert len(told) > 3 and told[-1][0] == 0
    left = ROWS
    for code, output, waiting, (sound, doctor) in told:
        # What was done stays, and the next one takes it up.
        assert waiting <= left
        left = waiting
        assert sound == 0, doctor
        if code:
            assert "Error: The database cannot be used: " in output, output
            assert "full" in output or "No space left" in output, output
        older = f"sealed with an older key of the ring: {waiting}."
        assert (older in doctor) == (waiting > 0), doctor
    assert left == 0


def test_an_upgrade(
    environ: dict[str, str], database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """From blank, with as much room as each step of each migration takes, less one."""
    if database_url.startswith("postgres"):
        new: Callable[[], str] = request.getfixturevalue("new_postgres")
        blank, other = database_url, new()
        with psycopg.connect(blank) as own:
            own.execute(FULL.format(kind="event_trigger", end=""))
            own.execute(
                "CREATE EVENT TRIGGER full_disk ON ddl_command_start WHEN TAG IN"
                " ('CREATE TABLE', 'CREATE INDEX', 'ALTER TABLE', 'CREATE FUNCTION',"
                " 'CREATE TRIGGER') EXECUTE FUNCTION full_disk()"
            )
    else:
        blank, other = (f"sqlite:///{tmp_path / name}.sqlite3" for name in ("blank", "other"))
    [[attempts]] = lines(AROUND + UPGRADE, **environ, BLANK=blank, OTHER=other)
    assert attempts > 20, "it was stopped at many steps"
