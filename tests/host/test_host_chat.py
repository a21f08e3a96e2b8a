"""One question and its answer, over the wire, against the sandbox."""

import re
import time

import pytest

from apiary import database
from apiary.host import conversations
from apiary.host.tables import Conversation, Message
from tests.host.browsing import Browser, each_event, events, text_of, until


def test_an_answer_streams_and_is_kept(chatter):
    conversation = chatter.conversation()
    found = chatter.ask("Hello there", conversation, model="sandbox/echo")
    assert text_of(found) == "Hello there"
    kinds = [event.kind for event in found]
    assert set(kinds) == {"delta", "usage", "done"}
    assert kinds[0] == "delta" and kinds[-1] == "done"
    first = found[0].id
    assert [event.id for event in found] == list(range(first, first + len(found)))
    assert found[-1].data["finish_reason"] == "stop"
    question, answer = chatter.messages(conversation)
    assert (question["state"], answer["state"]) == ("sent", "complete")
    assert answer["text"] == "Hello there"
    assert answer["prompt_tokens"] > 0 and answer["cost_usd"] >= 0
    with chatter.get(f"/c/{conversation}") as page:
        assert "Hello there" in page.get_data(as_text=True)


def test_a_stream_is_not_buffered_or_stored_on_its_way(chatter):
    with chatter.send(f"/c/{chatter.conversation()}/messages", {"text": "hi"}) as answer:
        assert answer.mimetype == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.is_streamed
        events(answer)


def test_reasoning_is_apart_from_the_answer(chatter):
    conversation = chatter.conversation()
    found = chatter.ask("Think", conversation, model="sandbox/reasoning")
    assert [e.kind for e in found].index("reasoning") < [e.kind for e in found].index("delta")
    answer = chatter.messages(conversation)[-1]
    assert answer["reasoning"] and answer["reasoning"] not in answer["text"]


def test_line_breaks_and_odd_characters_arrive_as_they_were(chatter):
    text = "a\nb\r\n\r\ndata: x\u2028y\u0085z 🐝\0"
    conversation = chatter.conversation()
    found = chatter.ask(text, conversation, model="sandbox/echo")
    expected = text.replace("\r\n", "\n").replace("\0", "\ufffd")
    assert text_of(found) == expected
    assert chatter.messages(conversation)[-1]["text"] == expected


def test_the_first_question_names_the_conversation(chatter):
    conversation = chatter.conversation()
    chatter.ask("  A\nlong   question " + "x" * 90, conversation, model="sandbox/echo")
    with chatter.get(f"/c/{conversation}/export.md") as export:
        title = export.get_data(as_text=True).splitlines()[0].removeprefix("# ")
    assert title.startswith("A long question xxx") and len(title) <= 60


def test_what_was_said_before_is_sent_along(chatter, sandbox):
    conversation = chatter.conversation()
    chatter.ask("First", conversation, model="sandbox/echo")
    chatter.ask("Second", conversation)
    sent = [entry.body for entry in sandbox.state.journal.chats()]
    assert [(m["role"], m["content"]) for m in sent[-1]["messages"]] == [
        ("user", "First"),
        ("assistant", "First"),
        ("user", "Second"),
    ]
    assert sent[-1]["model"] == "sandbox/echo"


def test_the_history_is_bounded():
    rows = [
        Message(role=("user", "assistant")[n % 2], text="x" * 60_000, state="complete")
        for n in range(7)
    ]
    kept = conversations.history(rows)
    assert [m["role"] for m in kept] == ["user", "assistant", "user"]
    assert len(conversations.history([Message(role="user", text="x" * 900_000)])) == 1


@pytest.mark.parametrize(
    ("model", "code", "action"),
    [
        ("sandbox/error-400", "request_refused", ""),
        ("sandbox/error-401", "key_rejected", "reconnect"),
        ("sandbox/error-402", "out_of_credit", "credits"),
        ("sandbox/error-403-moderation", "forbidden", None),
        ("sandbox/error-404", "model_gone", "pick_model"),
        ("sandbox/error-429", "rate_limited", "wait"),
        ("sandbox/error-503", "provider_down", "retry"),
    ],
)
def test_a_refusal_is_a_sentence_and_the_question_stays(chatter, model, code, action):
    conversation = chatter.conversation()
    found = chatter.ask("hello", conversation, model=model)
    assert [event.kind for event in found] == ["error"]
    assert found[0].data["code"] == code
    assert found[0].data["message"]
    if action is not None:
        assert found[0].data["action"] == action
    question, answer = chatter.messages(conversation)
    assert (question["text"], answer["state"]) == ("hello", "failed")
    with chatter.get(f"/c/{conversation}") as page:
        assert f'data-code="{code}"' in page.get_data(as_text=True)


def test_how_long_to_wait_is_told(chatter):
    found = chatter.ask("hello", model="sandbox/error-429")
    assert found[-1].data["retry_after"] == pytest.approx(7, abs=2)


