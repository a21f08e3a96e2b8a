"""The main story with the server killed (kill -9) between and in its steps, and started again."""

import time

import httpx
import pytest

from apiary import db
from tests.conftest import LiveSandbox
from tests.faults.story import Server, Visitor


def test_between_the_click_and_the_callback(
    server: Server, visitor: Visitor, sandbox: LiveSandbox
) -> None:
    back = visitor.begin(sandbox)
    server.again()
    assert visitor.flow()["state"] == "waiting"
    assert visitor.http.get(back).status_code == 303
    assert visitor.flow()["state"] == "connected" and visitor.card()["state"] == "connected"
    server.again()
    assert visitor.card()["state"] == "connected"
    assert visitor.http.get(back).status_code == 303
    assert sandbox.exchanges == 1


def test_in_the_middle_of_the_exchange(
    server: Server, visitor: Visitor, sandbox: LiveSandbox
) -> None:
    back = visitor.begin(sandbox)
    sandbox.state.switches.exchange_delay = 3
    with pytest.raises(httpx.HTTPError):
        visitor.http.get(back, timeout=0.7)
    assert visitor.flow()["state"] == "exchanging"
    server.again()
    assert visitor.flow()["state"] == "exchanging"
    assert visitor.card()["state"] == "none"
    # The code is never sent a second time, whoever calls.
    assert visitor.http.get(back).status_code == 303
    assert sandbox.exchanges == 1
    sandbox.state.switches.exchange_delay = 0
    assert visitor.http.get(visitor.begin(sandbox, "second-0123456789a")).status_code == 303
    assert visitor.card()["state"] == "connected"


def test_in_the_middle_of_an_answer(server: Server, visitor: Visitor, sandbox: LiveSandbox) -> None:
    visitor.connect(sandbox)
    sandbox.state.switches.pace = 0.5
    with visitor.ask("Tell me") as answer:
        answer.read(until=2.5)
        server.kill()
    server.start()
    page = visitor.http.get(f"/c/{answer.talk}", headers={"Accept": "text/html"}).text
    assert "Tell me" in page
    saved = visitor.messages(answer.talk)
    assert [message["role"] for message in saved] == ["user", "assistant"]
    # It is saved each second, so at most the last one is missing.
    kept = saved[1]["text"]
    assert kept and answer.text.startswith(kept[: len(answer.text)])
    # A writer without signs of life is taken for dead after 15 seconds; then one can go on.
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline:
        again = visitor.post(f"/c/{answer.talk}/retry", json={"model": "sandbox/echo"})
        if again.status_code == 200:
            break
        assert again.status_code == 409, again.text
        time.sleep(0.5)
    assert "event: done" in again.text and "Tell" in again.text


def test_after_disconnect(server: Server, visitor: Visitor, sandbox: LiveSandbox) -> None:
    visitor.http.get(visitor.begin(sandbox))
    visitor.post("/settings/openrouter/disconnect")
    server.again()
    card = visitor.card()
    assert (card["state"], card["version"]) == ("none", 2) and "still exists" in card["receipt"]
    answer = visitor.post("/c")
    asked = visitor.post(f"/c/{answer.json()['id']}/messages", json={"text": "Hello"})
    assert asked.status_code == 409 and "No brain connected yet" in asked.json()["message"]


#: Makes the last step of a deletion take seconds, so that a kill falls into it.
SLOW = {
    "sqlite": """
        CREATE TRIGGER slow BEFORE DELETE ON account BEGIN
          SELECT count(*) FROM (
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000)
            SELECT i FROM n);
        END""",
    "postgresql": """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM pg_sleep(5); RETURN OLD; END $$;
        CREATE TRIGGER slow BEFORE DELETE ON account FOR EACH ROW EXECUTE FUNCTION slow()""",
}


def test_in_the_middle_of_deleting_an_account(
    server: Server, visitor: Visitor, sandbox: LiveSandbox, database_url: str
) -> None:
    visitor.post("/sign-up", data={"name": "Maya", "password": "correct horse"})
    visitor.token = visitor.read("/settings/")
    visitor.http.get(visitor.begin(sandbox))
    conversation = visitor.post("/c").json()["id"]
    question = {"text": "Keep me", "provider": "openrouter", "model": "sandbox/echo"}
    assert "event: done" in visitor.post(f"/c/{conversation}/messages", json=question).text
    kind = database_url.partition(":")[0]
    database = db.open_url(database_url)

    def run(statement: str) -> None:
        with database.connection_context():
            database.execute_sql(statement)

    run(SLOW[kind])
    leave = {"password": "correct horse", "sure": "y"}
    with pytest.raises(httpx.HTTPError):
        visitor.http.post(
            "/account/delete", data=leave | {"csrf_token": visitor.token}, timeout=1.5
        )
    server.again()
    run("DROP TRIGGER slow" + (" ON account" if kind == "postgresql" else ""))
    # All of it is there, as if nobody had asked.
    assert visitor.card()["state"] == "connected"
    saved = visitor.http.get(f"/c/{conversation}/export.json").json()["messages"]
    assert [message["text"] for message in saved] == ["Keep me", "Keep me"]
    done = visitor.http.post("/account/delete", data=leave | {"csrf_token": visitor.token})
    assert done.status_code == 303
    with database.connection_context():
        for table in database.get_tables():
            if table in {"account", "conversation", "message", "apiary_connection", "apiary_flow"}:
                rows = database.execute_sql(f"SELECT count(*) FROM {table}").fetchone()
                assert rows == (0,), table
    if hasattr(database, "close_all"):
        database.close_all()
