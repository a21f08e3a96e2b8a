"""The drill of docs/operations.md: back up while in use, restore with and without keys."""

import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from apiary import database
from apiary.crypto import new_key
from apiary.errors import KeyUnreadable
from apiary.models import StoredConnection
from apiary.providers.base import Facts
from apiary.secret import Secret

K1, OTHER = new_key("k1"), new_key("k1")
KEY = "sk-or-v1-" + "c0ffee" * 10


def copy_sqlite(url: str, tmp_path: Path) -> Callable[[], str]:
    saved = tmp_path / "backup.sqlite3"
    source, target = sqlite3.connect(url.removeprefix("sqlite:///")), sqlite3.connect(saved)
    source.backup(target)
    source.close()
    target.close()
    return lambda: f"sqlite:///{saved}"


def copy_postgres(url: str, tmp_path: Path, new_postgres: Callable[[], str]) -> Callable[[], str]:
    saved = tmp_path / "backup.dump"
    subprocess.run(["pg_dump", "-Fc", "-f", str(saved), url], check=True)

    def restore() -> str:
        fresh = new_postgres()
        subprocess.run(["pg_restore", "--no-owner", "-d", fresh, str(saved)], check=True)
        return fresh

    return restore


def test_the_drill(
    make_app, database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def start(url: str, ring: str) -> Flask:
        return make_app(APIARY_DATABASE_URL=url, APIARY_ENCRYPTION_KEYS=ring)

    app = start(database_url, K1)
    state = app.extensions["apiary"]
    provider, stop, problems = state.providers["openrouter"], threading.Event(), []

    def put(n: int) -> None:
        with app.app_context(), database.connection_context():
            key = Secret(f"{KEY}{n:04}")
            state.vault.put(f"o{n}", provider, key, source="key", facts=Facts())

    def write() -> None:
        n = 20
        try:
            while not stop.is_set():
                put(n := n + 1)
        except Exception as error:
            problems.append(error)

    for n in range(20):
        put(n)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        if database_url.startswith("sqlite"):
            restore = copy_sqlite(database_url, tmp_path)
        else:
            restore = copy_postgres(database_url, tmp_path, request.getfixturevalue("new_postgres"))
    finally:
        stop.set()
        writer.join()
    assert problems == []
    with app.app_context(), database.connection_context():
        # Gone from the live database, and back with an older backup: the documentation warns of it.
        state.vault.forget("o3", "openrouter")

    url = restore()
    without = start(url, OTHER)
    with without.app_context(), database.connection_context():
        there = [(r.kid, bytes(r.sealed)) for r in StoredConnection.select()]
        assert len(there) >= 20
        with pytest.raises(KeyUnreadable):
            without.extensions["apiary"].vault.reveal("o0", provider)
    told = without.test_cli_runner().invoke(args=["apiary", "doctor", "--offline"])
    assert told.exit_code == 1 and "Put that key back" in told.output

    restored = start(url, K1)
    with restored.app_context(), database.connection_context():
        assert [(r.kid, bytes(r.sealed)) for r in StoredConnection.select()] == there
        for row in StoredConnection.select():
            vault = restored.extensions["apiary"].vault
            assert vault.reveal(row.owner, provider).reveal() == f"{KEY}{int(row.owner[1:]):04}"
        assert vault.get("o3", "openrouter").state == "connected"