@pytest.mark.parametrize("model", ["sandbox/cut", "sandbox/mid-error"])
def test_an_answer_that_breaks_off_is_kept(chatter, model):
    conversation = chatter.conversation()
    found = chatter.ask("hello", conversation, model=model)
    assert found[0].kind == "delta"
    assert found[-1].kind == "error"
    row = chatter.messages(conversation)[-1]
    assert row["state"] == "incomplete"
    assert row["text"] == text_of(found) != ""


def test_retry_replaces_the_failed_answer(chatter):
    conversation = chatter.conversation()
    chatter.ask("hello", conversation, model="sandbox/error-503")
    with chatter.send(f"/c/{conversation}/retry", {"model": "sandbox/echo"}) as again:
        assert text_of(events(again)) == "hello"
    assert [row["state"] for row in chatter.messages(conversation)] == ["sent", "complete"]


def test_retry_without_a_question(chatter):
    with chatter.send(f"/c/{chatter.conversation()}/retry") as refused:
        assert refused.status_code == 400
        assert refused.json["message"]


def test_a_rejected_key_is_not_asked_again(chatter, sandbox):
    conversation = chatter.conversation()
    chatter.ask("hello", conversation, model="sandbox/error-401")
    asked = len(sandbox.state.journal.chats())
    with chatter.send(f"/c/{conversation}/retry", {"model": "sandbox/echo"}) as refused:
        assert refused.status_code == 409
        assert refused.json["code"] == "key_rejected"
        assert refused.json["action"] == "reconnect"
    assert len(sandbox.state.journal.chats()) == asked
    assert chatter.messages(conversation)[-1]["state"] == "failed", "nothing was changed"


def test_nothing_connected_then_connected(browser, paste_key):
    conversation = browser.conversation()
    with browser.send(f"/c/{conversation}/messages", {"text": "hello"}) as refused:
        assert refused.status_code == 409
        assert refused.json == {
            "code": "not_connected",
            "message": "No brain connected yet. Pick a provider.",
            "action": "connect",
        }
    assert [row["state"] for row in browser.messages(conversation)] == ["waiting"]
    with browser.get("/") as page:
        assert page.status_code == 200
    browser.connect(paste_key)
    with browser.get("/") as page:
        assert page.status_code == 302
        assert page.location == f"/c/{conversation}"
    with browser.get(f"/c/{conversation}") as page:
        assert "data-waiting" in page.get_data(as_text=True)
    with browser.send(f"/c/{conversation}/retry", {"model": "sandbox/echo"}) as answer:
        assert text_of(events(answer)) == "hello"
    assert [row["state"] for row in browser.messages(conversation)] == ["sent", "complete"]
    with browser.get("/") as page:
        assert page.status_code == 200


def test_what_hindered_is_not_told_once_it_is_mended(host, paste_key):
    """Without scripts: the panel says it in place of the line, which then must not come later."""
    browser = Browser(host)
    with browser.form("/ask", text="hello") as sent:
        path = sent.location
    with browser.get(path, headers={"Accept": "text/html"}) as page:
        assert page.get_data(as_text=True).count("No brain connected yet") == 2, "panel and payer"
    browser.connect(paste_key)
    with browser.get(path, headers={"Accept": "text/html"}) as page:
        said = page.get_data(as_text=True)
    assert "Send the waiting message" in said and "No brain connected yet" not in said


def test_a_provider_that_is_not_connected_is_not_replaced(chatter):
    conversation = chatter.conversation()
    body = {"text": "hello", "provider": "anthropic", "model": "x"}
    with chatter.send(f"/c/{conversation}/messages", body) as refused:
        assert refused.status_code == 409
        assert refused.json["code"] == "not_connected"
        assert "Anthropic" in refused.json["message"]
    assert [row["state"] for row in chatter.messages(conversation)] == ["waiting"]


def test_the_default_model_and_then_the_last_one(chatter, sandbox):
    chatter.ask("hello")
    chatter.ask("hello", model="sandbox/echo")
    chatter.ask("hello")
    sent = [entry.body["model"] for entry in sandbox.state.journal.chats()]
    assert sent == ["openrouter/auto", "sandbox/echo", "sandbox/echo"]


def test_input_that_makes_no_sense_changes_nothing(chatter):
    conversation = chatter.conversation()
    for body in (
        {},
        {"text": ""},
        {"text": " \n "},
        {"text": 7},
        {"text": ["hello"]},
        {"text": "x" * 100_001},
        {"text": "x", "model": "two words"},
        {"text": "x", "model": "x" * 201},
        {"text": "x", "model": 7},
        {"text": "x", "provider": "../x"},
        {"text": "x", "max_tokens": -1},
        ["text"],
        "text",
    ):
        with chatter.send(f"/c/{conversation}/messages", body) as refused:
            assert refused.status_code == 400, body
            assert refused.json["message"].endswith("."), body
    assert chatter.messages(conversation) == []


def test_odd_addresses_are_not_found(chatter):
    for path in ("/c/%00", "/c/%ff", "/c/" + "x" * 5000, "/payer?conversation=%00"):
        assert chatter.get(path).status_code == 404, path
    assert chatter.get("/payer?provider=%00").status_code == 400
    for after in ("-1", "9" * 5000, "%00", "²"):
        conversation = chatter.conversation()
        assert chatter.get(f"/c/{conversation}/stream?after={after}").status_code == 204


