"""A running answer: stopped, followed by several, left by its reader, limited in number."""

import pytest

from apiary import database
from apiary.host import payers, turns
from tests.host.browsing import Browser, each_event, events, text_of, until


def test_stop_keeps_the_text_and_ends_the_stream(chatter, slowly):
    conversation = chatter.conversation()
    with chatter.send(
        f"/c/{conversation}/messages", {"text": "count", "model": "sandbox/slow"}
    ) as answer:
        stream = each_event(answer)
        first = next(stream)
        assert first.kind == "delta"
        with chatter.send(f"/c/{conversation}/stop") as stopped:
            assert stopped.status_code == 204
        last = list(stream)[-1]
    assert (last.kind, last.data["finish_reason"]) == ("done", "stopped")
    row = chatter.messages(conversation)[-1]
    assert row["state"] == "stopped" and row["text"].startswith(first.data["text"])


@pytest.mark.parametrize("way", ["messages", "continue"])
def test_stop_before_the_answer_has_a_row(builtin, sandbox, monkeypatch, way):
    browser = Browser(builtin)
    conversation = browser.conversation()
    body = {"text": "x"}
    if way == "continue":
        browser.ask("before", conversation)
        body = {"message_id": browser.messages(conversation)[-1]["id"]}
    choose, asked = payers.choose_model, len(sandbox.state.journal.chats())

    def slowly(owner, payer, found, wanted):
        # Meanwhile in another tab; a list of models may take seconds to come.
        turns.stop(found)
        return choose(owner, payer, found, wanted)

    monkeypatch.setattr(payers, "choose_model", slowly)
    left = browser.get("/payer").json["left"]
    with browser.send(f"/c/{conversation}/{way}", body) as answer:
        assert events(answer)[-1].kind == "done"
    assert browser.messages(conversation)[-1]["state"] == "stopped"
    assert len(sandbox.state.journal.chats()) == asked, "nobody is asked for nothing"
    assert browser.get("/payer").json["left"] == left
    monkeypatch.setattr(payers, "choose_model", choose)
    assert browser.ask("again", conversation)[-1].kind == "done"


def test_stop_reaches_the_provider(chatter, sandbox, slowly):
    conversation = chatter.conversation()
    with chatter.send(
        f"/c/{conversation}/messages", {"text": "count", "model": "sandbox/slow"}
    ) as answer:
        next(each_event(answer))
        chatter.send(f"/c/{conversation}/stop").close()
        (entry,) = sandbox.state.journal.chats()
        # It would go on for ten seconds, and finish.
        until(lambda: entry.outcome == "gone")


def test_a_reader_that_leaves_does_not_end_the_answer(chatter, sandbox):
    conversation = chatter.conversation()
    with chatter.send(
        f"/c/{conversation}/messages", {"text": "stay", "model": "sandbox/slow"}
    ) as answer:
        seen = next(each_event(answer))
    with chatter.get(f"/c/{conversation}") as page:
        assert "data-running" in page.get_data(as_text=True)
    with chatter.get(f"/c/{conversation}/stream", headers={"Last-Event-ID": str(seen.id)}) as rest:
        found = events(rest)
    assert found[0].id == seen.id + 1
    assert found[-1].kind == "done"
    text = seen.data["text"] + text_of(found)
    assert chatter.messages(conversation)[-1]["text"] == text


def test_from_the_beginning_and_after_a_number(chatter):
    conversation = chatter.conversation()
    path = f"/c/{conversation}/stream"
    assert chatter.get(path).status_code == 204
    found = chatter.ask("hello", conversation, model="sandbox/echo")
    assert chatter.get(path).status_code == 204, "nothing runs any more"
    with chatter.get(f"{path}?after={found[-1].id - 1}") as rest:
        assert [e.id for e in events(rest)] == [found[-1].id]
    for after in ("garbage", found[-1].id, 999):
        with chatter.get(f"{path}?after={after}") as rest:
            assert rest.status_code == 204


