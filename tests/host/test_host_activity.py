"""What happened with an account: its owner sees it, nobody else does, and it goes with them."""

import json
import re
import time
from typing import Any

import peewee
import pytest

from apiary import database
from apiary.host.activity import KEPT, Activity
from tests.host.browsing import Browser, rows


def happened(browser: Browser) -> list[str]:
    """The entries of the account page in words, without the times."""
    with browser.get("/account") as page:
        text = page.get_data(as_text=True)
    return [
        " ".join(entry.split()) for entry in re.findall(r"</time>: (.*?)</li>", text, re.DOTALL)
    ]


def test_what_is_written_down(host, sandbox, paste_key):
    ann = Browser(host)
    ann.connect(paste_key)
    ann.sign_up("Ann")
    ann.form("/settings/openrouter/disconnect").close()
    with ann.form("/account/password", password="wrong one", new_password="battery staple"):
        pass
    with ann.form("/account/password", password="correct horse", new_password="battery staple"):
        pass
    with ann.get("/account/export") as export:
        told = json.loads(export.data)["activity"]
    assert [entry["kind"] for entry in told] == [
        "connected",
        "sign-up",
        "disconnected",
        "password-failed",
        "password",
        "export",
    ]
    assert {entry["network"] for entry in told} == {"this machine"}
    ann.form("/account/sign-out-everywhere").close()
    for _ in range(3):
        with ann.sign_in("ANN", "not this one") as refused:
            assert refused.status_code == 400
    with ann.sign_in("ann", "battery staple") as entered:
        assert entered.status_code == 303
    assert happened(ann)[:4] == [
        "Signed in, from this machine",
        "Somebody tried to sign in with a wrong password, from this machine, 3 times",
        "Signed out everywhere, from this machine",
        "Data exported, from this machine",
    ]
    assert happened(ann)[-1] == "Connected (OpenRouter, by a pasted key), from this machine"
    with ann.get("/account") as page:
        assert paste_key not in page.get_data(as_text=True)


def test_a_rejected_key(chatter, sandbox, paste_key):
    host = chatter.app
    with host.app_context(), database.connection_context():
        vault = host.extensions["apiary"].vault
        row = Activity.get()
        connection = vault.get(row.owner_id, "openrouter")
        vault.reject(row.owner_id, "openrouter", connection.version)
        assert [(r.kind, r.network) for r in Activity.select().order_by(Activity.at)] == [
            ("connected", "this machine"),
            ("rejected", ""),
        ]
    assert "The provider no longer accepts the key (OpenRouter)" in happened(chatter)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("unix:", ""),
    ],
)
def test_addresses_are_kept_coarse(make_host, address, network):
    app = make_host(APIARY_PROXY_HOPS="1")
    browser = Browser(app)
    browser.client.environ_base["HTTP_X_FORWARDED_FOR"] = address
    browser.sign_up("Ann")
    with app.app_context(), database.connection_context():
        assert [row.network for row in Activity.select()] == [network]


def test_nobody_sees_another_ones(host):
    ann, ben = Browser(host), Browser(host)
    ann.sign_up("Ann")
    ben.sign_up("Ben")
    Browser(host).sign_in("Ann", "wrong one").close()
    assert len(happened(ann)) == 2 and len(happened(ben)) == 1


def test_an_unknown_name_costs_the_same_statements_and_leaves_no_row(host, monkeypatch):
    Browser(host).sign_up("Ann")
    ran: list[str] = []
    execute = peewee.Database.execute_sql

    def listen(self: Any, sql: str, *more: Any, **others: Any) -> Any:
        ran.append(sql.split()[0] + " " + ("activity" if '"activity"' in sql else ""))
        return execute(self, sql, *more, **others)

    monkeypatch.setattr(peewee.Database, "execute_sql", listen)
    seen = []
    for name in ("Ann", "Nobody"):
        ran.clear()
        Browser(host).sign_in(name, "wrong one").close()
        seen.append([sql for sql in ran if sql.endswith("activity")])
    assert seen[0] == seen[1] != []
    monkeypatch.undo()
    assert rows(host, Activity) == 2


def test_it_goes_with_the_account(host, paste_key):
    ann = Browser(host)
    ann.connect(paste_key)
    ann.sign_up("Ann")
    assert rows(host, Activity) == 2
    ann.form("/account/delete", password="correct horse", sure="y").close()
    assert rows(host, Activity) == 0


def test_a_guests_goes_with_the_guest(host, paste_key):
    Browser(host).sign_up("Ann")
    guest = Browser(host)
    guest.connect(paste_key)
    guest.sign_in("Ann").close()
    with host.app_context(), database.connection_context():
        assert sorted(row.kind for row in Activity.select()) == ["sign-in", "sign-up"]


def test_old_ones_are_swept(host):
    ann = Browser(host)
    ann.sign_up("Ann")
    with host.app_context(), database.connection_context():
        Activity.update(at=time.time() - KEPT - 1).execute()
    assert happened(ann) == []
    ann.get("/account/export").close()
    with host.app_context(), database.connection_context():
        assert [row.kind for row in Activity.select()] == ["export"]


def test_the_last_fifty_are_shown(host):
    ann = Browser(host)
    ann.sign_up("Ann")
    with host.app_context(), database.connection_context():
        owner, now = Activity.get().owner_id, time.time()
        Activity.insert_many(
            {"owner": owner, "kind": "export", "at": now + n, "detail": f"n{n}"} for n in range(60)
        ).execute()
    found = happened(ann)
    assert len(found) == 50 and found[0] == "Data exported (n59)"


def test_a_database_that_fails_breaks_nothing(host, monkeypatch, caplog):
    def fail(*_: Any, **__: Any) -> None:
        raise peewee.OperationalError("no such table: activity")

    monkeypatch.setattr(Activity, "delete", fail)
    Browser(host).sign_up("Ann")
    with Browser(host).sign_in("Ann") as entered:
        assert entered.status_code == 303
    assert "could not be written down" in caplog.text


def test_an_odd_entry_cannot_do_harm(host):
    ann = Browser(host)
    ann.sign_up("Ann")
    with host.app_context(), database.connection_context():
        Activity.update(detail="<script>x", kind="<b>").execute()
    assert happened(ann) == ["&lt;b&gt; (&lt;script&gt;x), from this machine"]
