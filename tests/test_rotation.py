"""The key ring over stored rows: rotate, retire, canaries and their commands, on both databases."""

import base64
import os
import re
import stat
import threading
from pathlib import Path

import pytest
from flask import Flask

from apiary import database, rotation
from apiary.crypto import KeyRing, Sealed, change_secret, new_key
from apiary.errors import ConfigError, KeyUnreadable
from apiary.models import StoredCanary, StoredConnection, StoredFlow
from apiary.providers.base import Facts
from apiary.rotation import Progress
from apiary.secret import Secret
from apiary.vault import Vault
from tests.views.flows import approve, begin, sign_in

KEY = "sk-or-v1-" + "c0ffee" * 10
K1, K2 = new_key("k1"), new_key("k2")


def origins(app: Flask) -> dict[str, str]:
    providers = app.extensions["apiary"].providers.values()
    return {provider.name: provider.origin for provider in providers}


def provider(app: Flask):
    return app.extensions["apiary"].providers["openrouter"]


def fill(app: Flask, ring: KeyRing, count: int) -> None:
    vault = Vault(ring)
    with database.atomic():
        for n in range(count):
            key = Secret(f"{KEY}{n:03}")
            vault.put(f"o{n}", provider(app), key, source="key", facts=Facts())


def kids() -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in StoredConnection.select().where(StoredConnection.kid.is_null(False)):
        name = row.kid.partition(".")[0]
        counts[name] = counts.get(name, 0) + 1
    return counts


def rotate(app: Flask, ring: KeyRing, **options) -> list[Progress]:
    return list(rotation.rotate(ring, origins(app), **options))


def command(app: Flask, *words: str):
    return app.test_cli_runner().invoke(args=["apiary", *words])


def test_rotate_seals_everything_with_the_first_key(in_app: Flask) -> None:
    fill(in_app, KeyRing.parse(K1), 25)
    Vault(KeyRing.parse(K1)).forget("o3", "openrouter")
    before = {r.id: (bytes(r.iv), r.version) for r in StoredConnection.select() if r.iv}
    both = KeyRing.parse(f"{K2},{K1}")
    told = rotate(in_app, both, batch=10)
    assert [p.done for p in told] == [0, 10, 20, 24]
    assert [c.kid for c in StoredCanary.select()] == both.kids[:1]
    assert told[-1] == Progress(total=24, done=24)
    assert kids() == {"k2": 24}
    for row in StoredConnection.select().where(StoredConnection.id.in_(list(before))):
        # Sealed anew, and nothing that a page would notice has changed.
        assert bytes(row.iv) != before[row.id][0] and row.version == before[row.id][1]
    alone = Vault(KeyRing.parse(K2))
    assert alone.reveal("o24", provider(in_app)).reveal() == f"{KEY}024"
    assert rotate(in_app, both)[-1] == Progress(total=0)


def test_dry_run_opens_every_row_and_writes_none(in_app: Flask) -> None:
    fill(in_app, KeyRing.parse(K1), 7)
    before = list(StoredConnection.select().dicts())
    told = rotate(in_app, KeyRing.parse(f"{K2},{K1}"), batch=3, dry_run=True)
    assert told[-1] == Progress(total=7, done=7)
    assert list(StoredConnection.select().dicts()) == before


