"""The vault: one sealed row for each owner and provider, on both databases."""

import sqlite3
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask

from apiary import connected, database, disconnected, rejected
from apiary.crypto import KeyRing, new_key
from apiary.errors import KeyUnreadable, NotConnected
from apiary.models import StoredConnection
from apiary.providers.base import Facts
from apiary.secret import Secret
from apiary.vault import Vault

KEY = "sk-or-v1-" + "c0ffee" * 10


def parts(app: Flask):
    state = app.extensions["apiary"]
    return state.vault, state.providers["openrouter"]


def test_put_reveal_forget(in_app: Flask) -> None:
    vault, provider = parts(in_app)
    facts = Facts(known=True, usage=Decimal("1.25"), limit=Decimal(5), account="user_1")
    put = vault.put("o", provider, Secret(KEY), source="key", facts=facts)
    assert (put.state, put.source, put.version, put.facts.usage) == (
        "connected",
        "key",
        1,
        Decimal("1.25"),
    )
    assert vault.reveal("o", provider).reveal() == KEY
    left = vault.forget("o", "openrouter")
    assert left and (left.state, left.version, left.key_sha256) == ("none", 2, Secret(KEY).sha256)
    assert vault.get("o", "openrouter") is None
    row = StoredConnection.get()
    assert (row.kid, row.iv, row.sealed) == (None, None, None)
    with pytest.raises(NotConnected):
        vault.reveal("o", provider)
    assert vault.forget("o", "openrouter") is None


def test_the_version_grows_over_a_disconnect(in_app: Flask) -> None:
    vault, provider = parts(in_app)
    versions = []
    for _ in range(3):
        versions.append(vault.put("o", provider, Secret(KEY), source="key", facts=Facts()).version)
        versions.append(vault.forget("o", "openrouter").version)
    assert versions == [1, 2, 3, 4, 5, 6]


def test_many_at_once_leave_one_readable_row(app: Flask) -> None:
    vault, provider = parts(app)
    problems: list[BaseException] = []

    def put(number: int) -> None:
        try:
            with app.app_context(), database.connection_context():
                vault.put("o", provider, Secret(f"{KEY}{number:02}"), source="oauth", facts=Facts())
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=put, args=(n,)) for n in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with app.app_context(), database.connection_context():
        assert StoredConnection.select().count() == 1
        assert vault.get("o", "openrouter").version == 30
        assert vault.reveal("o", provider).reveal().startswith(KEY)


@pytest.mark.parametrize("column", ["owner", "provider", "origin"])
def test_a_row_moved_elsewhere_is_unreadable(in_app: Flask, column: str) -> None:
    vault, provider = parts(in_app)
    vault.put("o", provider, Secret(KEY), source="key", facts=Facts())
    other = in_app.extensions["apiary"].providers["openai"]
    moved = {
        "owner": ("thief", provider, {"owner": "thief"}),
        "provider": ("o", other, {"provider": "openai", "origin": other.origin}),
        "origin": ("o", provider, {"origin": "https://evil.example"}),
    }[column]
    owner, provider, changes = moved
    StoredConnection.update(changes).execute()
    if column == "origin":
        # The provider of today lives elsewhere than the key is bound to: as good as none.
        with pytest.raises(NotConnected):
            vault.reveal(owner, provider)
        return
    with pytest.raises(KeyUnreadable):
        vault.reveal(owner, provider)


def test_a_lost_key_ring_loses_no_row_and_breaks_nothing_else(in_app: Flask) -> None:
    vault, provider = parts(in_app)
    vault.put("o", provider, Secret(KEY), source="key", facts=Facts())
    before = StoredConnection.select().dicts().get()
    stranger = Vault(KeyRing.parse(new_key("k1")))
    assert [c.state for c in stranger.all("o")] == ["unreadable"]
    with pytest.raises(KeyUnreadable) as caught:
        stranger.reveal("o", provider)
    assert KEY not in str(caught.value)
    assert StoredConnection.select().dicts().get() == before
    assert vault.reveal("o", provider).reveal() == KEY


def test_a_401_marks_only_the_key_it_was_for(in_app: Flask) -> None:
    vault, provider = parts(in_app)
    old = vault.put("o", provider, Secret(KEY), source="key", facts=Facts())
    new = vault.put("o", provider, Secret(KEY + "2"), source="key", facts=Facts())
    vault.reject("o", "openrouter", old.version)
    assert vault.get("o", "openrouter").state == "connected"
    vault.reject("o", "openrouter", new.version)
    marked = vault.get("o", "openrouter")
    assert (marked.state, marked.version) == ("rejected", new.version + 1)
    vault.note("o", "openrouter", marked.version, Facts(known=True))
    assert vault.get("o", "openrouter").state == "connected"


def test_signals_carry_no_secret(in_app: Flask) -> None:
    vault, provider = parts(in_app)
    heard: list[tuple[str, dict]] = []
    keep = [
        signal.connect(lambda sender, n=name, **data: heard.append((n, data)), in_app, weak=False)
        for name, signal in [
            ("connected", connected),
            ("disconnected", disconnected),
            ("rejected", rejected),
        ]
    ]
    first = vault.put("o", provider, Secret(KEY), source="oauth", facts=Facts())
    vault.reject("o", "openrouter", first.version)
    vault.forget("o", "openrouter")
    assert [name for name, _ in heard] == ["connected", "rejected", "disconnected"]
    assert [data["version"] for _, data in heard] == [1, 2, 3]
    assert KEY not in str(heard) and KEY not in str([str(k) for k in keep])


def test_the_database_holds_no_key_in_clear(make_app, tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    app = make_app(APIARY_DATABASE_URL=f"sqlite:///{path}")
    vault, provider = parts(app)
    with app.app_context(), database.connection_context():
        vault.put("o", provider, Secret(KEY), source="key", facts=Facts())
        vault.forget("o", "openrouter")
        vault.put("p", provider, Secret(KEY), source="key", facts=Facts())
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = b"".join(file.read_bytes() for file in tmp_path.glob("x.sqlite3*"))
    assert KEY.encode() not in content and KEY[9:40].encode() not in content


def test_forgetting_an_owner_leaves_no_row(in_app: Flask) -> None:
    vault, provider = parts(in_app)
    for owner in ("o", "p"):
        vault.put(owner, provider, Secret(KEY), source="key", facts=Facts())
    vault.forget_owner("o")
    assert [row.owner for row in StoredConnection.select()] == ["p"]
