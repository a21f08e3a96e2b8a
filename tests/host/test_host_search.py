"""Full-text search: what is found, whose it is, what is shown of it; on both databases."""

import json
import random
import time

import pytest

from apiary import database
from apiary.host import conversations, search, shelf
from apiary.host.tables import Conversation, Message
from apiary.host.words import Query
from tests.host.browsing import Browser


def say(owner: str, *texts: str, title: str = "A talk") -> str:
    """A conversation as it is stored."""
    made = Conversation.create(owner=owner, title=title)
    for position, text in enumerate(texts):
        role = "assistant" if position % 2 else "user"
        Message.create(conversation=made, position=position, role=role, text=text, state="complete")
    return made.id


@pytest.fixture
def stored(host):
    with host.app_context(), database.connection_context():
        yield host


def ids(owner: str, text: str) -> list[str]:
    return [result.conversation for result in search.search(owner, text).results]


def joined(parts) -> str:
    return "".join(f"[{text}]" if hit else text for text, hit in parts)


def test_all_words_and_the_beginning_of_the_last(stored):
    bees = say("ada", "How do bees build their hexagons?", "With wax.")
    wasps = say("ada", "And the wasps? They build with paper.")
    assert ids("ada", "BUILD") == [wasps, bees], "the newest first"
    assert ids("ada", "build hexa") == [bees]
    assert ids("ada", "hexa build") == [], "only the last word may be unfinished"
    assert ids("ada", "hexa ") == [bees], "a space at the end changes nothing"
    assert ids("ada", '"paper build"') == [] and ids("ada", '"build with"') == [wasps]
    assert ids("ada", "w") == [], "one letter begins too much"
    assert ids("ada", "and-the") == [wasps]


def test_titles_are_found_too(stored):
    honey = say("ada", "Bees?", title="All about honey")
    (found,) = search.search("ada", "abou").results
    assert (found.conversation, found.message) == (honey, None)
    assert joined(found.title) == "All [about] honey"


def test_only_what_is_mine(stored):
    say("ada", "the secret word")
    assert ids("eve", "secret") == []
    assert ids("ADA", "secret") == [] and ids("ada ", "secret") == []
    assert ids('x" OR text:"secret', "secret") == []
    assert ids("it's", "secret") == [] and ids("a\\", "secret") == []
    assert ids("", "secret") == []


def test_what_moves_is_found_by_the_heir_alone(stored):
    moved = say("guest", "the moving word")
    conversations.move("guest", "ada")
    assert ids("ada", "moving") == [moved] and ids("guest", "moving") == []


def test_the_index_follows_the_messages(stored):
    at = say("ada", "first words", "an answer")
    Message.update(text="other things").where(Message.text == "first words").execute()
    assert ids("ada", "first") == [] and ids("ada", "things") == [at]
    Message.update(state="streaming", text="half").where(Message.text == "an answer").execute()
    assert ids("ada", "half") == [] and ids("ada", "answer") == [], "not while it is written"
    Message.update(text="half a sen").where(Message.text == "half").execute()
    Message.update(state="complete", text="half a sentence").where(
        Message.text == "half a sen"
    ).execute()
    assert ids("ada", "sentence") == [at]
    conversations.delete(Conversation.get_by_id(at))
    assert ids("ada", "sentence") == [] and ids("ada", "things") == []
    (left,) = database.execute_sql("SELECT count(*) FROM search_entry").fetchone()
    assert left == 0


ODD = [
    '"', "'", "*", "a*", "NEAR(", "AND", "OR NOT", "owner:ada", "text : x", "{a b}", "^a",
    "-a", "a:*", "!a", "a & | b", "<->", "\\", "%", "%s", "?", "\0", "\ud800", "((((", ":*",
    "a'b", 'a"b', "''; DROP TABLE message", "\u202e", "𝕒", "ﬁ", "½", "١٢", "1e5", "-1.5",
    "http://a.b/c?d", "a@b.c", "x" * 100_000, "a " * 5000, "ﷺ", "日本", "é", "e\u0301", "_", "a_b",
]  # fmt: skip


def test_any_text_is_a_search(stored):
    say("ada", "a b c")
    for text in ODD:
        search.search("ada", text)


def test_any_random_text_is_a_search(stored):
    chance = random.Random(1)
    for _ in range(300):
        text = "".join(
            chr(chance.choice([chance.randrange(1, 128), chance.randrange(1, 0x3000)]))
            for _ in range(12)
        )
        say("ada", text)
        search.search("ada", text)


def test_words_of_other_scripts_are_found(stored):
    at = say("ada", "Где пчёлы? Ελλάδα ÜBER naïve 日本語")
    for text in ("пчёлы", "ελλάδα", "über", "naïve", "日本", "Где"):
        assert ids("ada", text) == [at], text


def test_long_texts_do_not_break_the_index(stored):
    say("ada", " ".join(f"{n:x}" for n in range(300_000)) + " end")
    say("ada", "x" * 500_000)
    assert ids("ada", "1f") != []


def test_snippets():
    def show(query: str, text: str) -> str:
        return joined(Query.of(query).snippet(text))

    assert show("wax", "With\n\n wax, of  course.") == "With [wax], of course."
    far = show("needle", "hay " * 100 + "needle" + " hay" * 100)
    assert far.startswith("…hay hay") and "[needle]" in far and far.endswith("…")
    assert len(far) < 200
    assert show("cafe", "a Café") == "a [Café]"
    assert show("b", "a <b>b</b>") == "a <[b]>[b]</[b]>"
    assert show("nothing", "at all") == "at all"
    assert show("x", "") == ""
    assert show("hex", "hexagon") == "[hexagon]" and show('"hex"', "hexagon") == "hexagon"