def test_who_connects_meanwhile_wins(in_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(in_app, KeyRing.parse(K1), 3)
    both = KeyRing.parse(f"{K2},{K1}")
    renew, turn = KeyRing.renew, []

    def slow(self: KeyRing, sealed: Sealed, *context: str) -> Sealed:
        renewed = renew(self, sealed, *context)
        if context[1] == "o1" and not turn:
            turn.append(1)
            new = Secret(KEY + "new")
            Vault(both).put("o1", provider(in_app), new, source="key", facts=Facts())
        return renewed

    monkeypatch.setattr(KeyRing, "renew", slow)
    assert rotate(in_app, both)[-1] == Progress(total=3, done=2, overtaken=1)
    assert Vault(both).reveal("o1", provider(in_app)).reveal() == KEY + "new"
    assert kids() == {"k2": 3}


def test_who_disconnects_meanwhile_stays_disconnected(in_app: Flask, monkeypatch) -> None:
    fill(in_app, KeyRing.parse(K1), 1)
    both, renew = KeyRing.parse(f"{K2},{K1}"), KeyRing.renew

    def slow(self: KeyRing, sealed: Sealed, *context: str) -> Sealed:
        Vault(both).forget("o0", "openrouter")
        return renew(self, sealed, *context)

    monkeypatch.setattr(KeyRing, "renew", slow)
    assert rotate(in_app, both)[-1] == Progress(total=1, overtaken=1)
    row = StoredConnection.get()
    assert (row.state, row.kid, row.sealed) == ("none", None, None)


def test_damaged_and_missing_rows_are_counted_and_left(in_app: Flask) -> None:
    fill(in_app, KeyRing.parse(K1), 3)
    StoredConnection.update(sealed=b"x" * 40).where(StoredConnection.owner == "o0").execute()
    other = KeyRing.parse(new_key("k0"))
    Vault(other).put("p", provider(in_app), Secret(KEY), source="key", facts=Facts())
    both = KeyRing.parse(f"{K2},{K1}")
    assert rotate(in_app, both)[-1] == Progress(total=3, done=2, damaged=1, missing=1)
    assert kids() == {"k2": 2, "k1": 1, "k0": 1}
    # A damaged row is lost with and without its key; a missing key is not.
    assert rotation.needing(both, both.kids[1], {}) == 0
    assert rotation.needing(both, other.kids[0], {}) == 1


def test_a_key_that_waits_for_an_answer_is_rotated_too(app: Flask) -> None:
    client = sign_in(app)
    client.get(approve(begin(client, "attempt-aaaaaaaaaaaa")))
    client.get(approve(begin(client, "attempt-bbbbbbbbbbbb"), account=1))
    state = app.extensions["apiary"]
    with app.app_context(), database.connection_context():
        held = StoredFlow.get(StoredFlow.held_kid.is_null(False))
        assert [use.held for use in rotation.usage(state.vault.ring)] == [1]
        keys = dict(state.vault.ring._keys)
        state.vault.ring._keys.clear()
        state.vault.ring._keys.update(KeyRing.parse(K2)._keys | keys)
        assert rotate(app, state.vault.ring)[-1] == Progress(total=2, done=2)
        assert StoredFlow.get_by_id(held.id).held_kid == state.vault.ring.kids[0]
        del state.vault.ring._keys[held.held_kid]
    answer = client.post("/settings/openrouter/flows/attempt-bbbbbbbbbbbb/replace")
    assert answer.status_code < 400
    with app.app_context(), database.connection_context():
        assert StoredConnection.get().kid == state.vault.ring.kids[0]
        state.vault.reveal("ann", state.providers["openrouter"])


def test_a_process_with_another_ring_is_told_at_its_start(in_app: Flask) -> None:
    one, other = KeyRing.parse(K1), KeyRing.parse(K2)
    StoredCanary.delete().execute()
    assert rotation.look(one) == ""
    assert rotation.look(one) == "" and StoredCanary.select().count() == 1
    said = rotation.look(other)
    assert one.kids[0] in said and "0 cannot be read" in said
    fill(in_app, one, 2)
    assert "2 cannot be read" in rotation.look(other)
    assert rotation.look(KeyRing.parse(f"{K2},{K1}")) == ""


def test_a_canary_that_does_not_open_is_noticed(in_app: Flask) -> None:
    ring = KeyRing.parse(K1)
    rotation.look(ring)
    StoredCanary.update(sealed=b"x" * 29).where(StoredCanary.kid == ring.kids[0]).execute()
    assert not next(u for u in rotation.usage(ring) if u.kid == ring.kids[0]).sound


def test_the_first_request_leaves_a_canary_and_says_once_what_is_missing(
    make_app, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=K1)
    with first.app_context(), database.connection_context():
        assert StoredCanary.select().count() == 0
        fill(first, KeyRing.parse(K1), 1)
    assert first.test_client().get("/").status_code == 200
    with first.app_context(), database.connection_context():
        assert [c.kid for c in StoredCanary.select()] == KeyRing.parse(K1).kids
    second = make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=K2)
    for _ in range(3):
        assert second.test_client().get("/").status_code == 200
    said = [r.getMessage() for r in caplog.records if "The key ring lacks" in r.getMessage()]
    assert len(said) == 1 and "1 cannot be read" in said[0]


# The commands.


