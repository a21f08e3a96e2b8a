"""Files of conversations come in whole or not at all, from three programs, on both databases."""

import base64
import io
import json
import re
import time
from contextlib import suppress
from html import unescape
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from apiary import database
from apiary.host import exports, foreign, imports
from apiary.host.tables import Attachment, Conversation, Message
from tests.host.browsing import Browser, events, rows
from tests.host.test_host_attachments import PNG, SEES, kept

EXPORTS = Path(__file__).parent / "exports"


def bring(browser: Browser, data: bytes | str, name: str = "a.json") -> str:
    """Import a file as the page does; what the page says then."""
    data = data.encode() if isinstance(data, str) else data
    with upload(browser, f'name="file"; filename="{name}"', data) as done:
        assert (done.status_code, done.location) == (303, "/account")
    with browser.get("/account", headers={"Accept": "text/html"}) as page:
        said = re.search(r'role="status">([^<]*)<', page.get_data(as_text=True))
    assert said
    return unescape(said[1])


def upload(browser: Browser, field: str, data: bytes) -> TestResponse:
    # Written by hand: the test client forgets to close the file that it keeps large ones in.
    parts = [('name="csrf_token"', browser.token().encode()), (field, data)]
    body = b"".join(
        b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (name.encode(), value)
        for name, value in parts
    )
    return browser.client.post(
        "/account/import",
        data=body + b"--x--\r\n",
        content_type="multipart/form-data; boundary=x",
        headers={"Accept": "text/html"},
    )


def everything(browser: Browser) -> list[dict]:
    with browser.get("/account/export") as export:
        return json.loads(export.data)["conversations"]


def bare(talks: list[dict]) -> list[dict]:
    """Without ids: those are new on each site. Parents by the text that they hold."""

    def plain(talk: dict) -> dict:
        both = [*talk["messages"], *talk.get("other_branches", [])]
        text = {message["id"]: message["text"] for message in both}
        for message in both:
            message["parent"] = text.get(message["parent"])
            del message["id"]
        return {name: value for name, value in talk.items() if name != "id"}

    return [plain(talk) for talk in talks]


def test_our_own_export_comes_back_equal(chatter, host):
    one, two = chatter.conversation(), chatter.conversation()
    chatter.ask("First <b>question</b>", one, model="sandbox/echo")
    chatter.ask("And a second one", one, model="sandbox/echo")
    with chatter.send(f"/c/{one}/retry", {"model": "sandbox/echo"}) as again:
        # To its end: what still runs comes back as broken off.
        assert events(again)[-1].kind == "done"
    chatter.ask("Of another", two, model="sandbox/error-402")
    chatter.send(f"/c/{two}/pin").close()
    chatter.send(f"/c/{one}/instructions", {"text": "Answer as a bee."}).close()
    with chatter.get("/account/export") as export:
        data = export.data
    before = everything(chatter)
    other = Browser(host)
    said = bring(other, data)
    assert said.startswith("Imported 2 conversations with "), said
    assert said.endswith("from Apiary.")
    after = everything(other)
    assert {talk["id"] for talk in after}.isdisjoint(talk["id"] for talk in before)
    assert bare(after) == bare(before)
    again = bring(other, data)
    assert again == "Imported 0 conversations. Skipped: 2 already here."
    assert bring(chatter, data) == again, "nor beside the originals"
    with other.get("/search?q=question", headers={"Accept": "application/json"}) as found:
        assert len(found.json["results"]) == 1, "and can be searched"


def test_one_conversation_of_ours(chatter, host):
    one = chatter.conversation()
    chatter.ask("Alone", one, model="sandbox/echo")
    with chatter.get(f"/c/{one}/export.json") as export:
        assert bring(Browser(host), export.data).startswith("Imported 1 conversation with 2")


def test_chatgpt(browser):
    data = (EXPORTS / "chatgpt.json").read_bytes()
    assert bring(browser, data) == (
        "Imported 1 conversation with 2 messages from ChatGPT."
        " Skipped: 1 without messages, 1 pictures or files."
    )
    (talk,) = everything(browser)
    assert (talk["title"], talk["created"]) == ("Hexagons", "2024-05-29T16:26:40+00:00")
    question, answer = talk["messages"]
    assert (question["role"], question["text"]) == ("user", "Why hexagons?")
    assert answer["text"] == "```\nprint(6)\n```\n\nBecause they need **the least wax**."
    assert (answer["model"], answer["reasoning"]) == ("gpt-4o", "Least wax wins.")
    assert "already here" in bring(browser, data)


