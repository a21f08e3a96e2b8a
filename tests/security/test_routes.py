"""The route table: who may call what. A new route without a row fails, and so does an old row."""

import re
from typing import Any

import pytest
from flask import Flask

from tests.host.browsing import Browser
from tests.host.conftest import MakeHost
from tests.security.routes import ROWS, Row
from tests.security.world import World, call, found, rows_of

IMPLIED = {"HEAD", "OPTIONS"}
UNSAFE = [row for row in ROWS if row.method != "GET"]


def routes(app: Flask) -> set[str]:
    return {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - IMPLIED
    }


def test_every_route_has_a_row(make_host: MakeHost) -> None:
    on, off = make_host(OPENROUTER_OAUTH="1"), make_host(OPENROUTER_OAUTH="0")
    assert routes(on) == {str(row) for row in ROWS}
    assert routes(off) == {str(row) for row in ROWS if not row.oauth}


def test_with_the_flag_off_there_is_no_oauth_route(make_host: MakeHost, paste_key: str) -> None:
    world = found(make_host(OPENROUTER_OAUTH="0"), paste_key)
    token = world.ada.token()
    for row in ROWS:
        if row.oauth:
            with call(world.ada, row.method, row.at(world), token=token) as answer:
                assert answer.status_code == 404, row


def test_who_may(world: World) -> None:
    """Each row works for whom it is for; each begins with everything as it was."""
    token = world.ada.token()
    kept = world.save()
    for row in ROWS:
        world.restore(kept)
        with call(world.ada, row.method, row.at(world), row.send, token=token) as answer:
            assert answer.status_code == row.answers, (row, answer.get_data(as_text=True))


def refused(world: World, rows: list[Row], status: int, **how: Any) -> None:
    """All these are refused with that status, and change nothing at all."""
    before = world.rows()
    token = how.pop("token", world.ada.token())
    for row in rows:
        with call(world.ada, row.method, row.at(world), row.send, token=token, **how) as answer:
            assert answer.status_code == status, row
            assert "host" in how or "Set-Cookie" not in answer.headers, row
        assert world.rows() == before, row


def test_without_the_token(world: World) -> None:
    refused(world, UNSAFE, 400, token="")


def test_with_the_token_of_somebody_else(world: World) -> None:
    refused(world, UNSAFE, 400, token=world.stranger().token())


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_from_another_site(world: World, site: str) -> None:
    refused(world, UNSAFE, 403, Sec_Fetch_Site=site)


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil.example", "http://localhost:81"],
)
def test_from_an_evil_origin(world: World, origin: str) -> None:
    refused(world, UNSAFE, 403, Origin=origin)
    refused(world, UNSAFE, 403, Origin=origin, Sec_Fetch_Site="same-origin")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:80"])
def test_under_a_wrong_host(world: World, host: str) -> None:
    rows = [row for row in ROWS if row.rule not in ("/healthz", "/readyz", "/metrics")]
    refused(world, rows, 400, host=host)


def test_a_token_counts_in_its_own_place_only(world: World) -> None:
    """Not in the address, where it would stand in logs and referrers, nor as JSON text."""
    token = world.ada.token()
    before = world.rows()
    for row in UNSAFE:
        path = f"{row.at(world)}?csrf_token={token}&X-CSRFToken={token}"
        with call(world.ada, row.method, path, row.send) as answer:
            assert answer.status_code == 400, row
        fields = {**row.send, "csrf_token": token}
        with call(world.ada, row.method, row.at(world), fields, as_json="1") as answer:
            assert answer.status_code == 400, row
    assert world.rows() == before


def test_strangers(world: World) -> None:
    """A guest who knows the id of everything of Ada's gets nothing and changes nothing."""
    before = world.rows()
    mine = set(world.places.values()) - {"openrouter", "unknown", "host.css"}
    for row in ROWS:
        if row.who != "owner":
            continue
        eve = world.stranger()
        for kind in ("text/html", "application/json"):
            with call(
                eve, row.method, row.at(world), row.send, token=eve.token(), Accept=kind
            ) as answer:
                text = answer.get_data(as_text=True)
                if kind == "text/html":
                    assert answer.status_code == row.stranger, (row, text)
                assert "Of bees" not in text and "Ada Hive" not in text
                assert not any(word in text for word in mine - {world.places["attempt"]}), row
        assert before <= world.rows(), row


def test_ids_that_do_not_exist_look_the_same(world: World) -> None:
    eve = world.stranger()
    token = eve.token()
    for row in ROWS:
        if row.stranger != 404:
            continue
        pages = []
        nowhere = world.path(row.rule, id="A" * 22, attempt="attempt-of-nobody-0123456")
        for path in (row.at(world), nowhere):
            with call(eve, row.method, path, row.send, token=token) as answer:
                # The token holds the time of the second.
                text = re.sub(r"\bI[jm][\w-]+\.[\w-]+\.[\w-]+", "", answer.get_data(as_text=True))
                pages.append((answer.status_code, text, sorted(answer.headers.keys())))
        assert pages[0] == pages[1], row


def test_guests(world: World) -> None:
    """What is for members sends a guest to sign in; the rest works and harms nobody else."""
    before = world.rows()
    for row in ROWS:
        if row.who not in ("somebody", "member"):
            continue
        guest = world.stranger()
        with call(guest, row.method, row.at(world), row.send, token=guest.token()) as answer:
            if row.who == "member":
                assert answer.status_code == 303, row
                assert answer.headers["Location"] == "/sign-in?next=account"
            else:
                assert answer.status_code == (row.guest or row.answers), row
        assert before <= world.rows(), row


def test_nobody_with_guests_shut_out(make_host: MakeHost, paste_key: str) -> None:
    app = make_host(OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost", APIARY_GUESTS="0")
    world = found(app, paste_key)
    before = world.rows()
    for row in ROWS:
        if row.who == "anyone":
            continue
        for kind, status in (("text/html", 303), ("application/json", 401)):
            nobody = Browser(app)
            token = nobody.token()
            with call(
                nobody, row.method, row.at(world), row.send, token=token, Accept=kind
            ) as answer:
                if row.rule.endswith("/callback/<flow>"):
                    # It says so on a page of its own, and keeps the flow for who comes back.
                    assert answer.headers["Location"].endswith("/trouble/signed-out")
                    continue
                assert answer.status_code == status, (row, kind)
                if status == 303:
                    assert answer.headers["Location"].startswith("/sign-in?next="), row
        assert rows_of(app) == before, row


def test_methods_that_do_not_exist(world: World) -> None:
    """No second door by another method, nor by a header that asks for one."""
    before = world.rows()
    token = world.ada.token()
    for rule in {row.rule for row in ROWS}:
        known = {row.method for row in ROWS if row.rule == rule}
        path = next(row for row in ROWS if row.rule == rule).at(world)
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - known:
            with call(world.ada, method, path, token=token) as answer:
                assert answer.status_code == 405, (method, rule)
        if any(row.answers < 400 for row in ROWS if str(row) == f"GET {rule}"):
            for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
                with world.ada.get(path, headers={header: "DELETE"}) as answer:
                    assert answer.status_code < 400, (header, rule)
    # The callback was followed by the walk: a person's browser may do that.
    left = {row for row in world.rows() if row[0] != "StoredFlow"}
    assert left == {row for row in before if row[0] != "StoredFlow"}
