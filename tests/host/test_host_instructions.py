"""What a model is told before the first message."""

import pytest

from tests.host.browsing import Browser, events


def told(sandbox) -> list[str]:
    messages = sandbox.state.journal.chats()[-1].body["messages"]
    return [m["content"] for m in messages if m["role"] == "system"]


def keep(browser: Browser, path: str, text: object) -> int:
    with browser.send(path, {"text": text}) as done:
        return done.status_code


def test_a_conversations_own_goes_before_the_default(chatter, sandbox):
    conversation = chatter.conversation()
    own = f"/c/{conversation}/instructions"
    chatter.ask("hello", conversation, model="sandbox/echo")
    assert told(sandbox) == []
    assert keep(chatter, "/instructions", "Be kind.") == 204
    chatter.ask("hello", conversation)
    assert told(sandbox) == ["Be kind."]
    assert keep(chatter, own, "Be\r\nbrief.\0") == 204
    chatter.ask("hello", conversation)
    assert told(sandbox) == ["Be\nbrief.\ufffd"]
    assert keep(chatter, own, "") == 204
    chatter.ask("hello", conversation)
    assert told(sandbox) == [], "none at all is a choice too"
    assert keep(chatter, own, None) == 204
    with chatter.send(f"/c/{conversation}/retry") as again:
        events(again)
    assert told(sandbox) == ["Be kind."]
    assert keep(chatter, "/instructions", "") == 204
    chatter.ask("hello", conversation)
    assert told(sandbox) == []


def test_by_forms_and_on_the_page(chatter):
    conversation = chatter.conversation()
    own = f"/c/{conversation}/instructions"
    with chatter.form(own, text="Answer in <verse>") as done:
        assert (done.status_code, done.location) == (303, f"/c/{conversation}")
    with chatter.form("/instructions", text="Be kind") as done:
        assert done.status_code == 303
    with chatter.get(f"/c/{conversation}") as page:
        body = page.get_data(as_text=True)
    assert "Answer in &lt;verse&gt;</textarea>" in body and "Be kind</textarea>" in body
    with chatter.get(f"/c/{conversation}/export.json") as export:
        assert export.json["instructions"] == "Answer in <verse>"
    with chatter.get("/account/export") as export:
        assert export.json["account"]["instructions"] == "Be kind"
    with chatter.form(own, use="default", text="Answer in <verse>") as done:
        assert done.status_code == 303
    with chatter.get(f"/c/{conversation}/export.json") as export:
        assert export.json["instructions"] is None


@pytest.mark.parametrize("text", [7, ["x"], "x" * 20_001])
def test_what_cannot_be_kept(chatter, text):
    conversation = chatter.conversation()
    for path in ("/instructions", f"/c/{conversation}/instructions"):
        with chatter.send(path, {"text": text}) as refused:
            assert refused.status_code == 400
            assert refused.json["message"].endswith(".")
    assert keep(chatter, "/instructions", None) == 400
    assert keep(chatter, "/instructions", "x" * 20_000) == 204


def test_each_has_their_own(chatter, host, sandbox, paste_key):
    keep(chatter, "/instructions", "Be kind.")
    other = Browser(host)
    other.connect(paste_key)
    other.ask("hello", model="sandbox/echo")
    assert told(sandbox) == []


def test_a_guest_who_becomes_a_member_keeps_them(chatter, sandbox):
    keep(chatter, "/instructions", "Be kind.")
    chatter.sign_up("Ada")
    chatter.ask("hello", model="sandbox/echo")
    assert told(sandbox) == ["Be kind."]