def test_open_webui(browser):
    data = (EXPORTS / "open-webui.json").read_bytes()
    assert bring(browser, data) == (
        "Imported 1 conversation with 2 messages from Open WebUI. Skipped: 1 pictures or files."
    )
    (talk,) = everything(browser)
    assert (talk["title"], talk["pinned"]) == ("Honey cake", True)
    assert talk["updated"] == "2024-07-03T09:46:49+00:00"
    answer = talk["messages"][1]
    assert (answer["text"], answer["reasoning"]) == ("Take **honey**.", "Sweet things first.")
    assert answer["model"] == "llama3.2:3b"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "Choose a file"),
        (b"PK\x03\x04zip", "ZIP"),
        (b"not json", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"[" + b"{}," * 1_600_000 + b"{}]", "too many entries"),
        (b"[" + b"1.5," * 1_100_000 + b"1]", "too many entries"),
        (b"1" * 5000, "no JSON"),
        (b"[]", "no conversations"),
        (b"{}", "no conversations"),
        (b"null", "no conversations"),
        (b'"text"', "no conversations"),
        (b"[1, null, {}, []]", "no conversations"),
        (b'{"conversations": 7}', "no conversations"),
        (b" " * (imports.LARGEST_FILE + 1), "larger than 20 MB"),
    ],
    ids=range(16),
)
def test_what_is_none_is_refused(make_host, data, said):
    browser = Browser(make_host())
    assert said in bring(browser, data)
    assert rows(browser.app, Conversation) == 0


def test_what_is_far_too_large_is_not_even_read(host, monkeypatch):
    monkeypatch.setattr(imports, "LARGEST_FILE", 1000)
    assert "larger than 20 MB" in bring(Browser(host), b" " * 100_000)


HOSTILE = [
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**400, "", "\0", "\ud800", "x" * 300,
    [], {}, [[]], {"a": {}}, "<script>alert(1)</script>", "../../etc", "a" * 70,
]  # fmt: skip


def test_any_value_in_any_place(host):
    """Each field of each form, one after the other, becomes each odd value: nothing breaks."""
    chatter = Browser(host)
    chatter.token()
    chatter.conversation()
    ours = {
        "id": "1", "title": "t", "instructions": "i",
        "created": "2024-01-01T00:00:00+00:00", "updated": "2024-01-02",
        "messages": [{"id": "m", "parent": None, "role": "assistant", "text": "hi",
            "state": "complete", "reasoning": "r", "provider": "openrouter", "model": "a/b",
            "prompt_tokens": 1, "completion_tokens": 2, "cost_usd": 0.1, "error": "e",
            "attachments": [{"name": "a.png"}],
            "created": "2024-01-01T00:00:00+00:00"}],
        "other_branches": [{"id": "n", "parent": "m", "role": "user", "text": "x"}],
    }  # fmt: skip
    forms = [ours]
    for name in ("chatgpt", "open-webui"):
        forms.append(json.loads((EXPORTS / f"{name}.json").read_text())[0])
    with host.app_context(), database.connection_context():
        tried = 0
        for form in forms:
            for place in places(form):
                for value in HOSTILE:
                    changed = json.loads(json.dumps(form))
                    put(changed, place, value)
                    list(foreign.talks([changed]))
                    tried += 1
                    if tried % 9:
                        continue  # the database is slow
                    with database.atomic() as undo:
                        with suppress(imports.Refused):
                            imports._store("ada", [changed])
                        undo.rollback()
        assert tried > 1000
        assert Message.select().count() == 0


def places(value, at=()):
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*at, key)
        if isinstance(child, dict | list):
            yield from places(child, (*at, key))


def put(value, place, new):
    for key in place[:-1]:
        value = value[key]
    value[place[-1]] = new


def test_circles_end():
    mapping = {
        name: {"parent": up, "message": {"author": {"role": "user"},
            "content": {"content_type": "text", "parts": [name]}}}
        for name, up in (("a", "b"), ("b", "a"))
    }  # fmt: skip
    (talk,) = foreign.talks([{"mapping": mapping, "current_node": "a"}])
    assert [turn.text for turn in talk.turns] == ["b", "a"]
    rows = [{"id": "a", "parent": "b", "role": "user", "text": "1"}]
    circle = {"messages": rows, "other_branches": [{**rows[0], "id": "b", "parent": "a"}]}
    (talk,) = foreign.talks(circle)
    assert imports._in_order(talk)[0] == []


def test_an_answer_in_very_many_pieces_takes_no_square_of_time():
    texts = ["x" * 4_000_000, *["y"] * 40_000]
    pieces = [{"role": "assistant", "content": text} for text in texts]
    began = time.process_time()
    (talk,) = foreign.talks([{"chat": {"messages": pieces}}])
    assert time.process_time() - began < 2
    assert talk and [turn.text for turn in talk.turns] == ["x" * 4_000_000 + "\n\ny" * 40_000]


