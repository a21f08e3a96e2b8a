"""Every command of ``flask apiary`` over a database that fails, and with a key ring that is lost.

Each ends with a sentence and a status of its own, and no traceback.
"""

import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from apiary.crypto import new_key
from tests.faults.databases import Child
from tests.faults.machine import Machine
from tests.faults.story import ROOT

K1, K2 = new_key("k1"), new_key("k2")
COMMANDS = (
    "flags",
    "providers",
    "doctor --offline",
    "doctor --offline --json",
    "upgrade",
    "keys status",
    "keys add",
    "keys rotate --dry-run",
    "keys rotate",
    "keys retire k1",
)
#: All of them in one process, as the command `flask` begins it.
RUN = """
import json, os, sys
os.environ["FLASK_RUN_FROM_CLI"] = "true"
import click
from apiary.host import create_app
told = {}
try:
    app = create_app()
except click.ClickException as error:
    told = dict.fromkeys(sys.argv[1:], (1, "Error: " + error.format_message(), ""))
else:
    for words in sys.argv[1:]:
        done = app.test_cli_runner().invoke(args=["apiary", *words.split()])
        broke = done.exception is not None and not isinstance(done.exception, SystemExit)
        told[words] = done.exit_code, done.output, repr(done.exception) if broke else ""
print(json.dumps(told))
"""
#: In a small host: the chat app keeps no key of an owner who has no account.
STORE = """
from apiary.providers.base import Facts
from apiary.secret import Secret
with app.app_context(), database.connection_context():
    state = app.extensions["apiary"]
    key = Secret("sk-or-v1-" + "c0ffee" * 10)
    state.vault.put("ann", state.providers["openrouter"], key, source="key", facts=Facts())
"""
Told = dict[str, tuple[int, str, str]]


