"""Answers whose process died are marked, whether or not anybody looks at them."""

import time

from apiary import database
from apiary.host import undertaker
from apiary.host.answers import Answer
from apiary.host.state import here
from apiary.host.tables import Conversation, Message


def running(text: str, ago: float) -> Message:
    conversation = Conversation.create(owner="ann")
    return Message.create(
        conversation=conversation.id,
        position=0,
        role="assistant",
        state="streaming",
        text=text,
        saved=time.time() - ago,
    )


def test_only_the_dead_are_marked(host):
    with host.app_context(), database.connection_context():
        begun, silent = running("some words", 60), running("", 60)
        fresh, ours = running("more", 1), running("mine", 60)
        answer = Answer(ours.id, ours.conversation_id, "ann")
        here().answers.open(answer)
        assert undertaker.sweep() == 2
        rows = {row.id: row for row in Message.select()}
        assert rows[begun.id].state == "incomplete" and rows[begun.id].text == "some words"
        assert rows[silent.id].state == "failed"
        assert {rows[row.id].error_code for row in (begun, silent)} == {"broken_off"}
        assert {rows[row.id].state for row in (fresh, ours)} == {"streaming"}
        assert undertaker.sweep() == 0
        answer.claim()
        answer.end("done", {})
