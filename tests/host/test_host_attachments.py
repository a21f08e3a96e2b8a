"""Images and text files that go with a message."""

import base64
import time

import pytest

from apiary import database
from apiary.host import attachments
from apiary.host.orders import Refusal
from apiary.host.tables import Attachment, Conversation, Message
from tests.host.browsing import Browser, events, rows

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
#: A model of the sandbox that reads images.
SEES = "openai/gpt-4o"
JPEG, GIF = b"\xff\xd8\xff\xe0 and more", b"GIF89a and more"
WEBP = b"RIFF\x10\0\0\0WEBPVP8 and more"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def upload(browser: Browser, data: bytes, name: str = "bee.png"):
    return browser.client.post(
        "/attachments",
        query_string={"name": name},
        data=data,
        content_type="application/octet-stream",
        headers={"X-CSRFToken": browser.token(), "Accept": "application/json"},
    )


def kept(browser: Browser, data: bytes, name: str = "bee.png") -> str:
    with upload(browser, data, name) as done:
        assert done.status_code == 201, done.get_data(as_text=True)
        found: str = done.json["id"]
        return found


def last(sandbox) -> list:
    return sandbox.state.journal.chats()[-1].body["messages"]


@pytest.mark.parametrize(
    ("data", "kind", "mime"),
    [
        (PNG, "image", "image/png"),
        (JPEG, "image", "image/jpeg"),
        (GIF, "image", "image/gif"),
        (WEBP, "image", "image/webp"),
        ("Grüße".encode(), "text", "text/plain; charset=utf-8"),
        (SVG, "text", "text/plain; charset=utf-8"),
        (b"<html><script>alert(1)</script>", "text", "text/plain; charset=utf-8"),
    ],
)
def test_what_is_taken_and_how_it_is_shown(chatter, data, kind, mime):
    with upload(chatter, data, 'a/"b\r\n.png') as done:
        assert (done.status_code, done.json["kind"], done.json["size"]) == (201, kind, len(data))
        assert done.json["name"] == '"b.png'
    with chatter.get(f"/attachments/{done.json['id']}") as shown:
        assert (shown.data, shown.content_type) == (data, mime)
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
        assert shown.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert shown.headers["Cache-Control"] == "no-store"
        way = shown.headers["Content-Disposition"]
        assert way.startswith("inline" if kind == "image" else "attachment") and "\n" not in way


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"\0\1\2",
        b"\xff\xfe\x00",
        b"%PDF-1.7 \xe2\xe3",
        b"RIFF1234WAVE\xff",
        b"x" * 200_001,
    ],
)
def test_what_is_not_taken(chatter, host, data):
    with upload(chatter, data) as refused:
        assert refused.status_code == 400
        assert refused.json["message"].endswith(".")
    assert rows(host, Attachment) == 0


def test_sizes_are_bounded(chatter, monkeypatch):
    monkeypatch.setattr(attachments, "LARGEST_SUM", 12 * 1024 * 1024)
    most = PNG + b"\0" * (attachments.LARGEST_IMAGE - len(PNG))
    with upload(chatter, most + b"\0") as refused:
        assert refused.status_code == 400 and "5 MB" in refused.json["message"]
    with upload(chatter, most + b"\0" * 5000) as refused:
        assert refused.status_code == 413
    first = kept(chatter, most)
    kept(chatter, most)
    with upload(chatter, most) as refused:
        assert refused.status_code == 400 and "50 MB" in refused.json["message"]
    chatter.send(f"/attachments/{first}/delete").close()
    kept(chatter, most)


