"""Edited questions and answers written anew stand beside the old ones."""

import pytest

from apiary import database
from apiary.host import branches
from apiary.host.tables import Conversation, Message
from tests.host.browsing import Browser, each_event, events, rows, text_of


def texts(browser: Browser, conversation: str) -> list[str]:
    return [row["text"] for row in browser.messages(conversation)]


def export(browser: Browser, conversation: str) -> dict:
    with browser.get(f"/c/{conversation}/export.json") as found:
        return found.json


@pytest.fixture
def talk(chatter) -> str:
    """Two questions and their answers."""
    conversation = chatter.conversation()
    chatter.ask("one", conversation, model="sandbox/echo")
    chatter.ask("two", conversation)
    return conversation


def test_an_edited_question_makes_a_branch(chatter, talk, sandbox, host):
    first, _, second, _ = chatter.messages(talk)
    assert second["parent"] == chatter.messages(talk)[1]["id"]
    chatter.ask("zwei", talk, edit=second["id"])
    assert texts(chatter, talk) == ["one", "one", "zwei", "zwei"]
    sent = [m["content"] for m in sandbox.state.journal.chats()[-1].body["messages"]]
    assert sent == ["one", "one", "zwei"], "the model sees the path, and nothing beside it"
    chatter.ask("uno", talk, edit=first["id"])
    assert texts(chatter, talk) == ["uno", "uno"]
    assert rows(host, Message) == 8, "nothing was deleted"
    found = export(chatter, talk)
    assert [m["text"] for m in found["messages"]] == ["uno", "uno"]
    assert [m["text"] for m in found["other_branches"]] == [
        "one",
        "one",
        "two",
        "two",
        "zwei",
        "zwei",
    ]
    with chatter.get(f"/c/{talk}/export.md") as text:
        assert "zwei" not in text.get_data(as_text=True)
    chatter.ask("due", talk)
    assert texts(chatter, talk) == ["uno", "uno", "due", "due"]


def test_switching_shows_the_newest_path_through_a_message(chatter, talk):
    first, _, second, answer = chatter.messages(talk)
    chatter.ask("uno", talk, edit=first["id"])
    with chatter.send(f"/c/{talk}/path", {"message_id": first["id"]}) as done:
        assert done.status_code == 204
    assert texts(chatter, talk) == ["one", "one", "two", "two"]
    with chatter.get(f"/c/{talk}") as page:
        body = page.get_data(as_text=True)
    assert "1 / 2" in body and body.count("data-role=") >= 4
    chatter.ask("three", talk)
    assert texts(chatter, talk)[-2:] == ["three", "three"]
    with chatter.form(f"/c/{talk}/path", message_id=second["id"]) as done:
        assert (done.status_code, done.location) == (303, f"/c/{talk}#m-{second['id']}")
    chatter.ask("after the answer", talk, parent=answer["id"])
    assert texts(chatter, talk)[3:] == ["two", "after the answer", "after the answer"]


def test_an_answer_written_anew_stands_beside_the_old_one(chatter, talk):
    with chatter.send(f"/c/{talk}/retry", {"model": "sandbox/reasoning"}) as again:
        assert text_of(events(again)) == "After some thought: two"
    found = export(chatter, talk)
    assert [m["text"] for m in found["other_branches"]] == ["two"]
    assert found["messages"][-1]["model"] == "sandbox/reasoning"
    early = found["messages"][1]["id"]
    with chatter.send(f"/c/{talk}/retry", {"message_id": early, "model": "sandbox/echo"}) as again:
        events(again)
    assert texts(chatter, talk) == ["one", "one"]
    assert len(export(chatter, talk)["other_branches"]) == 4
    question = found["messages"][2]["id"]
    with chatter.send(f"/c/{talk}/retry", {"message_id": question}) as again:
        events(again)
    assert texts(chatter, talk) == ["one", "one", "two", "two"]


def test_a_failure_that_is_followed_by_a_question_stays(chatter):
    conversation = chatter.conversation()
    chatter.ask("one", conversation, model="sandbox/error-503")
    chatter.ask("two", conversation, model="sandbox/echo")
    first = chatter.messages(conversation)[0]["id"]
    with chatter.send(f"/c/{conversation}/retry", {"message_id": first}) as again:
        events(again)
    assert texts(chatter, conversation) == ["one", "one"]
    assert len(export(chatter, conversation)["other_branches"]) == 3


