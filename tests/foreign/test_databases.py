"""A database that the host hands over."""

from pathlib import Path

import peewee
import pytest

from apiary import Apiary
from tests.foreign.hosts import QUESTION, MakeHost, put_key


def test_the_hosts_database_is_opened_and_closed_as_the_host_wants(
    make_host: MakeHost, tmp_path: Path
) -> None:
    app, path = make_host(), str(tmp_path / "host.sqlite3")
    mine = peewee.SqliteDatabase(path)
    mine.connect()
    mine.execute_sql("CREATE TABLE book (title TEXT)")
    Apiary(app, database=mine, owner=lambda: "ann")
    assert not mine.is_closed(), "the host had opened it"
    assert {"book", "apiary_migration"} < set(mine.get_tables())
    mine.close()
    seen: list[bool] = []
    app.teardown_request(lambda _: seen.append(mine.is_closed()))
    client = app.test_client()
    assert client.get("/settings/").status_code == 200
    assert mine.is_closed() and not (Path(app.instance_path) / "apiary.sqlite3").exists()

    # A host that opens before each request and closes afterwards, by itself.
    app = make_host()
    app.before_request(lambda: mine.connect() and None)
    Apiary(app, database=mine, owner=lambda: "ann")
    app.teardown_request(lambda _: seen.append(mine.is_closed()) or mine.close())
    assert app.test_client().get("/settings/").status_code == 200
    assert seen[-1] is False and mine.is_closed()


def test_an_open_database_stays_open(make_host: MakeHost, tmp_path: Path) -> None:
    app = make_host()
    mine = peewee.SqliteDatabase(str(tmp_path / "host.sqlite3"))
    apiary = Apiary(app, database=mine, owner=lambda: "ann")
    put_key(app, "ann")
    assert mine.is_closed()
    with app.app_context():
        apiary.connection("ann", "openrouter")
        assert mine.is_closed()
        with mine.connection_context():
            apiary.complete("ann", "openrouter", model="sandbox/echo", messages=QUESTION)
            assert not mine.is_closed()


def test_a_database_in_memory(
    make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app, mine = make_host(), peewee.SqliteDatabase(":memory:")
    mine.connect()
    apiary = Apiary(app, database=mine, owner=lambda: "ann")
    with app.app_context():
        assert apiary.connections("ann") == []
    mine.close()
    assert not list(tmp_path.glob(":memory:*"))


def test_tables_and_indexes_of_the_host_s_own(make_host: MakeHost, tmp_path: Path) -> None:
    """peewee names an index after the class, and makes none where that name is taken."""
    mine = peewee.SqliteDatabase(tmp_path / "mine.sqlite3", lock_type="IMMEDIATE")

    class Connection(peewee.Model):
        owner = peewee.CharField()
        provider = peewee.CharField()

        class Meta:
            database = mine
            indexes = ((("owner", "provider"), True),)

    class Flow(peewee.Model):
        started = peewee.DoubleField(index=True)

        class Meta:
            database = mine

    with mine.connection_context():
        mine.create_tables([Connection, Flow])
    app = make_host()
    Apiary(app, owner=lambda: "ann", database=mine)
    for _ in range(2):
        put_key(app, "ann")
    assert 'data-state="connected"' in app.test_client().get("/settings/openrouter").text
    with mine.connection_context():
        ours = [table for table in mine.get_tables() if table not in {"connection", "flow"}]
        assert all(table.startswith("apiary_") for table in ours if table != "sqlite_sequence")
        named = {index.name for table in ours for index in mine.get_indexes(table)}
    assert all(name.startswith(("apiary", "sqlite_autoindex_apiary")) for name in named), named
