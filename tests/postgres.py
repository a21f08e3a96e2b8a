"""PostgreSQL databases for tests.

To make one, migrate it and drop it costs far more than most tests do with it: the server writes
all of it to its disk, and waits. One in which nothing but rows has changed is emptied and given to
a later test, under another name: what an earlier test left running does not find it there. All
others are dropped after their test.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

import psycopg

#: All that a migration makes, and what is set for the database.
_SHAPE = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
  SELECT concat_ws(' ', c.relname, c.relkind, a.attname, a.atttypid, a.attnotnull) AS line
    FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = 'public'::regnamespace
  UNION ALL
  SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL
  SELECT concat_ws(' ', conrelid::regclass, conname) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
  UNION ALL
  SELECT concat_ws(' ', proname, md5(prosrc)) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
  UNION ALL
  SELECT concat_ws(' ', setrole, setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS lines"""
_EMPTY = """
DO $$ DECLARE name text; BEGIN
  SET LOCAL session_replication_role = replica;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    CONTINUE WHEN name LIKE '%\\_migration';
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
  FOR name IN SELECT sequencename FROM pg_sequences
    WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
    CONTINUE WHEN name LIKE '%\\_migration\\_%';
    PERFORM setval(format('%I', name)::regclass, 1, false);
  END LOOP;
END $$"""
#: The kind in which there is nothing yet.
_BLANK = "blank"


class Postgres:
    """Makes databases on one server, and keeps those that can be used again.

    :param server: the URL of a database there.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        #: What each kind of database looks like, and those of it that wait for a test.
        self._shapes: dict[str, str] = {}
        self._free: dict[str, list[str]] = defaultdict(list)
        self._given: set[str] = set()
        #: Begins the names of all of ours, and tells whose they are.
        self._ours = f"apiary_test_{secrets.token_hex(4)}"

    @cached_property
    def _admin(self) -> psycopg.Connection:
        made = psycopg.connect(self.server, autocommit=True, application_name=self._ours)
        # Tests that end PostgreSQL itself bring their own.
        made.execute("SET synchronous_commit = off")
        self._sweep(made)
        return made

    def _sweep(self, admin: psycopg.Connection) -> None:
        """Drop what the tests of a process left that was killed: it is connected no more."""
        left = admin.execute(
            "SELECT d.datname FROM pg_database d WHERE d.datname LIKE %s AND NOT EXISTS ("
            " SELECT FROM pg_stat_activity WHERE application_name = left(d.datname, %s))",
            (r"apiary\_test\_%", len(self._ours)),
        )
        for (name,) in left.fetchall():
            # Others sweep too.
            with suppress(psycopg.Error):
                admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def new(self) -> str:
        """The URL of a database in which there is nothing."""
        name = f"{self._ours}_{secrets.token_hex(6)}"
        if self._free[_BLANK]:
            self._give(_BLANK, name)
        else:
            self._admin.execute(f'CREATE DATABASE "{name}"')
            self._admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
            self._shapes.setdefault(_BLANK, self._shape(name))
        self._given.add(name)
        return self._url(name)

    def migrate(self, url: str, kind: str, upgrade: Callable[[], object]) -> None:
        """Have the tables of this kind of app in a database.

        :param upgrade: makes them; called where they cannot be had without it.
        """
        name = _name(url)
        if name not in self._given or self._shape(name) != self._shapes[_BLANK]:
            upgrade()
        elif self._free[kind]:
            self._keep(name, _BLANK)
            self._give(kind, name)
        else:
            upgrade()
            self._shapes.setdefault(kind, self._shape(name))

    def take_back(self) -> None:
        """Empty the databases that tests were given, or drop them."""
        for name in self._given:
            self._end(name)
            if kind := self._emptied(name):
                self._keep(name, kind)
            else:
                self._drop(name)
        self._given.clear()

    def close(self) -> None:
        for names in self._free.values():
            for name in names:
                self._drop(name)
        if "_admin" in vars(self):
            self._admin.close()

    def _url(self, name: str) -> str:
        return f"{self.server.rsplit('/', 1)[0]}/{name}"

    def _shape(self, name: str) -> str:
        with psycopg.connect(self._url(name)) as inside:
            return str(inside.execute(_SHAPE).fetchone())

    def _emptied(self, name: str) -> str:
        """Which kind it is, with no rows any more; empty if it is none."""
        # It may take no connections, or this account may not do it.
        with suppress(psycopg.Error), psycopg.connect(self._url(name)) as inside:
            shape = str(inside.execute(_SHAPE).fetchone())
            for kind, known in self._shapes.items():
                if shape == known:
                    inside.execute(_EMPTY)
                    return kind
        return ""

    def _end(self, name: str) -> None:
        """End what is connected to it."""
        self._admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )

    def _keep(self, name: str, kind: str) -> None:
        kept = f"{self._ours}_{secrets.token_hex(6)}_kept"
        self._end(name)
        self._admin.execute(f'ALTER DATABASE "{name}" RENAME TO "{kept}"')
        self._free[kind].append(kept)

    def _give(self, kind: str, name: str) -> None:
        self._admin.execute(f'ALTER DATABASE "{self._free[kind].pop()}" RENAME TO "{name}"')

    def _drop(self, name: str) -> None:
        self._admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]
