"""kill -9 in the middle of a rotation: every row is whole, and the next run ends it."""

from pathlib import Path

import pytest

from apiary import database
from apiary.crypto import KeyRing, new_key
from apiary.models import StoredConnection
from apiary.providers.base import Facts
from apiary.secret import Secret
from apiary.vault import Vault
from tests.faults.databases import Child, command

ROWS = 500
K1, K2 = new_key("k1"), new_key("k2")
KEY = "sk-or-v1-" + "c0ffee" * 10

# As the command does it, with a word after each batch and then a little rest.
ROTATE = """
import time
from apiary import rotation
with app.app_context(), database.connection_context():
    state = app.extensions["apiary"]
    origins = {n: p.origin for n, p in state.providers.items()}
    swap = rotation._Place.swap
    def slow(*args):
        time.sleep(0.002)
        return swap(*args)
    rotation._Place.swap = slow
    for progress in rotation.rotate(state.vault.ring, origins, batch=7):
        print(progress.done, flush=True)
"""


def kids() -> dict[str, int]:
    found = {"k1": 0, "k2": 0}
    for row in StoredConnection.select(StoredConnection.kid):
        found[row.kid.partition(".")[0]] += 1
    return found


def test_kill_in_the_middle_of_a_rotation(make_app, database_url: str, tmp_path: Path) -> None:
    app = make_app(APIARY_DATABASE_URL=database_url, APIARY_ENCRYPTION_KEYS=f"{K2},{K1}")
    state = app.extensions["apiary"]
    provider = state.providers["openrouter"]
    with app.app_context(), database.connection_context(), database.atomic():
        old = Vault(KeyRing.parse(K1))
        for n in range(ROWS):
            key = Secret(f"{KEY}{n:03}")
            old.put(f"o{n}", provider, key, source="key", facts=Facts())
    environ = {
        "APIARY_DATABASE_URL": database_url,
        "APIARY_ENCRYPTION_KEYS": f"{K2},{K1}",
        "APIARY_INSTANCE_PATH": str(tmp_path / "child"),
        "APIARY_OPENROUTER_URL": provider.origin,
    }
    done = 0
    for least in (50, 150, 300):
        child = Child(ROTATE, **environ)
        while int(child.line() or ROWS) + done < least:
            assert child.process.poll() is None
        child.kill()
        with app.app_context(), database.connection_context():
            found = kids()
            assert found["k1"] + found["k2"] == ROWS
            # It goes on where the one before was stopped.
            assert least <= found["k2"] < ROWS
            done = found["k2"]
            for n in range(0, ROWS, 23):
                assert state.vault.reveal(f"o{n}", provider).reveal() == f"{KEY}{n:03}"
    last = Child(f"print({command('keys', 'rotate')}.output)", **environ)
    code, out, err = last.wait()
    assert code == 0 and f"0 of {ROWS - done}" in out, out + err
    with app.app_context(), database.connection_context():
        assert kids() == {"k1": 0, "k2": ROWS}
        alone = Vault(KeyRing.parse(K2))
        for n in range(ROWS):
            assert alone.reveal(f"o{n}", provider).reveal() == f"{KEY}{n:03}"


@pytest.mark.parametrize("at", ["before the file is written", "before it takes its place"])
def test_kill_while_a_key_is_added(tmp_path: Path, at: str) -> None:
    folder = tmp_path / "instance"
    environ = {"APIARY_INSTANCE_PATH": str(folder)}
    point = "os.fsync" if at.startswith("before the file") else "Path.replace"
    code = f"""
    def stop(*args):
        os.kill(os.getpid(), 9)
    {point} = stop
    {command("keys", "add", "--write")}
    """
    status, _, err = Child(code, **environ, APIARY_ENCRYPTION_KEYS="").wait()
    assert status == -9, err
    text = (folder / "encryption_keys").read_text().strip()
    assert KeyRing.parse(text).kids[0].startswith("k1.") and "," not in text
    again = Child(f"print({command('keys', 'add', '--write')}.output)", **environ)
    code_, out, err = again.wait()
    assert code_ == 0 and "stands first" in out, out + err
    assert len(KeyRing.parse((folder / "encryption_keys").read_text().strip()).kids) == 2