def test_an_image_and_a_text_go_to_the_model(chatter, sandbox, host):
    conversation = chatter.conversation()
    image = kept(chatter, PNG)
    text = kept(chatter, b"\xef\xbb\xbfuse ``` here", "notes.txt")
    chatter.ask("look", conversation, model=SEES, attachments=[image, text])
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert last(sandbox)[0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "notes.txt:\n````\nuse ``` here\n````"},
    ]
    chatter.ask("and now", conversation)
    assert len(last(sandbox)[0]["content"]) == 3, "they stay in the history"
    question = chatter.messages(conversation)[0]
    assert [a["name"] for a in question["attachments"]] == ["bee.png", "notes.txt"]
    with chatter.get(f"/c/{conversation}") as page:
        body = page.get_data(as_text=True)
    assert f'src="/attachments/{image}"' in body and "notes.txt" in body
    chatter.ask("look again", conversation, edit=question["id"], attachments=[image])
    assert len(last(sandbox)[0]["content"]) == 2
    assert rows(host, Attachment) == 2, "branches share them"
    with chatter.send(f"/attachments/{image}/delete") as kept_on:
        assert kept_on.status_code == 204
    assert chatter.get(f"/attachments/{image}").status_code == 200, "it was sent"


def test_a_model_that_reads_text_only(chatter, sandbox):
    conversation = chatter.conversation()
    image = kept(chatter, PNG)
    body = {"text": "look", "model": "sandbox/echo", "attachments": [image]}
    with chatter.send(f"/c/{conversation}/messages", body) as refused:
        assert (refused.status_code, refused.json["code"]) == (409, "text_only")
        assert refused.json["action"] == "pick_model"
    assert chatter.messages(conversation) == []
    chatter.ask("look", conversation, model=SEES, attachments=[image])
    chatter.ask("and in words", conversation, model="sandbox/echo")
    assert last(sandbox)[0]["content"][1] == {
        "type": "text",
        "text": "[An image was here: bee.png]",
    }
    kept_text = kept(chatter, b"words")
    chatter.ask("a text", conversation, model="sandbox/echo", attachments=[kept_text])


def test_only_so_many_bytes_of_images_are_sent(chatter, sandbox, monkeypatch):
    monkeypatch.setattr(attachments, "_SENT", len(PNG) + 1)
    conversation = chatter.conversation()
    for word in ("first", "second"):
        ids = [kept(chatter, PNG, f"{word}.png")]
        chatter.ask(word, conversation, model=SEES, attachments=ids)
    kinds = [m["content"][1]["type"] for m in last(sandbox) if m["role"] == "user"]
    assert kinds == ["text", "image_url"]


def test_a_text_of_backticks_takes_no_square_of_time(chatter, sandbox):
    ids = [kept(chatter, b"x" * 100_000 + b"`" * 100_000, "ticks.txt")]
    began = time.process_time()
    chatter.ask("look", attachments=ids)
    assert time.process_time() - began < 5
    assert last(sandbox)[0]["content"][1]["text"].startswith(f"ticks.txt:\n{'`' * 100_001}\nxx")


def test_only_so_many_bytes_of_text_files_are_sent(chatter, sandbox, monkeypatch):
    monkeypatch.setattr(attachments, "_SENT_TEXT", 10)
    conversation = chatter.conversation()
    ids = [kept(chatter, b"word" * 2, "a.txt")]
    # The same file may go with any number of messages.
    for _ in range(3):
        chatter.ask("look", conversation, attachments=ids)
    parts = [m["content"][1]["text"] for m in last(sandbox) if m["role"] == "user"]
    assert parts == ["[A file was here: a.txt]"] * 2 + ["a.txt:\n```\nwordword\n```"]


def test_nobody_else_gets_at_them(chatter, host, paste_key):
    image = kept(chatter, PNG)
    other = Browser(host)
    other.connect(paste_key)
    assert other.get(f"/attachments/{image}").status_code == 404
    other.send(f"/attachments/{image}/delete").close()
    conversation = other.conversation()
    body = {"text": "x", "model": SEES, "attachments": [image]}
    with other.send(f"/c/{conversation}/messages", body) as refused:
        assert (refused.status_code, refused.json["code"]) == (404, "no_file")
    mine, second = chatter.conversation(), chatter.conversation()
    chatter.ask("x", mine, model=SEES, attachments=[image])
    with chatter.send(f"/c/{second}/messages", body) as refused:
        assert refused.json["code"] == "no_file", "it is part of another conversation"
    for odd in ("x" * 500, "%00", "nowhere"):
        assert chatter.get(f"/attachments/{odd}").status_code == 404


