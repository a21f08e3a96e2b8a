"""Fill a database with 100,000 messages and measure the search: python bench/search.py.

``sqlite`` or ``postgres`` behind it measures one of the two.
TEST_POSTGRES_URL names a server where a database may be made; SQLite needs nothing.
"""

import itertools
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from apiary import database
from apiary.host import create_app
from apiary.host.search import search
from apiary.host.tables import Conversation, Message, new_id

MESSAGES, PER_CONVERSATION, WORDS = 100_000, 20, 80
ROUNDS = 21
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")


def vocabulary(chance: random.Random) -> list[str]:
    letters = "etaoinshrdlucmfwypvbgk"
    return ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(20_000)]


def fill(owners: list[str]) -> list[str]:
    """Words as frequent as in a language: a few everywhere, most of them rare."""
    chance = random.Random(7)
    words = vocabulary(chance)
    heap = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(words))))

    def some(count: int) -> str:
        return " ".join(chance.choices(words, cum_weights=heap, k=count))

    with database.atomic():
        for number in range(MESSAGES // PER_CONVERSATION):
            talk, now = new_id(), 1.6e9 + number * 60
            Conversation.insert(
                id=talk, owner=owners[number % len(owners)], title=some(5),
                created=now, updated=now,
            ).execute()  # fmt: skip
            Message.insert_many(
                {
                    "id": new_id(), "conversation": talk, "position": position,
                    "role": "assistant" if position % 2 else "user", "state": "complete",
                    "text": some(WORDS),
                    "created": now, "saved": now,
                }
                for position in range(PER_CONVERSATION)
            ).execute()  # fmt: skip
    return words


@contextmanager
def postgres() -> Iterator[str]:
    import psycopg

    name = f"apiary_bench_{secrets.token_hex(4)}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield POSTGRES.rsplit("/", 1)[0] + "/" + name
    finally:
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def measure(kind: str, url: str, owners: list[str], folder: str) -> None:
    app = create_app({"TESTING": True, "APIARY_INSTANCE_PATH": folder, "APIARY_DATABASE_URL": url})
    if kind == "PostgreSQL":
        app.test_cli_runner().invoke(args=["apiary", "upgrade"])
    with app.app_context(), database.connection_context():
        began = time.perf_counter()
        words = fill(owners)
        print(f"{kind}, {len(owners)} owner(s): filled in {time.perf_counter() - began:.0f} s")
        if kind == "PostgreSQL":
            database.execute_sql("ANALYZE")
        asked = {
            "the commonest word": words[0],
            "a rare word": words[15_000],
            "two words": f"{words[3]} {words[40]}",
            "three, the last begun": f"{words[1]} {words[10]} {words[30][:2]}",
            "two letters": "et",
            "nothing": "zzzzzz",
        }
        for name, text in asked.items():
            times, cpu = [], []
            for _ in range(ROUNDS):
                begun, busy = time.perf_counter(), time.process_time()
                found = search(owners[-1], text)
                times.append((time.perf_counter() - begun) * 1000)
                cpu.append((time.process_time() - busy) * 1000)
            print(
                f"  {name:24} {statistics.median(times):7.1f} ms median,"
                f" {max(times):7.1f} ms worst, {statistics.median(cpu):6.1f} ms of our CPU,"
                f" {len(found.results)} results"
            )
    state = app.extensions["apiary"]
    state.http.dispose()
    if hasattr(state.database, "close_all"):
        state.database.close_all()


def main() -> None:
    kinds = sys.argv[1:] or ["sqlite", "postgres"]
    for owners in (["one"], [f"owner{n}" for n in range(50)]):
        if "sqlite" in kinds:
            with tempfile.TemporaryDirectory() as folder:
                measure("SQLite", f"sqlite:///{folder}/a.sqlite3", owners, folder)
        if "postgres" in kinds:
            with tempfile.TemporaryDirectory() as folder, postgres() as url:
                measure("PostgreSQL", url, owners, folder)


if __name__ == "__main__":
    main()