def test_one_answer_at_a_time_in_a_conversation(chatter, slowly):
    conversation = chatter.conversation()
    with chatter.send(
        f"/c/{conversation}/messages", {"text": "one", "model": "sandbox/slow"}
    ) as running:
        next(each_event(running))
        for path in ("messages", "retry"):
            with chatter.send(f"/c/{conversation}/{path}", {"text": "two"}) as refused:
                assert refused.status_code == 409
                assert refused.json["code"] == "busy"
        chatter.send(f"/c/{conversation}/stop").close()
    question, _ = chatter.messages(conversation)
    assert question["text"] == "one"


def test_three_answers_at_a_time_for_each_owner(chatter, slowly):
    running = []
    for _ in range(3):
        conversation = chatter.conversation()
        answer = chatter.send(f"/c/{conversation}/messages", {"text": "n", "model": "sandbox/slow"})
        assert answer.status_code == 200
        running.append(answer)
    with chatter.send(f"/c/{chatter.conversation()}/messages", {"text": "n"}) as fourth:
        assert fourth.status_code == 429
        assert fourth.json["code"] == "too_many_answers"
    for answer in running:
        answer.close()


def test_two_processes_share_an_answer(make_host, database_url, paste_key, slowly):
    """Two apps over one database stand for two processes."""
    one = Browser(make_host(APIARY_DATABASE_URL=database_url))
    folder = one.app.config["APIARY_INSTANCE_PATH"]
    other = Browser(make_host(APIARY_DATABASE_URL=database_url, APIARY_INSTANCE_PATH=folder))
    one.connect(paste_key)
    other.client.set_cookie("apiary_session", one.client.get_cookie("apiary_session").value)
    conversation = one.conversation()
    path = f"/c/{conversation}"
    with one.send(f"{path}/messages", {"text": "n", "model": "sandbox/slow"}) as writing:
        mine = each_event(writing)
        seen = next(mine)
        assert (
            other.get(f"{path}/stream", headers={"Last-Event-ID": str(seen.id)}).status_code == 204
        )
        with other.send(f"{path}/retry") as refused:
            assert refused.json["code"] == "busy"
        with other.get(f"{path}/stream") as reading:
            theirs = each_event(reading)
            first = next(theirs)
            assert first.kind == "delta" and first.data["text"].startswith(seen.data["text"][:5])
            number = {"Last-Event-ID": str(first.id)}
            assert one.get(f"{path}/stream", headers=number).status_code == 204
            assert other.send(f"{path}/stop").status_code == 204
            last = list(theirs)[-1]
        assert (last.kind, last.data["finish_reason"]) == ("done", "stopped")
        assert list(mine)[-1].data["finish_reason"] == "stopped"
    assert one.messages(conversation)[-1]["state"] == "stopped"


def test_an_answer_has_few_readers_at_a_time(chatter, slowly):
    conversation = chatter.conversation()
    with chatter.send(
        f"/c/{conversation}/messages", {"text": "n", "model": "sandbox/slow"}
    ) as first:
        stream = each_event(first)
        seen = next(stream)
        more = [chatter.get(f"/c/{conversation}/stream") for _ in range(4)]
        each = [each_event(reader) for reader in more]
        assert [next(reader).id for reader in each] == [seen.id] * 4
        assert all(event.kind == "delta" for event in stream), "it was sent away"
        for reader in more:
            reader.close()
        chatter.send(f"/c/{conversation}/stop").close()


def test_signing_out_everywhere_ends_open_streams(chatter, slowly):
    chatter.sign_up("Ada")
    conversation = chatter.conversation()
    with chatter.send(
        f"/c/{conversation}/messages", {"text": "n", "model": "sandbox/slow"}
    ) as answer:
        stream = each_event(answer)
        next(stream)
        chatter.form("/account/sign-out-everywhere").close()
        assert "done" not in [event.kind for event in stream]


def test_no_database_is_held_while_an_answer_is_read(chatter, host, slowly):
    conversation = chatter.conversation()
    with chatter.send(
        f"/c/{conversation}/messages", {"text": "n", "model": "sandbox/slow"}
    ) as answer:
        next(each_event(answer))
        with host.app_context():
            assert database.is_closed()
        with chatter.get(f"/c/{conversation}/stream") as reader:
            next(each_event(reader))
            with host.app_context():
                assert database.is_closed()
        chatter.send(f"/c/{conversation}/stop").close()
