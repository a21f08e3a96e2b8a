"""Guests, members, sessions, and what belongs to whom."""

import json
import re
import statistics
import time
from dataclasses import replace

from apiary import database
from apiary.host import accounts
from apiary.host.tables import Account, Allowance, Conversation, Message
from tests.host.browsing import Browser, rows


def test_a_guest_chats_and_becomes_a_member_without_losing_anything(chatter, host):
    conversation = chatter.conversation()
    chatter.ask("hello", conversation, model="sandbox/echo")
    chatter.sign_up("Ada")
    assert [m["text"] for m in chatter.messages(conversation)] == ["hello", "hello"]
    with chatter.get("/payer") as payer:
        assert payer.json["kind"] == "key", "the connection stays"
    with chatter.form("/sign-out") as out:
        assert out.status_code == 303
    assert chatter.get(f"/c/{conversation}").status_code == 404
    with chatter.sign_in("ada") as done:
        assert done.status_code == 303
    assert len(chatter.messages(conversation)) == 2
    assert rows(host, Account) == 1


def test_a_planted_guest_cookie_cannot_read_the_members_account(browser, host):
    conversation = browser.conversation()
    planted = browser.client.get_cookie("apiary_session").value
    browser.sign_up("Ada")
    thief = Browser(host)
    thief.client.set_cookie("apiary_session", planted)
    assert thief.get(f"/c/{conversation}").status_code == 404
    assert browser.get(f"/c/{conversation}").status_code == 200


def test_the_session_is_new_after_signing_in(browser):
    browser.sign_up("Ada")
    first = browser.token()
    browser.form("/sign-out").close()
    browser.get("/").close()
    with browser.client.session_transaction() as session:
        session["planted"] = "x"
    browser.sign_in("Ada").close()
    with browser.client.session_transaction() as session:
        assert "planted" not in session
    assert browser.token() != first


def test_guest_conversations_come_along_to_an_account(host):
    ada = Browser(host)
    ada.sign_up("Ada")
    guest = Browser(host)
    kept = guest.conversation()
    with guest.sign_in("Ada") as done:
        assert done.status_code == 303
    with guest.form("/sign-out"):
        pass
    brought = Browser(host)
    mine = brought.conversation()
    with brought.form("/sign-in", name="Ada", password="correct horse", bring="y") as done:
        assert done.status_code == 303
    assert brought.get(f"/c/{mine}").status_code == 200
    assert brought.get(f"/c/{kept}").status_code == 404
    assert rows(host, Account) == 1, "the guests' rows are cleared up"


def test_sign_out_everywhere_ends_saved_sessions(host):
    here, there = Browser(host), Browser(host)
    here.sign_up("Ada")
    there.sign_in("Ada").close()
    with there.get("/account") as page:
        assert "Ada" in page.get_data(as_text=True)
    saved = there.client.get_cookie("apiary_session").value
    with here.form("/account/sign-out-everywhere") as done:
        assert done.status_code == 303
        assert "storage" in done.headers["Clear-Site-Data"]
    there.client.set_cookie("apiary_session", saved)
    with there.client.post("/c", headers={"Accept": "application/json"}) as refused:
        assert refused.status_code in (400, 401)
    with there.get("/account") as page:
        assert "You are a guest" in page.get_data(as_text=True)


def test_a_dead_session_cannot_write(host):
    browser, other = Browser(host), Browser(host)
    browser.sign_up("Ada")
    other.sign_in("Ada").close()
    token = other.token()
    browser.form("/account/sign-out-everywhere").close()
    with other.client.post("/c", json={}, headers={"X-CSRFToken": token}) as refused:
        assert refused.status_code == 401
        assert refused.json["code"] == "signed_out"


def test_a_new_password_ends_other_sessions_only(host):
    here, there = Browser(host), Browser(host)
    here.sign_up("Ada")
    there.sign_in("Ada").close()
    with here.form("/account/password", password="wrong", new_password="battery staple") as no:
        assert no.status_code == 400
    with here.form("/account/password", password="correct horse", new_password="short") as no:
        assert no.status_code == 400
    with here.form(
        "/account/password", password="correct horse", new_password="battery staple"
    ) as done:
        assert done.status_code == 303
    assert "Ada" in here.get("/account").get_data(as_text=True)
    assert "You are a guest" in there.get("/account").get_data(as_text=True)
    assert there.sign_in("Ada").status_code == 400
    assert there.sign_in("Ada", "battery staple").status_code == 303


def test_nobody_learns_who_has_an_account(browser, host):
    browser.sign_up("Ada")

    def answer(name: str) -> tuple[int, str]:
        with Browser(host).sign_in(name, "not the password") as page:
            text = re.sub(r'(value|content)="[^"]*"', "", page.get_data(as_text=True))
            return page.status_code, text

    assert answer("Ada") == answer("Nobody")