def test_what_is_not_here_is_refused_and_changes_nothing(chatter, talk, host):
    other = chatter.conversation()
    chatter.ask("elsewhere", other)
    foreign = chatter.messages(other)[0]["id"]
    answer = chatter.messages(talk)[1]["id"]
    for body in ({"edit": foreign}, {"parent": foreign}, {"edit": answer}):
        with chatter.send(f"/c/{talk}/messages", {"text": "x", **body}) as refused:
            assert (refused.status_code, refused.json["code"]) == (404, "no_message"), body
    for path in ("retry", "path"):
        with chatter.send(f"/c/{talk}/{path}", {"message_id": foreign}) as refused:
            assert (refused.status_code, refused.json["code"]) == (404, "no_message")
    for body in ({}, {"message_id": 7}, {"message_id": "a b"}):
        with chatter.send(f"/c/{talk}/path", body) as refused:
            assert refused.status_code == 400
    assert texts(chatter, talk) == ["one", "one", "two", "two"]
    assert rows(host, Message) == 6


def test_no_switching_while_an_answer_is_written(chatter, talk, slowly):
    first = chatter.messages(talk)[0]["id"]
    with chatter.send(f"/c/{talk}/messages", {"text": "n", "model": "sandbox/slow"}) as answer:
        next(each_event(answer))
        with chatter.send(f"/c/{talk}/path", {"message_id": first}) as refused:
            assert refused.json["code"] == "busy"
        chatter.send(f"/c/{talk}/stop").close()


def test_an_edit_that_nothing_can_answer_waits(browser, paste_key):
    conversation = browser.conversation()
    browser.send(f"/c/{conversation}/messages", {"text": "hello"}).close()
    first = browser.messages(conversation)[0]["id"]
    body = {"text": "hello you", "edit": first}
    with browser.send(f"/c/{conversation}/messages", body) as refused:
        assert refused.json["code"] == "not_connected"
    assert [(r["text"], r["state"]) for r in browser.messages(conversation)] == [
        ("hello you", "waiting")
    ]
    browser.connect(paste_key)
    with browser.send(f"/c/{conversation}/retry", {"model": "sandbox/echo"}) as answer:
        assert text_of(events(answer)) == "hello you"


def test_rows_from_before_branches_are_one_path(chatter, talk, host):
    with host.app_context(), database.connection_context():
        Message.update(parent=None).execute()
        Conversation.update(head=None).execute()
    assert texts(chatter, talk) == ["one", "one", "two", "two"]
    second = chatter.messages(talk)[2]["id"]
    chatter.ask("zwei", talk, edit=second)
    assert texts(chatter, talk) == ["one", "one", "zwei", "zwei"]
    with chatter.send(f"/c/{talk}/path", {"message_id": second}) as done:
        assert done.status_code == 204
    assert texts(chatter, talk) == ["one", "one", "two", "two"]


def test_no_walk_goes_in_circles():
    made = [
        Message(id="a", role="user", parent="c", position=0),
        Message(id="b", role="assistant", parent="b", position=1),
        Message(id="c", role="user", parent="a", position=2),
    ]
    assert [row.id for row in branches.path(made, "c")] == ["a", "c"]
    assert branches.leaf(made, "a") == "c"
    assert branches.path([], "x") == []


def test_a_question_that_is_sent_twice_is_asked_once(chatter, sandbox, host):
    conversation = chatter.conversation()
    sent = {"id": "made-by-the-page-1234", "model": "sandbox/echo"}
    first = chatter.ask("hello", conversation, **sent)
    again = chatter.ask("hello", conversation, **sent)
    assert text_of(again) == text_of(first) == "hello"
    assert again[-1].data["message_id"] == first[-1].data["message_id"]
    host.extensions["apiary.host"].answers._by_conversation.clear()
    assert text_of(chatter.ask("hello", conversation, **sent)) == "hello", "from the database"
    assert len(sandbox.state.journal.chats()) == 1
    assert chatter.messages(conversation)[0]["id"] == sent["id"]
    body = {"text": "hello", **sent}
    with chatter.send(f"/c/{chatter.conversation()}/messages", body) as refused:
        assert refused.json["code"] == "busy", "the id is taken in another conversation"
    for odd in ("short", "x" * 65, "with a space in the id", 7):
        with chatter.send(f"/c/{conversation}/messages", {"text": "x", "id": odd}) as refused:
            assert refused.status_code == 400


def test_a_question_that_waited_is_asked_when_it_comes_again(browser, paste_key):
    conversation = browser.conversation()
    body = {"text": "hello", "id": "made-by-the-page-1234", "model": "sandbox/echo"}
    path = f"/c/{conversation}/messages"
    for _ in range(2):
        with browser.send(path, body) as refused:
            assert refused.json["code"] == "not_connected"
    browser.connect(paste_key)
    with browser.send(path, body) as answer:
        assert text_of(events(answer)) == "hello"
    assert len(browser.messages(conversation)) == 2
