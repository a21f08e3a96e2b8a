"""What a provider of ill will can send, and the caps on an answer."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import peewee
import pytest
from playhouse.pool import MaxConnectionsExceeded

from apiary import Delta, Done, Model, Provider, Reasoning, Usage, database
from apiary.host import answers, conversations, keeper, record, writer
from apiary.host.answers import Answer, Answers, Full
from apiary.host.payers import Payer
from apiary.host.tables import Account, Conversation, Message
from apiary.host.wire import before
from tests.host.browsing import Browser, text_of, until


class Staged:
    """Events out of a list."""

    def __init__(self, events):
        self.events = events
        self.closed = threading.Event()

    def __iter__(self):
        yield from self.events

    def close(self):
        self.closed.set()


class Script(Provider):
    """A provider that answers what the test put in."""

    name, label, origin = "script", "Script", "https://script.example"

    def __init__(self):
        self.events = []

    def check(self, key):
        from apiary import Facts

        return Facts()

    def models(self, key):
        return [Model("first", "First")]

    def stream(self, key, request):
        return Staged(self.events)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def reader(make_host, database_url, script) -> Browser:
    found = Browser(make_host(providers=(script,), APIARY_DATABASE_URL=database_url))
    with found.form("/settings/script/key", api_key="script-key-1234567890") as saved:
        assert saved.status_code in (200, 303)
    return found


def ask(reader: Browser, script: Script, *events):
    script.events = events
    conversation = reader.conversation()
    return reader.ask("hello", conversation), reader.messages(conversation)[-1]


def test_numbers_that_no_column_takes(reader, script):
    usage = Usage(10**40, -5, Decimal("1e30"))
    found, row = ask(reader, script, Delta("hi"), usage, Done("stop"))
    assert found[-1].kind == "done" and row["state"] == "complete"
    assert found[1].data == {"prompt_tokens": 2**53, "completion_tokens": 0, "cost": None}


def test_text_that_no_column_takes(reader, script):
    found, row = ask(reader, script, Delta("a\0b\ud800"), Reasoning("\0"), Done("x\0" * 100))
    assert row["state"] == "complete"
    assert row["text"] == text_of(found) == "a\ufffdb\ufffd"


def test_a_pair_of_surrogates_is_one_character(reader, script):
    _, row = ask(reader, script, Delta("\ud83d\udc1d"), Done("stop"))
    assert row["text"] == "🐝"


def test_the_reason_is_kept(reader, script):
    found, row = ask(reader, script, Delta("hi"), Done("length"))
    assert found[-1].data["finish_reason"] == "length"
    assert row["state"] == "complete"


def test_an_empty_answer_is_a_failure(reader, script):
    found, row = ask(reader, script, Done("stop"))
    assert (found[-1].kind, found[-1].data["code"]) == ("error", "provider_down")
    assert row["state"] == "failed"


def test_a_bug_in_a_provider_ends_in_a_sentence(reader, script):
    found, row = ask(reader, script, Delta("hi"), "no event", Delta(7))
    assert found[-1].kind == "error" and found[-1].data["action"] == "retry"
    assert (row["state"], row["text"]) == ("incomplete", "hi")


@pytest.mark.parametrize("cap", [("LARGEST", 5), ("MOST_EVENTS", 1)])
def test_an_answer_without_end_is_ended(reader, script, monkeypatch, cap):
    monkeypatch.setattr(answers, *cap)
    found, row = ask(reader, script, Delta("1234"), Delta("5678"), Delta("9"))
    assert found[-1].kind == "error" and "too long" in found[-1].data["message"]
    assert (row["state"], row["text"]) == ("incomplete", "12345678")


def test_the_first_model_where_nothing_is_known(reader, script):
    _, row = ask(reader, script, Delta("hi"), Done("stop"))
    assert row["model"] == "first"


def test_all_places_are_taken(monkeypatch):
    monkeypatch.setattr(answers, "MOST", 2)
    running = Answers()
    for number in range(2):
        running.open(Answer(f"m{number}", f"c{number}", f"owner{number}"))
    with pytest.raises(Full) as full:
        running.open(Answer("m", "c", "owner"))
    assert full.value.code == "server_busy"


def test_finished_answers_are_forgotten(monkeypatch):
    running = Answers()
    answer = Answer("m", "c", "owner")
    running.open(answer)
    assert answer.claim() and not answer.claim()
    answer.end("done", {})
    assert running.find("c") is answer and running.running("c") is None
    monkeypatch.setattr(answers, "KEPT", -1)
    assert running.find("c") is None


def test_what_was_stopped_before_it_was_asked_is_not_asked(reader, script, monkeypatch):
    """The thread of the request asks only when its reader is handed over."""
    asked: list[object] = []
    monkeypatch.setattr(script, "stream", lambda *_: asked.append(1) or Staged([]))
    with reader.app.app_context(), database.connection_context():
        owner = Account.get().id
    payer = Payer("key", "script", "Script", "Your Script key pays")
    for stopped in (True, False):
        answer = Answer("m", "c", owner)
        assert not stopped or answer.claim()
        writer.run(reader.app, answer, writer.Order(payer, "first", [], None, None))
        assert len(asked) == (not stopped)


def test_a_silent_answer_says_that_it_is_there(monkeypatch):
    monkeypatch.setattr(answers, "HEARTBEAT", 0.01)
    answer = Answer("m", "c", "owner")
    stream = answer.follow()
    assert [next(stream), next(stream)] == [b": open\n\n", b": still here\n\n"]
    answer.send("delta", {"text": "a\nb"})
    answer.send("delta", {"text": "c"})
    at = before("m.0")
    assert next(stream).decode() == (
        f'id: {at + 1}\nevent: delta\ndata: {{"text":"a\\nb"}}\n\n'
        f'id: {at + 2}\nevent: delta\ndata: {{"text":"c"}}\n\n'
    )
    stream.close()


@pytest.mark.parametrize("trouble", ["an error", "a slow round"])
def test_the_keeper_goes_on_after(reader, script, monkeypatch, trouble):
    go, calls, save = threading.Event(), [], record.save

    class Endless(Staged):
        def __iter__(self):
            yield Delta("hello")
            go.wait(20)
            yield Done("stop")

    def failing(answer):
        calls.append(time.monotonic())
        if len(calls) > 1:
            return save(answer)
        if trouble == "an error":
            # What a pool of connections raises in a rush.
            raise MaxConnectionsExceeded
        time.sleep(2)

    script.stream = lambda key, request: Endless([])
    monkeypatch.setattr(record, "save", failing)
    monkeypatch.setattr(keeper, "_SIGN", 0.5)
    conversation = reader.conversation()
    with reader.send(f"/c/{conversation}/messages", {"text": "x"}) as answer:
        until(lambda: len(calls) > 1)
        until(lambda: reader.messages(conversation)[-1]["text"] == "hello")
        go.set()
        assert "event: done" in answer.get_data(as_text=True)


def test_who_leaves_waits_for_who_leaves_already(host):
    """The end of a process waits for no thread by itself: an end that it saves would be lost."""
    running = Answers()
    kept = keeper.Keeper(running)
    answer = Answer("m", "c", "owner")
    running.open(answer)
    assert answer.claim()
    saved, begun = [], threading.Event()

    def save():
        begun.set()
        time.sleep(1)
        saved.append(answer)
        answer.end("done", {"message_id": "m", "finish_reason": "stop"})

    kept.owe(answer, save)
    kept.watch(host)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(kept.leave)
        assert begun.wait(10)
        kept.leave()
        assert len(saved) == 1
        first.result(10)
    assert len(saved) == 1


def stored(**more) -> tuple[Conversation, Message]:
    """A conversation with an answer whose process gives no more signs of life."""
    conversation = Conversation.create(owner="o", title="Bees")
    row = Message.create(
        conversation=conversation,
        position=0,
        role="assistant",
        state="streaming",
        text="Bees ",
        saved=time.time() - 60,
        **more,
    )
    return conversation, row


def test_a_process_that_was_taken_for_dead_writes_into_nothing_that_went_on(
    make_host, database_url
):
    app = make_host(APIARY_DATABASE_URL=database_url)
    with app.app_context(), database.connection_context():
        conversation, row = stored(continued=1)
    late = Answer(row.id, conversation.id, "o")
    late.send("delta", {"text": "much later"})
    with app.app_context():
        record.save(late)
        record.finish(late, "complete", finish_reason="stop")
        with database.connection_context():
            kept = Message.get_by_id(row.id)
    assert (kept.text, kept.state) == ("Bees ", "streaming")


def test_an_answer_that_lives_on_is_not_marked_as_broken_off(make_host, database_url):
    app = make_host(APIARY_DATABASE_URL=database_url)
    with app.app_context(), database.connection_context():
        conversation, row = stored()
        (seen,) = conversations.all_messages(conversation)
        assert seen.error_code == "broken_off"
        Message.update(saved=time.time(), text="Bees dance").execute()
        assert not conversations.keep_broken_off(seen)
        kept = Message.get_by_id(row.id)
        assert (kept.text, kept.state) == ("Bees dance", "streaming")
        Message.update(saved=seen.saved).execute()
        assert conversations.keep_broken_off(seen)
        kept = Message.get_by_id(row.id)
        assert (kept.text, kept.state) == ("Bees dance", "incomplete")


def test_without_a_thread_the_answer_ends_at_once_and_can_be_asked_again(
    make_host, script, monkeypatch
):
    """What ``RLIMIT_NPROC`` does; root, who runs these tests in many places, has no such limit."""
    reader = Browser(make_host(providers=(script,)))
    with reader.form("/settings/script/key", api_key="script-key-1234567890"):
        pass
    begin = threading.Thread.start

    def start(thread):
        if thread.name == "apiary-answer":
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    found, row = ask(reader, script, Delta("hi"), Done("stop"))
    assert (found[-1].kind, found[-1].data["code"]) == ("error", "server_busy")
    assert (row["state"], row["text"]) == ("failed", "")
    monkeypatch.undo()
    found, row = ask(reader, script, Delta("hi"), Done("stop"))
    assert found[-1].kind == "done" and row["text"] == "hi"


def test_an_end_is_owed_until_the_database_takes_it(reader, script, monkeypatch):
    calls, end = [], record._end

    def refused(answer, values):
        calls.append(answer.ended)
        if len(calls) < 3:
            raise peewee.OperationalError("the database is away")
        end(answer, values)

    monkeypatch.setattr(record, "_end", refused)
    script.events = [Delta("all of it"), Done("stop")]
    conversation = reader.conversation()
    with reader.send(f"/c/{conversation}/messages", {"text": "x"}) as answer:
        # Nobody is told of an end that is not saved.
        assert "event: done" in answer.text and calls == [None] * 3
    row = reader.messages(conversation)[-1]
    assert (row["state"], row["text"]) == ("complete", "all of it")


def test_an_end_that_is_never_taken_is_told(reader, script, monkeypatch):
    def refused(answer, values):
        raise peewee.OperationalError("the database is away")

    monkeypatch.setattr(record, "_end", refused)
    monkeypatch.setattr(keeper, "_PATIENCE", 0.5)
    script.events = [Delta("all of it"), Done("stop")]
    conversation = reader.conversation()
    with reader.send(f"/c/{conversation}/messages", {"text": "x"}) as answer:
        assert "not_saved" in answer.text and "Copy it" in answer.text