def test_the_time_tells_nobody_either(make_host, monkeypatch):
    """Time of this thread's processor: how busy the machine is does not count."""
    # As slow as they are.
    monkeypatch.undo()
    app = make_host()
    Browser(app).sign_up("Ada")
    took = {"Ada": [], "Nobody": []}
    for _ in range(8):
        for name, times in took.items():
            browser = Browser(app)
            browser.token()
            began = time.thread_time()
            assert browser.sign_in(name, "not the password").status_code == 400
            times.append(time.thread_time() - began)
    # Once the hash for nobody is made.
    known, unknown = (statistics.median(times[1:]) for times in took.values())
    assert 2 / 3 < known / unknown < 3 / 2, took


def test_a_throttled_answer_tells_nobody_either(make_host, monkeypatch):
    app = make_host(APIARY_LIMITS=True)
    Browser(app).sign_up("Ada")
    checked = []
    monkeypatch.setattr(accounts, "check_password_hash", lambda *_: checked.append(1))

    def answer(name: str) -> tuple[int, str, set[str]]:
        for _ in range(10):
            assert Browser(app).sign_in(name, "not the password").status_code == 400
        with Browser(app).sign_in(name, "not the password") as page:
            text = re.sub(r'(value|content)="[^"]*"', "", page.get_data(as_text=True))
            return page.status_code, re.sub(r"in \d+ seconds", "", text), set(page.headers.keys())

    assert answer("Ada") == answer("Nobody")
    # No work for the one or the other that could be timed.
    assert len(checked) == 20


def test_names_that_look_alike_are_one(browser, host):
    browser.sign_up("Ada")
    for other in ("ada", " ADA ", "Ａｄａ", "A\u00adda"):
        with Browser(host).form("/sign-up", name=other, password="correct horse") as refused:
            assert refused.status_code == 400, other
    assert rows(host, Account) == 1


def test_names_and_passwords_that_cannot_be_used(browser, host):
    for name, password in (
        ("", "correct horse"),
        ("x" * 65, "correct horse"),
        ("\ufdfa" * 60, "correct horse"),
        ("a\u202eb", "correct horse"),
        ("a\0b", "correct horse"),
        ("Ada", "short"),
        ("Ada", "x" * 201),
        ("Ada", ""),
    ):
        with browser.form("/sign-up", name=name, password=password) as refused:
            assert refused.status_code == 400, (name, password)
            assert 'class="error"' in refused.get_data(as_text=True)
    assert rows(host, Account) == 0
    for name in ("", "\0", "x" * 100_000, "\ufdfa" * 100_000):
        with browser.sign_in(name) as refused:
            assert refused.status_code == 400, name[:9]


def test_where_to_go_next_is_a_word_and_not_an_address(browser):
    with browser.form("/sign-up", name="Ada", password="correct horse", next="settings") as done:
        assert done.location == "/settings/"
    for wanted in ("https://evil.example", "//evil.example", "/\\evil.example", "chat\n"):
        with browser.form("/sign-in", name="Ada", password="correct horse", next=wanted) as done:
            assert done.location == "/"


def test_delete_takes_everything(chatter, host):
    chatter.ask("hello", model="sandbox/echo")
    chatter.sign_up("Ada")
    with chatter.form("/account/delete", sure="y", password="wrong") as refused:
        assert refused.status_code == 400
    with chatter.form("/account/delete", password="correct horse") as refused:
        assert refused.status_code == 400
    assert rows(host, Message) == 2
    with chatter.form("/account/delete", sure="y", password="correct horse") as done:
        assert done.status_code == 303
    for table in (Account, Conversation, Message, Allowance):
        assert rows(host, table) == 0
    with host.app_context(), database.connection_context():
        (left,) = database.execute_sql("SELECT count(*) FROM apiary_connection").fetchone()
    assert left == 0
    with chatter.get("/payer") as payer:
        assert payer.json["kind"] == "none"


def test_export_holds_mine_and_no_secret(chatter, host, paste_key):
    chatter.ask("my question", model="sandbox/echo")
    chatter.sign_up("Ada")
    other = Browser(host)
    other.sign_up("Bruno")
    with other.send(f"/c/{other.conversation()}/messages", {"text": "other question"}):
        pass
    with chatter.get("/account/export") as export:
        assert export.headers["Content-Disposition"].startswith("attachment")
        text = export.get_data(as_text=True)
    found = json.loads(text)
    assert found["account"]["name"] == "Ada"
    assert found["connections"][0]["provider"] == "openrouter"
    assert found["conversations"][0]["messages"][0]["text"] == "my question"
    assert paste_key not in text and "other question" not in text and "scrypt" not in text


