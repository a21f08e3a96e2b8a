"""PostgreSQL behind a real PgBouncer that pools transactions: a session is anybody's there."""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from apiary.sandbox import PASTE_KEY
from tests.browser.conftest import free_port
from tests.conftest import LiveSandbox
from tests.faults.databases import Child, command
from tests.faults.story import Server, Visitor
from tests.postgres import Postgres

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
# Who goes in the middle of a transaction takes the connection along, and its locks.
_UPGRADE = f"""
result = {command("upgrade")}
for other in app.extensions.get("others", ()):
    other.rollback()
    other.close()
print(result.output)
sys.exit(result.exit_code)
"""
# While it runs, another client takes the connection on which the last statement went.
_MIGRATION = """
import psycopg
from flask import current_app

atomic = False

def up(migrator, db):
    other = psycopg.connect(URL)
    other.execute("SELECT 1")
    current_app.extensions.setdefault("others", []).append(other)
    db.execute_sql("CREATE TABLE extra_first (id INTEGER)")
"""


@pytest.fixture
def pooled(new_postgres) -> Iterator[str]:
    """The URL of a blank database, by way of PgBouncer."""
    if _PROGRAM is None:
        pytest.skip("there is no pgbouncer; on Debian: apt install pgbouncer")
    url = new_postgres()
    parts, port = urlsplit(url), free_port()
    password = f" password={parts.password}" if parts.password else ""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        config = Path(folder, "pgbouncer.ini")
        config.write_text(
            "[databases]\n"
            f"{parts.path[1:]} = host={parts.hostname} port={parts.port or 5432}"
            f" user={parts.username}{password}\n"
            "[pgbouncer]\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 8\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        )
        # It refuses to run as root.
        whose = ["-u", "nobody"] if os.getuid() == 0 else []
        process = subprocess.Popen([_PROGRAM, "-q", *whose, str(config)])
        try:
            yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        finally:
            process.terminate()
            process.wait(10)


def locks(url: str) -> int:
    with psycopg.connect(url) as watching:
        found = watching.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(found.fetchone()[0])


def test_an_upgrade_leaves_no_lock_behind(pooled: str, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "0001_first.py").write_text(_MIGRATION.replace("URL", repr(pooled)))
    environ = {
        "APIARY_DATABASE_URL": pooled,
        "APIARY_INSTANCE_PATH": str(tmp_path / "instance"),
        "EXTRA": str(extra),
    }
    code, out, err = Child(_UPGRADE, **environ).wait()
    assert code == 0, out + err
    assert locks(pooled) == 0
    code, out, err = Child(_UPGRADE, **environ).wait()
    assert code == 0 and "Nothing to do" in out, out + err


def test_the_main_story_of_many_at_once(
    pooled: str, tmp_path: Path, sandbox: LiveSandbox, postgres: Postgres
) -> None:
    """With what docs/deploy.md says about the URL."""
    server = Server(tmp_path, sandbox, f"{pooled}?prepare_threshold=none")
    server.start()

    def visit(number: int) -> Counter[int]:
        visitor = Visitor(server.url)
        with closing(visitor.http) as client:
            visitor.post("/settings/openrouter/key", data={"api_key": PASTE_KEY})
            assert visitor.card()["state"] == "connected"
            with visitor.ask(f"question {number}", "sandbox/echo") as reading:
                reading.read()
                assert (reading.text, reading.kind) == (f"question {number}", "done")
            return Counter(client.get(path).status_code for path in ["/", "/settings/"] * 15)

    try:
        with ThreadPoolExecutor(6) as visitors:
            assert sum(visitors.map(visit, range(12)), Counter()) == {200: 360}
    finally:
        server.kill()