def test_the_way_from_an_old_key_to_a_new_one(make_app, database_url: str) -> None:
    """add, restart, rotate, retire, restart: as the operator does it, on the generated file."""
    folder: Path | None = None

    def start() -> Flask:
        nonlocal folder
        options = {} if folder is None else {"APIARY_INSTANCE_PATH": str(folder)}
        app = make_app(APIARY_DATABASE_URL=database_url, **options)
        folder = app.extensions["apiary"].settings.instance_path
        return app

    app = start()
    file = folder / "encryption_keys"
    old = file.read_text().strip()
    with app.app_context(), database.connection_context():
        fill(app, app.extensions["apiary"].vault.ring, 5)
    assert "k1." in command(app, "keys", "status").output
    dry = command(app, "keys", "add")
    assert file.read_text().strip() == old and "k2:" in dry.output
    added = command(app, "keys", "add", "--write")
    assert added.exit_code == 0, added.output
    entries = file.read_text().strip().split(",")
    assert entries[1] == old and entries[0].startswith("k2:")
    assert not any(e.partition(":")[2] in added.output for e in entries)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    refused = command(app, "keys", "retire", "k1")
    assert refused.exit_code == 1 and "is the key that encrypts" in refused.output

    app = start()
    refused = command(app, "keys", "retire", "k1", "--write")
    assert refused.exit_code == 1 and re.search(r"need k1\.\w+: 5\.", refused.output)
    tried = command(app, "keys", "rotate", "--dry-run")
    assert tried.exit_code == 0 and "5 would be sealed with k2." in tried.output
    rotated = command(app, "keys", "rotate", "--batch", "2")
    assert rotated.exit_code == 0, rotated.output
    assert rotated.output.splitlines()[:4] == ["0 of 5", "2 of 5", "4 of 5", "5 of 5"]
    told = command(app, "keys", "retire", "k1")
    assert told.exit_code == 0 and "begins with k1:" in told.output
    assert file.read_text().strip().split(",") == entries
    gone = command(app, "keys", "retire", "k1", "--write")
    assert gone.exit_code == 0, gone.output
    assert file.read_text().strip() == entries[0]
    retired = folder / "encryption_keys.retired"
    assert retired.read_text().strip() == old
    assert stat.S_IMODE(retired.stat().st_mode) == 0o600

    app = start()
    status = command(app, "keys", "status").output
    assert "k1." not in status and re.search(r"k2\.\w+ +5 +0", status)
    with app.app_context(), database.connection_context():
        state = app.extensions["apiary"]
        assert state.vault.reveal("o4", state.providers["openrouter"]).reveal() == f"{KEY}004"


def test_a_ring_from_the_environment_is_only_talked_about(make_app) -> None:
    app = make_app(APIARY_ENCRYPTION_KEYS=f"{K2},{K1}")
    told = command(app, "keys", "retire", "k1")
    assert "Remove the entry that begins with k1: from APIARY_ENCRYPTION_KEYS." in told.output
    for words in (["add", "k9", "--write"], ["retire", "k1", "--write"]):
        refused = command(app, "keys", *words)
        assert refused.exit_code == 1 and "which only you can change" in refused.output
    assert "is no name for a key" in command(app, "keys", "add", "k 9").output
    assert "of that name" in command(app, "keys", "add", "k2").output
    assert "There is no key 'k7'" in command(app, "keys", "retire", "k7").output
    printed = command(app, "keys", "add").output
    entry = re.search(r"^k3:\S+$", printed, re.MULTILINE)
    assert entry
    KeyRing.parse(f"{entry[0]},{K2},{K1}")


def test_status_rotate_and_retire_with_a_missing_key(make_app, database_url: str) -> None:
    app = make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=K2)
    lost = KeyRing.parse(K1)
    with app.app_context(), database.connection_context():
        rotation.look(lost)
        fill(app, lost, 2)
    assert "MISSING" in command(app, "keys", "status").output
    rotated = command(app, "keys", "rotate")
    assert rotated.exit_code == 1 and "2 cannot be read" in rotated.output
    refused = command(app, "keys", "retire", lost.kids[0])
    assert refused.exit_code == 1 and "Put it back" in refused.output
    with app.app_context(), database.connection_context():
        StoredConnection.delete().execute()
    assert "nothing needs it" in command(app, "keys", "status").output
    assert "is forgotten" in command(app, "keys", "retire", lost.kids[0]).output
    assert lost.kids[0] not in command(app, "keys", "status").output