def test_a_stranger_finds_nothing_of_mine(chatter, host, slowly):
    conversation = chatter.conversation()
    running = chatter.send(
        f"/c/{conversation}/messages", {"text": "secret", "model": "sandbox/slow"}
    )
    stranger = Browser(host)
    stranger.sign_up("Eve")
    here = f"/c/{conversation}"
    for path in (here, f"{here}/stream", f"{here}/export.md", f"{here}/export.json"):
        with stranger.get(path) as answer:
            assert answer.status_code == 404, path
    with stranger.get(f"/payer?conversation={conversation}") as answer:
        assert answer.status_code == 404
    for action in ("messages", "retry", "continue", "path", "stop", "rename", "delete"):
        body = {"text": "x", "title": "x", "message_id": "x"}
        with stranger.send(f"{here}/{action}", body) as answer:
            assert answer.status_code == 404, action
            assert answer.json["code"] == "not_found"
        with stranger.form(f"{here}/{action}", **body) as answer:
            assert answer.status_code == 404, action
    assert host.extensions["apiary.host"].answers.running(conversation)
    running.close()
    with chatter.get(here) as page:
        assert "secret" in page.get_data(as_text=True)


def test_every_route_was_thought_of(host):
    """A new route has to be added here, and to the tests about strangers and tokens."""
    assert {
        rule.rule for rule in host.url_map.iter_rules() if rule.endpoint.startswith("chat.")
    } == {
        "/",
        "/ask",
        "/c",
        "/c/<id>",
        "/c/<id>/delete",
        "/c/<id>/export.json",
        "/c/<id>/export.md",
        "/c/<id>/messages",
        "/c/<id>/rename",
        "/c/<id>/retry",
        "/c/<id>/continue",
        "/c/<id>/path",
        "/c/<id>/stop",
        "/c/<id>/stream",
        "/models",
        "/payer",
        "/payers",
    }


def test_guests_can_be_shut_out(make_host):
    shut = Browser(make_host(APIARY_GUESTS="0"))
    with shut.get("/", headers={"Accept": "text/html"}) as page:
        assert (page.status_code, page.location) == (303, "/sign-in?next=chat")
    with shut.get("/payer", headers={"Accept": "application/json"}) as answer:
        assert answer.status_code == 401
    with shut.get("/settings/", headers={"Accept": "text/html"}) as page:
        assert page.location == "/sign-in?next=settings"
    shut.sign_up("Ada")
    assert shut.get("/").status_code == 200


def test_sign_up_can_be_shut(make_host):
    shut = Browser(make_host(APIARY_SIGNUP="0"))
    with shut.form("/sign-up", name="Ada", password="correct horse") as refused:
        assert refused.status_code == 400
        assert "takes no new members" in refused.get_data(as_text=True)


def test_signing_in_is_limited_for_each_name(make_host):
    app = make_host(APIARY_LIMITS=True)
    Browser(app).sign_up("Ada")
    for _ in range(10):
        assert Browser(app).sign_in("ada", "not the password").status_code == 400
    with Browser(app).sign_in("ADA", "not the password") as refused:
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert "Try again in" in refused.get_data(as_text=True)
    assert Browser(app).sign_in("Bruno", "x").status_code == 400


def test_guests_are_limited_for_each_network(make_host, monkeypatch):
    from apiary.host import limits

    few = replace(limits.GUEST_ADDRESS, count=2)
    monkeypatch.setattr(limits, "GUEST_ADDRESS", few)
    app = make_host(APIARY_LIMITS=True)
    for _ in range(2):
        Browser(app).conversation()
    with Browser(app).send("/c", **{"X-Forwarded-For": "9.9.9.9"}) as refused:
        assert refused.status_code == 429


def test_a_wrong_password_takes_its_time_for_unknown_names_too(host, monkeypatch):
    checked = []
    monkeypatch.setattr(
        accounts, "check_password_hash", lambda stored, _: checked.append(stored[:6]) or False
    )
    Browser(host).sign_in("Nobody").close()
    assert checked == ["scrypt"]


def test_what_is_deleted_is_no_longer_in_the_files(make_host, tmp_path, paste_key, monkeypatch):
    app = make_host(APIARY_DATABASE_URL=f"sqlite:///{tmp_path / 'a.sqlite3'}")
    guest = Browser(app)
    guest.connect(paste_key)
    conversation = guest.conversation()
    guest.ask("a-very-private-question", conversation, model="sandbox/echo")

    def found() -> bool:
        return any(b"very-private" in file.read_bytes() for file in tmp_path.glob("a.sqlite3*"))

    assert found()
    guest.send(f"/c/{conversation}/delete").close()
    monkeypatch.setattr("apiary.host.shelf.KEPT", -1.0)
    guest.get("/").close()
    assert not found()
    guest.ask("another-very-private-question", model="sandbox/echo")
    guest.form("/account/delete", sure="y").close()
    assert not found()


def test_only_who_did_something_as_a_guest_is_told_of_it(host):
    kept = "as a guest"
    fresh, guest = Browser(host), Browser(host)
    assert kept not in fresh.get("/sign-up").text
    fresh.sign_up("Maya")
    assert "Welcome, Maya." in (page := fresh.get("/").text) and kept not in page
    guest.conversation()
    assert kept in guest.get("/sign-up").text
    guest.sign_up("Noor")
    assert "Welcome, Noor. All that you did as a guest is still here." in guest.get("/").text
