"""Answers that were cut go on; answers that are too dear become shorter."""

import csv
import time

import pytest

from apiary import Delta, Done, Usage, database
from apiary.host import turns
from apiary.host.tables import Message
from tests.host.browsing import Browser, each_event, events, text_of
from tests.host.conftest import BUILTIN
from tests.host.test_host_writer import Script


def go_on(browser, conversation, answer_id, **more):
    path = f"/c/{conversation}/continue"
    return browser.send(path, {"message_id": answer_id, **more})


def test_an_answer_that_broke_off_goes_on(chatter, sandbox):
    conversation = chatter.conversation()
    cut = text_of(chatter.ask("hello", conversation, model="sandbox/cut"))
    answer = chatter.messages(conversation)[-1]
    assert answer["state"] == "incomplete"
    with go_on(chatter, conversation, answer["id"], model="sandbox/echo") as more:
        found = events(more)
    assert found[0].data["text"] == cut, "a reader gets the whole text"
    assert text_of(found) == cut + turns.GO_ON
    sent = sandbox.state.journal.chats()[-1].body["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "user"]
    assert sent[1]["content"] == cut
    row = chatter.messages(conversation)[-1]
    assert (row["id"], row["text"], row["state"]) == (answer["id"], cut + turns.GO_ON, "complete")
    assert "error" not in row and row["continued"] == 1
    with chatter.get(f"/c/{conversation}") as page:
        assert "Continued" in page.get_data(as_text=True)


def test_an_answer_of_a_dead_process_goes_on_before_anybody_has_marked_it(chatter):
    conversation = chatter.conversation()
    cut = text_of(chatter.ask("hello", conversation, model="sandbox/cut"))
    answer = chatter.messages(conversation)[-1]["id"]
    with chatter.app.app_context(), database.connection_context():
        left = {"state": "streaming", "saved": time.time() - 60, "finished": None}
        Message.update(left).where(Message.id == answer).execute()
    with go_on(chatter, conversation, answer, model="sandbox/echo") as more:
        assert more.status_code == 200, more.json
        assert text_of(events(more)) == cut + turns.GO_ON
    assert chatter.messages(conversation)[-1]["state"] == "complete"


def test_a_long_answer_goes_on_and_what_it_took_is_added_up(chatter):
    conversation = chatter.conversation()
    chatter.ask("a b c d", conversation, model="sandbox/echo", max_tokens=2)
    first = chatter.messages(conversation)[-1]
    with chatter.get(f"/c/{conversation}") as page:
        assert "data-cut" in page.get_data(as_text=True)
    with go_on(chatter, conversation, first["id"], max_tokens=3) as more:
        found = events(more)
    row = chatter.messages(conversation)[-1]
    assert row["text"].startswith("a b Your last answer")
    assert row["completion_tokens"] == first["completion_tokens"] + 3
    assert row["cost_usd"] > first["cost_usd"]
    usage = next(event for event in found if event.kind == "usage")
    assert usage.data["completion_tokens"] == row["completion_tokens"]


def test_what_stood_there_stays_when_going_on_fails(chatter):
    conversation = chatter.conversation()
    chatter.ask("a b c", conversation, model="sandbox/echo", max_tokens=2)
    answer = chatter.messages(conversation)[-1]["id"]
    with go_on(chatter, conversation, answer, model="sandbox/error-503") as more:
        assert events(more)[-1].data["code"] == "provider_down"
    row = chatter.messages(conversation)[-1]
    assert (row["text"], row["state"]) == ("a b ", "incomplete")
    with go_on(chatter, conversation, answer, provider="anthropic") as refused:
        assert refused.json["code"] == "not_connected"
    assert chatter.messages(conversation)[-1] == row


def test_only_the_last_answer_goes_on(chatter):
    conversation = chatter.conversation()
    chatter.ask("a b c", conversation, model="sandbox/echo", max_tokens=2)
    question, answer = (m["id"] for m in chatter.messages(conversation))
    chatter.ask("and", conversation)
    for message, status in ((question, 400), (answer, 400), ("nowhere", 404)):
        with go_on(chatter, conversation, message) as refused:
            assert refused.status_code == status
    with chatter.send(f"/c/{conversation}/continue") as refused:
        assert refused.status_code == 400


def test_it_can_be_stopped_and_go_on_again(chatter, slowly):
    conversation = chatter.conversation()
    chatter.ask("a b c", conversation, model="sandbox/echo", max_tokens=2)
    answer = chatter.messages(conversation)[-1]["id"]
    with go_on(chatter, conversation, answer, model="sandbox/slow") as more:
        stream = each_event(more)
        assert next(stream).data["text"] == "a b "
        next(stream)
        with go_on(chatter, conversation, answer) as refused:
            assert refused.json["code"] == "busy"
        chatter.send(f"/c/{conversation}/stop").close()
    row = chatter.messages(conversation)[-1]
    assert row["state"] == "stopped" and row["text"].startswith("a b Counting")
    assert len(chatter.messages(conversation)) == 2


def test_who_was_away_while_it_went_on_is_told_to_read_anew(chatter, slowly):
    conversation = chatter.conversation()
    path = f"/c/{conversation}"

    def rest_after(seen):
        return chatter.get(f"{path}/stream", headers={"Last-Event-ID": str(seen.id)})

    with chatter.send(f"{path}/messages", {"text": "n", "model": "sandbox/slow"}) as first:
        stream = each_event(first)
        seen = [next(stream) for _ in range(3)][-1]
        next(stream)
        chatter.send(f"{path}/stop").close()
    answer = chatter.messages(conversation)[-1]
    with go_on(chatter, conversation, answer["id"], model="sandbox/slow") as more:
        stream = each_event(more)
        now = [next(stream) for _ in range(4)]
        # The numbers of before are no places in what is written now.
        with rest_after(seen) as anew:
            assert anew.status_code == 204
        with rest_after(now[1]) as rest:
            assert next(each_event(rest)) == now[2]
        chatter.send(f"{path}/stop").close()
    with rest_after(seen) as anew:
        assert anew.status_code == 204


def test_who_was_away_while_another_was_asked_is_told_to_read_anew(chatter, slowly):
    conversation = chatter.conversation()
    path = f"/c/{conversation}"
    with chatter.send(f"{path}/messages", {"text": "n", "model": "sandbox/slow"}) as first:
        seen = next(each_event(first))
        chatter.send(f"{path}/stop").close()
    with chatter.send(f"{path}/retry", {"model": "sandbox/slow"}) as second:
        stream = each_event(second)
        [next(stream) for _ in range(3)]
        with chatter.get(f"{path}/stream", headers={"Last-Event-ID": str(seen.id)}) as anew:
            assert anew.status_code == 204
        chatter.send(f"{path}/stop").close()


def test_a_message_of_the_built_in_model_is_given_back(make_host, database_url, paste_key):
    app = make_host(
        APIARY_DATABASE_URL=database_url,
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_DAILY_MESSAGES="3",
        **{**BUILTIN, "APIARY_BUILTIN_MODEL": "sandbox/error-503"},
    )
    guest = Browser(app)
    conversation = guest.conversation()
    guest.ask("hello", conversation)
    with app.app_context(), database.connection_context():
        Message.update(text="half", state="incomplete").where(Message.role == "assistant").execute()
    answer = guest.messages(conversation)[-1]["id"]
    with go_on(guest, conversation, answer) as more:
        assert events(more)[-1].kind == "error"
    with guest.get("/payer") as payer:
        assert payer.json["left"] == 3


def test_a_cost_that_one_half_does_not_tell_is_unknown(make_host, database_url):
    script = Script()
    reader = Browser(make_host(providers=(script,), APIARY_DATABASE_URL=database_url))
    reader.form("/settings/script/key", api_key="script-key-1234567890").close()
    conversation = reader.conversation()
    script.events = [Delta("half "), Usage(5, 1), Done("length")]
    reader.ask("hello", conversation, provider="script")
    script.events = [Delta("done"), Usage(6, 2), Done("stop")]
    answer = reader.messages(conversation)[-1]["id"]
    with go_on(reader, conversation, answer) as more:
        assert text_of(events(more)) == "half done"
    row = reader.messages(conversation)[-1]
    assert (row["prompt_tokens"], row["completion_tokens"]) == (11, 3)
    assert "cost_usd" not in row


def test_a_shorter_answer_where_the_credit_is_small(chatter):
    conversation = chatter.conversation()
    found = chatter.ask("hello", conversation, model="sandbox/error-402-afford")
    affordable = found[-1].data["affordable"]
    with chatter.get(f"/c/{conversation}") as page:
        assert f'data-affordable="{affordable}"' in page.get_data(as_text=True)
    body = {"model": "sandbox/error-402-afford", "max_tokens": affordable}
    with chatter.send(f"/c/{conversation}/retry", body) as again:
        assert events(again)[-1].kind == "done"
    assert [m["state"] for m in chatter.messages(conversation)] == ["sent", "complete"]


@pytest.mark.parametrize("most", ["0", "-1", "x", "1.5"])
def test_a_form_may_ask_for_a_shorter_answer(chatter, most):
    conversation = chatter.conversation()
    path = f"/c/{conversation}/messages"
    with chatter.form(path, text="a b c", model="sandbox/echo", max_tokens="2") as done:
        assert done.status_code == 303
    assert chatter.messages(conversation)[-1]["text"] == "a b "
    with chatter.form(path, text="a b c", max_tokens=most) as refused:
        assert refused.status_code == 400


@pytest.mark.parametrize("before", ["operator", "nobody"])
def test_who_goes_on_does_not_pay_for_what_was_before(builtin, paste_key, before):
    browser = Browser(builtin)
    conversation = browser.conversation()
    browser.ask("hello", conversation)
    row = browser.messages(conversation)[-1]
    if before == "nobody":
        with builtin.app_context(), database.connection_context():
            # As an import leaves it.
            imported = Message.update(payer=None, prompt_tokens=1_000_000)
            imported.where(Message.id == row["id"]).execute()
    browser.connect(paste_key)
    body = {"message_id": row["id"], "provider": "openrouter", "model": "sandbox/echo"}
    with browser.send(f"/c/{conversation}/continue", body) as answer:
        used = [event.data for event in events(answer) if event.kind == "usage"][-1]
    with browser.get("/usage.csv") as table:
        lines = {line["payer"]: line for line in csv.DictReader(table.text.splitlines())}
    assert int(lines["key"]["prompt_tokens"]) == used["prompt_tokens"] < 1_000_000
    if before == "operator":
        assert int(lines["builtin"]["prompt_tokens"]) == row["prompt_tokens"]
    assert sorted(lines) == (["builtin", "key"] if before == "operator" else ["key"])


def test_what_goes_on_already_is_read_and_not_paid_twice(chatter, sandbox):
    conversation = chatter.conversation()
    chatter.ask("hello", conversation, model="sandbox/cut")
    answer = chatter.messages(conversation)[-1]["id"]
    with go_on(chatter, conversation, answer, model="sandbox/echo", continued=0) as more:
        whole = text_of(events(more))
    for finds in ("in memory", "in the database"):
        asked = len(sandbox.state.journal.chats())
        with go_on(chatter, conversation, answer, model="sandbox/echo", continued=0) as more:
            assert text_of(events(more)) == whole, finds
        assert len(sandbox.state.journal.chats()) == asked
        # Its place is another answer's by then.
        chatter.ask("and", conversation, model="sandbox/echo")
    for wrong in (-1, True, "1"):
        with go_on(chatter, conversation, answer, continued=wrong) as refused:
            assert refused.status_code == 400


def test_who_asks_for_the_same_answer_twice_reads_the_first(chatter, sandbox):
    conversation = chatter.conversation()
    chatter.ask("hello", conversation, model="sandbox/echo")
    asked = len(sandbox.state.journal.chats())
    for _ in range(2):
        with chatter.send(f"/c/{conversation}/retry", {"id": "second-answer-of-mine"}) as more:
            assert text_of(events(more)) == "hello"
    assert len(sandbox.state.journal.chats()) == asked + 1
    assert chatter.messages(conversation)[-1]["id"] == "second-answer-of-mine"
    # Of another conversation it is nothing that one could read here.
    other = chatter.conversation()
    chatter.ask("other", other, model="sandbox/echo")
    with chatter.send(f"/c/{other}/retry", {"id": "second-answer-of-mine"}) as refused:
        assert refused.status_code == 409
