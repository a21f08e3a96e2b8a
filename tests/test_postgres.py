"""The tests' own databases: who comes later finds nothing of a process that was killed."""

import subprocess
import sys
from collections.abc import Callable

import psycopg

from tests.postgres import Postgres
from tests.tree import ROOT

_KILLED = """
import os, signal, sys
from tests.postgres import Postgres
print(Postgres(sys.argv[1]).new(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_swept(
    postgres_server: str, new_postgres: Callable[[], str]
) -> None:
    ours = new_postgres()
    killed = [sys.executable, "-c", _KILLED, postgres_server]
    left = subprocess.run(killed, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    later = Postgres(postgres_server)
    fresh = later.new()
    with psycopg.connect(postgres_server) as admin:
        there = {name for (name,) in admin.execute("SELECT datname FROM pg_database")}
    later.close()
    names = [url.rpartition("/")[2] for url in (ours, left, fresh)]
    assert [name in there for name in names] == [True, False, True]


def test_a_database_that_is_given_again_is_empty(postgres_server: str) -> None:
    one, made = Postgres(postgres_server), []
    for _ in range(2):
        made.append(one.new())
        one.migrate(made[-1], "bees", lambda: _make(made[-1]))
        with psycopg.connect(made[-1]) as inside:
            assert inside.execute("SELECT * FROM bee").fetchall() == []
            inside.execute("INSERT INTO bee (name) VALUES ('maya')")
        one.take_back()
    blank = one.new()
    with psycopg.connect(blank) as inside:
        assert not inside.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").fetchall()
    one.take_back()
    one.close()
    assert len({*made, blank}) == 3


def _make(url: str) -> None:
    with psycopg.connect(url) as inside:
        inside.execute("CREATE TABLE bee (id serial PRIMARY KEY, name text)")