class Site:
    """An installation with one stored key, sealed with k1 while k2 stands before it."""

    def __init__(self, folder: Path, url: str, machine: Machine) -> None:
        self.folder = folder
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith("APIARY_")
        } | {
            "APIARY_INSTANCE_PATH": str(folder / "instance"),
            "APIARY_DATABASE_URL": url,
            "APIARY_ENCRYPTION_KEYS": f"{K2},{K1}",
            "PYTHONPATH": str(ROOT),
            **machine.environ,
        }

    def begin(self) -> None:
        self.run("upgrade", APIARY_ENCRYPTION_KEYS=K1)
        names = ("PATH", "APIARY_INSTANCE_PATH", "APIARY_DATABASE_URL")
        environ = {name: self.environ[name] for name in names}
        code, _, err = Child(STORE, **environ, APIARY_ENCRYPTION_KEYS=K1).wait()
        assert code == 0, err

    def run(self, *words: str, **environ: str) -> Told:
        told: Told = json.loads(self.python(RUN, *words, **environ).splitlines()[-1])
        return told

    def python(self, code: str, *words: str, **environ: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            env=self.environ | environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


WRITES = ("upgrade", "keys rotate")
READS = ("keys status", "keys rotate --dry-run", "keys retire k1")
DOCTOR = ("doctor --offline", "doctor --offline --json")


def check(told: Told, *expected: tuple[tuple[str, ...], int, str]) -> None:
    """What is expected of the commands of each group; the others end well."""
    wanted = {words: (code, text) for group, code, text in expected for words in group}
    for words, (code, output, broke) in told.items():
        assert broke == "" and "Traceback" not in output, (words, broke, output)
        right, text = wanted.get(words, (0, ""))
        assert code == right, (words, code, output)
        assert text in output, (words, output)


@pytest.fixture
def embedded(tmp_path: Path, machine: Machine) -> Site:
    return Site(tmp_path, f"sqlite:///{tmp_path / 'apiary.sqlite3'}", machine)


@pytest.fixture
def postgres(tmp_path: Path, machine: Machine, new_postgres: Callable[[], str]) -> Site:
    made = Site(tmp_path, new_postgres(), machine)
    made.begin()
    return made


OLDER = ("keys retire k1",), 1, "Stored keys that need k1"


def test_all_is_well(embedded: Site) -> None:
    embedded.begin()
    check(embedded.run(*COMMANDS), (("keys rotate",), 0, "1 sealed with k2"))


@pytest.mark.parametrize(
    ("error", "text"),
    [(errno.ENOSPC, "database or disk is full"), (errno.EROFS, "disk I/O error")],
)
def test_a_disk_that_takes_nothing(embedded: Site, machine: Machine, error: int, text: str) -> None:
    embedded.begin()
    machine.disk(error)
    # Of a full disk doctor counts what is free: this one only says that it is full.
    check(embedded.run(*COMMANDS), (WRITES, 1, f"The database cannot be used: {text}"), OLDER)
    machine.disk(0)
    check(embedded.run("keys rotate"), (("keys rotate",), 0, "1 sealed with k2"))


def test_a_disk_that_was_full_from_the_first(embedded: Site, machine: Machine) -> None:
    machine.disk(errno.ENOSPC)
    sentence = "Error: The database"
    check(embedded.run(*COMMANDS), (COMMANDS, 1, sentence), (COMMANDS, 1, "disk is full"))
    machine.disk(0)
    check(embedded.run("upgrade", *DOCTOR))


def test_another_writer_holds_the_file(embedded: Site, tmp_path: Path) -> None:
    embedded.begin()
    with closing(sqlite3.connect(tmp_path / "apiary.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        check(
            embedded.run(*COMMANDS),
            (WRITES, 1, "The database cannot be used: database is locked"),
            (DOCTOR, 1, "SQLite takes no writes: database is locked"),
            OLDER,
        )


def test_a_file_that_is_no_database(embedded: Site, tmp_path: Path) -> None:
    (tmp_path / "apiary.sqlite3").write_bytes(b"no database at all\n" * 300)
    check(embedded.run(*COMMANDS), (COMMANDS, 1, "cannot be used: file is not a database"))


def test_a_standby(postgres: Site, postgres_server: str) -> None:
    name = postgres.environ["APIARY_DATABASE_URL"].rpartition("/")[2]
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    check(
        postgres.run(*COMMANDS),
        (WRITES, 1, "The database cannot be used: cannot execute"),
        (DOCTOR, 1, "PostgreSQL takes no writes: cannot execute INSERT in a read-only"),
        OLDER,
    )


def test_a_server_that_is_away(postgres: Site, postgres_server: str) -> None:
    name = postgres.environ["APIARY_DATABASE_URL"].rpartition("/")[2]
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    away = "connection failed"
    check(
        postgres.run(*COMMANDS),
        (WRITES, 1, f"The database cannot be used: {away}"),
        (READS, 1, f"The database cannot be used: {away}"),
        (DOCTOR, 1, f"PostgreSQL cannot be used: {away}"),
    )


def test_tables_that_are_locked(postgres: Site, postgres_server: str) -> None:
    url = postgres.environ["APIARY_DATABASE_URL"]
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        # As the wait of five seconds ends, in a tenth of the time.
        admin.execute(f"ALTER DATABASE \"{url.rpartition('/')[2]}\" SET lock_timeout = '500ms'")
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE apiary_connection, apiary_canary, apiary_flow")
        check(
            postgres.run(*COMMANDS),
            (WRITES, 1, "Another connection has locked what is needed here"),
            (READS, 1, "Another connection has locked what is needed here"),
            (DOCTOR, 1, "canceling statement due to lock timeout"),
        )


@pytest.mark.parametrize("kind", ["embedded", "postgres"])
def test_a_key_that_is_lost(request: pytest.FixtureRequest, kind: str) -> None:
    site: Site = request.getfixturevalue(kind)
    site.begin()
    check(
        site.run(*COMMANDS, APIARY_ENCRYPTION_KEYS=K2),
        (("upgrade",), 0, "The key ring lacks k1"),
        (DOCTOR, 1, "Stored keys that cannot be read: 1."),
        (("keys status",), 0, "MISSING: these are unreadable until it is put back"),
        (("keys rotate", "keys rotate --dry-run"), 1, "1 cannot be read"),
        (("keys retire k1",), 1, "There is no key 'k1'"),
    )
    # Nothing was lost by all that.
    check(site.run("keys rotate"), (("keys rotate",), 0, "1 sealed with k2"))


def test_a_key_ring_that_is_none(embedded: Site) -> None:
    told = embedded.run(*COMMANDS, APIARY_ENCRYPTION_KEYS="k1:short")
    check(told, (COMMANDS, 1, "Error: The key 'k1' of APIARY_ENCRYPTION_KEYS is not 32 bytes"))


def test_the_command_itself(embedded: Site) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "apiary.host", "apiary", "doctor"],
        env=embedded.environ | {"OPENROUTER_OAUTH": "maybe"},
        cwd=embedded.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: OPENROUTER_OAUTH is 'maybe'"), done.stderr