def test_bounded(stored):
    for n in range(search.MOST + 5):
        say("ada", f"word number {n}")
    found = search.search("ada", "word")
    assert len(found.results) == search.MOST and found.more
    assert joined(found.results[0].snippet) == f"[word] number {n}"


def test_over_the_wire(chatter):
    conversation = chatter.conversation()
    chatter.ask("where is the honey?", conversation, model="sandbox/echo")
    with chatter.get("/search?q=hon", headers={"Accept": "application/json"}) as answer:
        (hit,) = answer.json["results"]
        assert hit["url"].startswith(f"/c/{conversation}#m-")
        assert ["honey", True] in hit["snippet"]
    with chatter.get("/search?q=hon", headers={"Accept": "text/html"}) as page:
        assert "<mark>honey</mark>" in page.get_data(as_text=True)
    for empty, said in (("", 'name="q"'), ("%20*", "letters or digits"), ("zebra", "Nothing of")):
        with chatter.get(f"/search?q={empty}", headers={"Accept": "text/html"}) as page:
            assert said in page.get_data(as_text=True)
    with Browser(chatter.app).get("/search?q=honey") as other:
        assert "honey?" not in other.get_data(as_text=True)


def test_markup_in_messages_stays_text(chatter):
    chatter.ask("<img src=x onerror=alert(1)> bee", model="sandbox/echo")
    with chatter.get("/search?q=bee", headers={"Accept": "text/html"}) as page:
        assert "<img src=x" not in page.get_data(as_text=True)


def test_what_is_deleted_is_hidden_and_comes_back(chatter, host, monkeypatch):
    conversation = chatter.conversation()
    chatter.ask("a word to find", conversation, model="sandbox/echo")

    def found() -> int:
        with chatter.get("/search?q=find", headers={"Accept": "application/json"}) as answer:
            return len(answer.json["results"])

    assert found() == 1
    chatter.send(f"/c/{conversation}/delete").close()
    assert found() == 0
    assert chatter.get(f"/c/{conversation}").status_code == 404
    assert chatter.get(f"/c/{conversation}/export.json").status_code == 404
    with chatter.get("/account/export") as export:
        assert json.loads(export.data)["conversations"] == []
    with Browser(host).send(f"/c/{conversation}/restore") as other:
        assert other.status_code == 404
    with chatter.send(f"/c/{conversation}/restore") as done:
        assert done.status_code == 204
    assert found() == 1
    with chatter.send(f"/c/{conversation}/restore") as again:
        assert again.status_code == 404, "there is nothing to undo"


def test_deleted_for_good_after_some_minutes(chatter, host, monkeypatch):
    conversation = chatter.conversation()
    chatter.ask("gone", conversation, model="sandbox/echo")
    chatter.send(f"/c/{conversation}/delete").close()
    chatter.get("/").close()
    later = time.time() + 301
    monkeypatch.setattr("apiary.host.shelf.time.time", lambda: later)
    chatter.get("/").close()
    with chatter.send(f"/c/{conversation}/restore") as done:
        assert done.status_code == 404
    with host.app_context(), database.connection_context():
        assert Message.select().count() == 0


def test_what_is_taken_back_meanwhile_is_not_deleted(chatter, host, monkeypatch):
    conversation = chatter.conversation()
    chatter.ask("kept", conversation, model="sandbox/echo")
    chatter.send(f"/c/{conversation}/delete").close()
    monkeypatch.setattr(shelf, "KEPT", -1.0)

    class Late:
        """In another tab, once it was looked for what is old enough."""

        def atomic(self):
            shelf.restore(Conversation.get_by_id(conversation).owner, conversation)
            return database.atomic()

    monkeypatch.setattr(shelf, "database", Late())
    chatter.get("/").close()
    assert [message["text"] for message in chatter.messages(conversation)] == ["kept", "kept"]


def test_pinned_first(chatter):
    old, new = chatter.conversation(), chatter.conversation()
    chatter.ask("old one", old, model="sandbox/echo")
    chatter.ask("new one", new, model="sandbox/echo")

    def order() -> list[str]:
        with chatter.get("/") as page:
            text = page.get_data(as_text=True)
        return sorted([old, new], key=lambda id: text.index(f"/c/{id}"))

    assert order() == [new, old]
    with chatter.send(f"/c/{old}/pin") as done:
        assert done.status_code == 204
    assert order() == [old, new]
    with chatter.form(f"/c/{old}/unpin") as done:
        assert (done.status_code, done.location) == (303, f"/c/{old}")
    assert order() == [new, old]


def test_undo_without_scripts(chatter):
    conversation = chatter.conversation()
    chatter.ask("hello", conversation, model="sandbox/echo")
    with chatter.form(f"/c/{conversation}/delete") as done:
        assert (done.status_code, done.location) == (303, "/")
    with chatter.get("/") as page:
        text = page.get_data(as_text=True)
    assert "Deleted." in text and f'action="/c/{conversation}/restore"' in text
    with chatter.form(f"/c/{conversation}/restore") as done:
        assert (done.status_code, done.location) == (303, f"/c/{conversation}")