@pytest.mark.parametrize("ids", ["x", 7, {}, [7], ["a b"], ["x"] * 11])
def test_lists_that_make_no_sense(chatter, ids):
    body = {"text": "x", "attachments": ids}
    with chatter.send(f"/c/{chatter.conversation()}/messages", body) as refused:
        assert refused.status_code == 400


def test_a_question_that_waits_keeps_its_files(browser, paste_key, sandbox):
    conversation = browser.conversation()
    image = kept(browser, PNG)
    body = {"text": "look", "attachments": [image]}
    browser.send(f"/c/{conversation}/messages", body).close()
    browser.connect(paste_key)
    with browser.send(f"/c/{conversation}/retry", {"model": SEES}) as answer:
        events(answer)
    assert last(sandbox)[0]["content"][1]["type"] == "image_url"


def test_they_go_with_the_conversation_and_the_account(chatter, host):
    with host.app_context(), database.connection_context():
        from apiary.host import conversations
        from apiary.host.tables import Conversation
    conversation = chatter.conversation()
    ids = [kept(chatter, PNG)]
    chatter.ask("x", conversation, model=SEES, attachments=ids)
    kept(chatter, PNG)
    with host.app_context(), database.connection_context():
        conversations.delete(Conversation.get_by_id(conversation))
    assert rows(host, Attachment) == 1
    with host.app_context(), database.connection_context():
        Attachment.update(created=time.time() - 90_000).execute()
    kept(chatter, PNG)
    assert rows(host, Attachment) == 1, "what was never sent goes after a day"
    with chatter.form("/account/delete", sure="y") as done:
        assert done.status_code == 303
    assert rows(host, Attachment) == 0


def test_one_file_goes_to_one_conversation(chatter):
    """Two pages send it at the same moment: both have looked before either has bound it."""
    file = kept(chatter, PNG)
    with chatter.client.application.app_context(), database.connection_context():
        owner = Attachment.get_by_id(file).owner
        first, second = Conversation.create(owner=owner), Conversation.create(owner=owner)
        asked = [
            Message(conversation=c, role="user", attachments=attachments.claim(owner, c, [file]))
            for c in (first, second)
        ]
        attachments.bind(first, asked[0])
        with pytest.raises(Refusal, match="no_file"):
            attachments.bind(second, asked[1])
        assert Attachment.get_by_id(file).conversation_id == first.id


def test_an_image_needs_no_words(chatter, sandbox):
    conversation = chatter.conversation()
    with chatter.send(f"/c/{conversation}/messages", {"text": " ", "attachments": []}) as refused:
        assert refused.status_code == 400
    image = kept(chatter, PNG)
    chatter.ask("", conversation, model=SEES, attachments=[image])
    assert [part["type"] for part in last(sandbox)[0]["content"]] == ["image_url"]
    chatter.ask("and?", conversation)
    assert [part["type"] for part in last(sandbox)[0]["content"]] == ["image_url"]
    with chatter.get(f"/c/{conversation}/export.md") as export:
        text = export.get_data(as_text=True)
    assert text.startswith("# bee.png\n") and "## You\n\nFiles: `bee.png`\n" in text


def test_a_message_that_is_refused_binds_no_file(chatter, sandbox):
    image = kept(chatter, PNG)
    body = {"text": "look", "model": "sandbox/echo", "attachments": [image]}
    with chatter.send(f"/c/{chatter.conversation()}/messages", body) as refused:
        assert refused.json["code"] == "text_only"
    chatter.ask("look", model=SEES, attachments=[image])
    assert len(last(sandbox)[0]["content"]) == 2
