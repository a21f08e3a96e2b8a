"""The list of conversations, beyond what a page begins with."""

import time

from apiary import database
from apiary.host import conversations
from apiary.host.tables import Conversation
from tests.host.browsing import Browser


def test_the_list_goes_on_where_the_page_ends(host, browser: Browser, monkeypatch):
    monkeypatch.setattr(conversations, "LISTED", 3)
    browser.conversation()
    now = time.time()
    with host.app_context(), database.connection_context():
        owner = Conversation.get().owner
        for number in range(7):
            pinned = now if number == 6 else None
            updated = now - number
            Conversation.create(owner=owner, title=f"t{number}", updated=updated, pinned=pinned)
        Conversation.create(owner="somebody else", title="theirs", updated=now)
        Conversation.create(owner=owner, title="gone", updated=now, deleted=now)
    with browser.get("/") as page:
        text = page.get_data(as_text=True)
    assert [text.count(f">t{n}</a>") for n in range(7)] == [1, 1, 0, 0, 0, 0, 1]
    found = []
    for after in (0, 3, 6, "x", "99999999999"):
        with browser.get(f"/conversations?after={after}") as answer:
            found.append(([c["title"] for c in answer.json["conversations"]], answer.json["more"]))
    first = (["t6", "t0", "t1"], True)
    assert found == [first, (["t2", "t3", "t4"], True), (["t5"], False), first, first]
    assert host.test_client().get("/conversations").json["conversations"] == []
