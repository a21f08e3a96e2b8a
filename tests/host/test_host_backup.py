"""The drill of docs/operations.md with the whole app: back up while people chat, restore, go on."""

import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.browsing import Browser, text_of

SECRETS = ("encryption_keys", "secret_key")


def back_up(url: str, instance: Path, to: Path) -> None:
    to.mkdir()
    if url.startswith("postgres"):
        with (to / "apiary.sql").open("w") as file:
            subprocess.run(["pg_dump", "--no-owner", url], stdout=file, check=True)
    else:
        source = sqlite3.connect(url.removeprefix("sqlite:///"))
        source.execute("VACUUM INTO ?", (str(to / "apiary.sqlite3"),))
        source.close()
    for name in SECRETS:
        shutil.copy2(instance / name, to)


def restore(kept: Path, instance: Path, new_postgres: Callable[[], str]) -> str:
    """Into a fresh place; the URL of the database there."""
    instance.mkdir(mode=0o700)
    for name in SECRETS:
        shutil.copy2(kept / name, instance)
    if (kept / "apiary.sqlite3").exists():
        shutil.copy2(kept / "apiary.sqlite3", instance)
        return ""
    url = new_postgres()
    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(kept / "apiary.sql"), url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return url


def test_the_drill_with_the_whole_app(
    make_host, database_url, tmp_path, paste_key, request: pytest.FixtureRequest
):
    old, new, kept = (tmp_path / name for name in ("old", "new", "kept"))
    app = make_host(
        APIARY_DATABASE_URL=database_url, APIARY_INSTANCE_PATH=str(old), APIARY_SECRET_KEY=""
    )
    ann = Browser(app)
    ann.sign_up("Ann")
    ann.connect(paste_key)
    first = ann.conversation()
    assert text_of(ann.ask("Of bees", first, model="sandbox/echo"))
    before = ann.messages(first)
    stop, asked, problems = threading.Event(), threading.Event(), []

    def go_on() -> None:
        try:
            ben = Browser(app)
            ben.connect(paste_key)
            conversation = ben.conversation()
            while not stop.is_set():
                ben.ask("And wasps?", conversation, model="sandbox/echo")
                asked.set()
        except Exception as error:
            problems.append(error)
            asked.set()

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        assert asked.wait(30)
        back_up(database_url, old, kept)
    finally:
        stop.set()
        writer.join()
    assert problems == []

    url = restore(kept, new, lambda: request.getfixturevalue("new_postgres")())
    restored = make_host(
        APIARY_DATABASE_URL=url, APIARY_INSTANCE_PATH=str(new), APIARY_SECRET_KEY=""
    )
    with restored.test_client().get("/readyz") as ready:
        assert ready.status_code == 200, ready.json
    again = Browser(restored)
    for cookie in ("apiary_session",):
        found = ann.client.get_cookie(cookie)
        assert found
        again.client.set_cookie(cookie, found.value)
    assert again.messages(first) == before, "the session goes on, and so does the conversation"
    with again.get("/account") as page:
        assert "Signed up" in page.get_data(as_text=True)
    assert "Of honey" in text_of(again.ask("Of honey", first, model="sandbox/echo"))
    with Browser(restored).sign_in("Ann") as entered:
        assert entered.status_code == 303
    told = restored.test_cli_runner().invoke(args=["apiary", "doctor", "--offline"])
    assert "The key ring opens all of them" in told.output, told.output