def test_a_process_with_the_old_ring_is_noticed(make_app, database_url: str, monkeypatch) -> None:
    app = make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=f"{K2},{K1}")
    with app.app_context(), database.connection_context():
        fill(app, KeyRing.parse(K1), 2)
    renew, turn = KeyRing.renew, []

    def slow(self: KeyRing, sealed: Sealed, *context: str) -> Sealed:
        if not turn:
            turn.append(1)
            fill(app, KeyRing.parse(K1), 1)
        return renew(self, sealed, *context)

    monkeypatch.setattr(KeyRing, "renew", slow)
    told = command(app, "keys", "rotate")
    assert told.exit_code == 1, told.output
    assert "a process of the app still has the old key ring" in told.output


# The file.


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "encryption_keys"
    file.write_text(K1)
    file.chmod(0o600)
    raw = base64.urlsafe_b64encode(b"a" * 32).decode()
    with pytest.raises(ConfigError, match="not random"):
        change_secret(file, lambda text: str(KeyRing.parse(f"k2:{raw},{text}")))
    assert file.read_text() == K1
    assert [p.name for p in tmp_path.iterdir()] == ["encryption_keys"]
    with pytest.raises(ConfigError, match="cannot be changed"):
        change_secret(tmp_path / "none", lambda text: text)


def test_the_file_still_belongs_to_the_app(tmp_path: Path) -> None:
    file = tmp_path / "encryption_keys"
    file.write_text(K1)
    # Only root can give files away; for others the test says no more than that it stays theirs.
    owner = 65534 if os.geteuid() == 0 else os.geteuid()
    os.chown(file, owner, -1)
    change_secret(file, lambda text: f"{K2},{text}")
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (owner, 0o600)


def test_unreadable_stays_unreadable_in_every_way(in_app: Flask) -> None:
    fill(in_app, KeyRing.parse(K1), 1)
    with pytest.raises(KeyUnreadable):
        Vault(KeyRing.parse(K2)).reveal("o0", provider(in_app))


def test_rotate_while_users_write(make_app, database_url: str) -> None:
    both = f"{K2},{K1}"
    app = make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=both)
    state = app.extensions["apiary"]
    with app.app_context(), database.connection_context():
        fill(app, KeyRing.parse(K1), 150)
    stop, last, problems = threading.Event(), {}, []

    def write(first: int) -> None:
        try:
            with app.app_context(), database.connection_context():
                turn = 0
                while not stop.is_set():
                    turn += 1
                    owner = f"o{first + turn * 7 % 75}"
                    if turn % 5 == 0:
                        state.vault.forget(owner, "openrouter")
                        last[owner] = None
                    else:
                        key = f"{KEY}{first}-{turn}"
                        state.vault.put(
                            owner, provider(app), Secret(key), source="key", facts=Facts()
                        )
                        last[owner] = key
        except Exception as error:
            problems.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in (0, 75)]
    for writer in writers:
        writer.start()
    try:
        with app.app_context(), database.connection_context():
            end = rotate(app, state.vault.ring, batch=10)[-1]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert problems == [] and (end.damaged, end.missing) == (0, 0)
    with app.app_context(), database.connection_context():
        assert "k1" not in kids()
        for n in range(150):
            owner = f"o{n}"
            found = state.vault.get(owner, "openrouter")
            expected = last.get(owner, f"{KEY}{n:03}")
            assert (found is None) == (expected is None)
            if expected:
                assert state.vault.reveal(owner, provider(app)).reveal() == expected


@pytest.mark.parametrize("known", ["a", "b", "c", "ab", "ac", "bc", "Abc", "aB"])
def test_rows_of_other_keys_are_found_without_counting_all(in_app: Flask, known: str) -> None:
    """Whatever order the database has for names, capitals among them."""
    rings = {name: KeyRing.parse(new_key(name)) for name in "aAbBc"}
    mine = KeyRing.parse(",".join(new_key(name) for name in "xyz"))
    assert rotation.unreadable(mine) == 0
    for name, ring in rings.items():
        Vault(ring).put(name, provider(in_app), Secret(KEY), source="key", facts=Facts())
    held = [next(iter(rings[name].kids)) for name in known]
    place = rotation._PLACES[0]
    assert place.needs_others(held)
    StoredConnection.delete().where(StoredConnection.kid.not_in(held)).execute()
    assert place.needs_others(mine.kids)
    assert rotation.unreadable(mine) == len(known)
    StoredConnection.delete().execute()
    assert not place.needs_others(held) and rotation.unreadable(mine) == 0