def test_in_one_transaction(host, monkeypatch):
    browser = Browser(host)
    taken = imports._take

    def stumble(owner, talk, report):
        taken(owner, talk, report)
        if talk.title == "3":
            raise imports.Refused("Stumbled.")

    monkeypatch.setattr(imports, "_take", stumble)
    talk = {"messages": [{"role": "user", "text": "hi"}]}
    assert "Stumbled" in bring(browser, json.dumps([{**talk, "title": str(n)} for n in range(5)]))
    assert rows(host, Conversation) == rows(host, Message) == 0


def test_an_import_never_sends_nor_counts_as_spent(chatter):
    talk = {
        "title": "Waiting",
        "messages": [{"role": "user", "text": "buy", "state": "waiting", "payer": "key"}],
    }
    bring(chatter, json.dumps(talk))
    with chatter.get("/") as page:
        assert page.status_code == 200, "no question waits to be sent"
    (found,) = everything(chatter)
    assert found["messages"][0]["state"] == "sent"


def test_only_to_whom_it_belongs(host):
    ada, eve = Browser(host), Browser(host)
    data = (EXPORTS / "chatgpt.json").read_bytes()
    bring(ada, data)
    assert bring(eve, data).startswith("Imported 1"), "what others have is no hindrance"
    assert everything(ada)[0]["id"] != everything(eve)[0]["id"]


def test_the_token_counts_for_files_too(host):
    browser = Browser(host)
    browser.token()
    with browser.client.post(
        "/account/import", data={"file": (io.BytesIO(b"[]"), "a.json")}
    ) as refused:
        assert refused.status_code == 400
    with upload(browser, 'name="file"', b"x" * 3_000_000) as done:
        assert done.status_code == 303, "a field is not a file"
    assert rows(host, Conversation) == 0


def test_files_come_along(host, chatter, monkeypatch):
    image, text = kept(chatter, PNG), kept(chatter, b"honey", "notes.txt")
    talk = chatter.conversation()
    chatter.ask("look", talk, model=SEES, attachments=[image, text])
    first = chatter.messages(talk)[0]["id"]
    chatter.ask("look again", talk, edit=first, attachments=[image])
    with chatter.get(f"/c/{talk}/export.json") as export:
        data = export.data
    shown = json.loads(data)["messages"][0]["attachments"]
    assert shown[0].items() >= {"name": "bee.png", "type": "image/png", "size": len(PNG)}.items()
    assert base64.b64decode(shown[0]["content"]) == PNG
    other = Browser(host)
    other.token()
    other.conversation()
    assert "Skipped" not in bring(other, data)
    assert rows(host, Attachment) == 4, "the image of two messages is kept once more, not twice"
    (there,) = [talk for talk in everything(other) if talk["messages"]]
    names = lambda row: [file["name"] for file in row["attachments"]]  # noqa: E731
    assert names(there["messages"][0]) == ["bee.png"]
    assert sorted(map(names, there["other_branches"][::2])) == [["bee.png", "notes.txt"]]
    with other.get(f"/attachments/{there['messages'][0]['attachments'][0]['id']}") as again:
        assert (again.status_code, again.data) == (200, PNG)
    with other.get(f"/attachments/{image}") as stolen:
        assert stolen.status_code == 404
    monkeypatch.setattr(exports, "FILES", len(PNG))
    with chatter.get(f"/c/{talk}/export.json") as export:
        shown = json.loads(export.data)
    held = [
        f for m in shown["messages"] + shown["other_branches"] for f in m.get("attachments", ())
    ]
    assert [bool(file.get("content")) for file in held] == [True, False, False]


def test_files_that_are_none_are_left_out(host, monkeypatch):
    browser = Browser(host)
    browser.token()
    browser.conversation()
    files = [
        {"name": "no.png", "content": base64.b64encode(b"\0\1").decode()},
        {"name": "bad.png", "content": "%%%"},
        {"name": "far.png", "type": "image/png", "size": 5},
        {"name": "../ok.txt", "type": "image/svg+xml", "content": "aG9uZXk="},
    ]
    row = {"role": "user", "text": "x", "attachments": files * 4}
    assert "Skipped: 14 pictures or files." in bring(browser, json.dumps({"messages": [row]}))
    (talk,) = [talk for talk in everything(browser) if talk["messages"]]
    (first, *_) = talk["messages"][0]["attachments"]
    assert (first["name"], first["type"]) == ("ok.txt", "text/plain")
    monkeypatch.setattr(imports, "_MOST_FILES", 1)
    again = {"title": "Another", "messages": [row]}
    assert "Skipped: 15 pictures or files." in bring(browser, json.dumps(again))
