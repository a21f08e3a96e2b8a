"""What was deleted is gone from the files too, not only from the lists."""

from pathlib import Path

from apiary import database
from apiary.models import StoredConnection
from tests.host.browsing import Browser
from tests.host.conftest import MakeHost
from tests.security.world import PASSWORD, begin, rows_of

WORD = "zebrafinchcanary"


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_account_that_is_deleted_leaves_nothing(make_host: MakeHost, paste_key: str) -> None:
    app = make_host(OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost")
    folder = Path(app.instance_path)
    before = rows_of(app)
    ada = Browser(app)
    ada.sign_up("Ada Hive", PASSWORD)
    ada.connect(paste_key)
    begin(ada, "attempt-of-ada-0123456789")
    ada.ask(f"{WORD} 1", model="sandbox/echo")
    with app.app_context(), database.connection_context():
        sealed = bytes(StoredConnection.get().sealed)
    assert WORD.encode() in on_disk(folder) and sealed in on_disk(folder)
    with ada.form("/account/delete", password=PASSWORD, sure="y") as gone:
        assert gone.status_code == 303
    assert rows_of(app) == before
    with app.app_context(), database.connection_context():
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    left = on_disk(folder)
    assert WORD.encode() not in left and sealed not in left


def test_a_key_that_is_disconnected_is_overwritten(make_host: MakeHost, paste_key: str) -> None:
    app = make_host()
    folder = Path(app.instance_path)
    ada = Browser(app)
    ada.connect(paste_key)
    with app.app_context(), database.connection_context():
        sealed = bytes(StoredConnection.get().sealed)
    assert sealed in on_disk(folder)
    with ada.form("/settings/openrouter/disconnect") as done:
        assert done.status_code == 303
    with app.app_context(), database.connection_context():
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert sealed not in on_disk(folder)
