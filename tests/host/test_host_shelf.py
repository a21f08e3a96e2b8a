"""The list of conversations, beyond what a page begins with."""

import json
import re
import time
from html import unescape

from apiary import database
from apiary.host import conversations
from apiary.host.tables import Conversation
from tests.host.browsing import Browser
from tests.host.test_host_import import bring, everything


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


def talks(host, owner: str | None = None, **folders: str | None) -> tuple[str, dict[str, str]]:
    """An owner's conversations by title, each in its folder."""
    with host.app_context(), database.connection_context():
        owner = owner or Conversation.get().owner
        made = {}
        for number, (title, folder) in enumerate(folders.items()):
            row = Conversation.create(owner=owner, title=title, folder=folder, updated=1e9 + number)
            made[title] = row.id
        return owner, made


def shelf(browser: Browser) -> dict[str, list[str]]:
    """What lies in each folder, as the page shows it; "" for those in none."""
    with browser.get("/") as page:
        text = page.get_data(as_text=True)
    text = text[text.index('id="folders"') : text.index('id="hits-title"')]
    parts = re.split(r'data-folder="([^"]*)"|id="conversations"', text)
    found = {}
    for name, part in zip(parts[1::2], parts[2::2], strict=True):
        found[unescape(name or "")] = re.findall(r'href="/c/[^"]+"[^>]*>([^<]*)</a>', part)
    return found


def test_folders(host, browser: Browser):
    browser.conversation()
    _, ids = talks(host, a=None, b=None, c="Wax", d="wasps")
    _, theirs = talks(host, "somebody else", e="Wax")
    assert shelf(browser) == {"wasps": ["d"], "Wax": ["c"], "": ["b", "a"]}
    body = {"conversations": [ids["a"], theirs["e"], "nowhere"], "folder": " Bees &\n honey "}
    assert browser.send("/folders/move", body).status_code == 204
    assert shelf(browser) == {"Bees & honey": ["a"], "wasps": ["d"], "Wax": ["c"], "": ["b"]}
    body = {"folder": "Wax", "name": "wasps"}
    assert browser.send("/folders/rename", body).status_code == 204
    assert shelf(browser) == {"Bees & honey": ["a"], "wasps": ["d", "c"], "": ["b"]}
    with browser.send("/folders/delete", {"folder": "wasps"}) as done:
        assert sorted(done.json["conversations"]) == sorted([ids["c"], ids["d"]])
    assert shelf(browser) == {"Bees & honey": ["a"], "": ["d", "c", "b"]}
    browser.send("/folders/move", {"conversations": [ids["a"]], "folder": None}).close()
    assert shelf(browser) == {"": ["d", "c", "b", "a"]}
    with host.app_context(), database.connection_context():
        assert Conversation.get_by_id(theirs["e"]).folder == "Wax"


def test_what_is_no_folder(browser: Browser):
    known = browser.conversation()
    for body in (
        {"conversations": [known], "folder": " "},
        {"conversations": [known], "folder": 5},
        {"conversations": [known], "folder": "x" * 1001},
        {"conversations": 5, "folder": "x"},
        {"conversations": [5], "folder": "x"},
        {"conversations": [known] * 1001, "folder": "x"},
        {"folder": "x"},
    ):
        with browser.send("/folders/move", body) as refused:
            assert refused.status_code == 400, body
    with browser.send("/folders/move", {"conversations": [known], "folder": "\ud800\0" * 80}) as ok:
        assert ok.status_code == 204
    for path in ("/folders/rename", "/folders/delete"):
        with browser.send(path, {}) as refused:
            assert refused.status_code == 400


def test_folders_in_exports_and_imports(host, browser: Browser):
    id = browser.conversation()
    row = {"role": "user", "text": "hi"}
    talk = {"title": "t", "folder": "Bees", "messages": [row]}
    assert "Imported 1" in bring(browser, json.dumps([talk]))
    (found,) = [one for one in everything(browser) if one["messages"]]
    assert found["folder"] == "Bees"
    assert "folder" not in next(one for one in everything(browser) if one["id"] == id)
    with browser.get("/search?q=hi", headers={"Accept": "application/json"}) as hits:
        assert [hit["role"] for hit in hits.json["results"]] == ["user"]