def test_rename_delete_and_export(chatter):
    conversation = chatter.conversation()
    chatter.ask("hello", conversation, model="sandbox/echo")
    with chatter.send(f"/c/{conversation}/rename", {"title": "Bees\nand honey"}) as done:
        assert done.status_code == 204
    with chatter.get(f"/c/{conversation}/export.md") as export:
        assert export.headers["Content-Disposition"].startswith("attachment")
        assert "sandbox" in export.headers["Content-Security-Policy"]
        assert export.get_data(as_text=True).startswith("# Bees and honey\n")
    long = "A title that somebody wrote with care " * 6
    chatter.send(f"/c/{conversation}/rename", {"title": long}).close()
    with chatter.get(f"/c/{conversation}/export.md") as export:
        title = export.get_data(as_text=True).splitlines()[0].removeprefix("# ")
    assert title == long[:199].rstrip() + "…"
    with chatter.send(f"/c/{conversation}/rename", {"title": " "}) as refused:
        assert refused.status_code == 400
    with chatter.send(f"/c/{conversation}/delete") as done:
        assert done.status_code == 204
    assert chatter.get(f"/c/{conversation}").status_code == 404


def test_deleted_while_it_is_answered(chatter, host, slowly):
    conversation = chatter.conversation()
    with chatter.send(
        f"/c/{conversation}/messages", {"text": "x", "model": "sandbox/slow"}
    ) as answer:
        next(each_event(answer))
        chatter.send(f"/c/{conversation}/delete").close()
        until(lambda: not host.extensions["apiary.host"].answers.all_running())
    with host.app_context(), database.connection_context():
        assert [row.state for row in Message.select().order_by(Message.position)][1] == "stopped"


def test_an_answer_whose_process_died_is_shown_as_broken_off(chatter, host):
    conversation = chatter.conversation()
    chatter.ask("hello", conversation, model="sandbox/echo")
    with host.app_context(), database.connection_context():
        Message.update(state="streaming", text="half", saved=time.time()).where(
            Message.role == "assistant"
        ).execute()
    with chatter.send(f"/c/{conversation}/retry") as refused:
        assert refused.json["code"] == "busy", "it may run in another process"
    with host.app_context(), database.connection_context():
        Message.update(saved=time.time() - 60).where(Message.role == "assistant").execute()
    assert chatter.messages(conversation)[-1]["state"] == "incomplete"
    chatter.ask("and now?", conversation)
    assert [row["state"] for row in chatter.messages(conversation)] == [
        "sent",
        "incomplete",
        "sent",
        "complete",
    ]


def test_without_scripts(browser, paste_key):
    with browser.form("/ask", text="hello\r\nyou") as sent:
        assert sent.status_code == 303
        path = sent.location
    with browser.get(path) as page:
        body = page.get_data(as_text=True)
        assert "hello\nyou" in body
        assert "No brain connected yet" in body
    browser.connect(paste_key)
    with browser.get(path) as page:
        [waiting] = re.findall(rf'action="{path}/retry">.*?</form>', page.text, re.S)
        # Who pays is the one that the page names, also when another is there by then.
        assert 'name="provider" value="openrouter"' in waiting
    with browser.form(f"{path}/retry", model="sandbox/echo") as sent:
        assert (sent.status_code, sent.location) == (303, path)
    with browser.form(f"{path}/messages", text="more") as sent:
        assert (sent.status_code, sent.location) == (303, path)
    states = [row["state"] for row in browser.messages(path.removeprefix("/c/"))]
    assert states == ["sent", "complete", "sent", "complete"]
    with browser.form(f"{path}/delete") as sent:
        assert (sent.status_code, sent.location) == (303, "/")


def test_the_models_of_what_is_connected(chatter):
    with chatter.get("/models") as found:
        (entry,) = found.json["providers"]
        assert found.json["payer"]["kind"] == "key"
    assert (entry["name"], entry["label"], entry["stale"]) == ("openrouter", "OpenRouter", False)
    assert entry["problem"] is None and entry["fetched_at"] == pytest.approx(time.time(), abs=60)
    echo = next(m for m in entry["models"] if m["id"] == "sandbox/echo:free")
    assert echo["free"] is True and echo["prompt_price"] == 0
    assert set(echo) == {
        "id",
        "name",
        "context",
        "prompt_price",
        "completion_price",
        "free",
        "varies",
        "inputs",
    }


def test_reading_writes_nothing(host):
    stranger = Browser(host)
    for path in ("/", "/models", "/payer", "/account", "/settings/", "/sign-in", "/healthz"):
        stranger.get(path).close()
    with host.app_context(), database.connection_context():
        from apiary.host.tables import Account

        assert Account.select().count() == 0
        assert Conversation.select().count() == 0


def test_health(host):
    with host.test_client().get("/healthz") as answer:
        assert (answer.status_code, answer.json) == (200, {"status": "ok"})
        assert "Set-Cookie" not in answer.headers
