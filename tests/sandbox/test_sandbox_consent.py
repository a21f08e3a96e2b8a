"""The consent page and the way back to the app."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.sandbox import callback
from tests.sandbox.conftest import Live, ticket


def test_page_names_the_app_the_key_and_the_limit_and_itself(live):
    page = live.page(key_label="Apiary <b>", limit="10", usage_limit_type="monthly").text
    assert "localhost:3000" in page
    assert "Apiary &lt;b&gt;" in page
    assert "$10.00 monthly" in page
    assert "Sandbox." in page
    assert 'data-action="approve"' in page and 'data-action="deny"' in page
    assert "<script" not in page and "style=" not in page


def test_approval_appends_the_code_and_keeps_the_callback(live):
    answer = live.decide(callback_url="https://app.example/x%2Fy/cb?keep=1&b=%20")
    assert answer.status_code == 303
    where, _, code = answer.headers["Location"].partition("&code=")
    assert where == "https://app.example/x%2Fy/cb?keep=1&b=%20"
    assert re.fullmatch(r"[a-zA-Z0-9_-]{16,128}", code)


def test_ticket_works_once(live):
    form = {"ticket": ticket(live.page()), "decision": "approve"}
    assert live.http.post("/auth", data=form).status_code == 303
    assert live.http.post("/auth", data=form).status_code == 409


def test_forms_of_another_site_are_refused(live):
    form = {"ticket": ticket(live.page()), "decision": "approve"}
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert live.http.post("/auth", data=form, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("deny", "expected"),
    [("bare", {}), ("error", {"error": "access_denied"}), ("markup", {"error": "access_denied"})],
)
def test_deny(live, deny, expected):
    live.sandbox.switches.deny = deny
    target = live.decide("deny").headers["Location"]
    got = dict(parse_qsl(urlsplit(target).query))
    description = got.pop("error_description", "")
    assert got == expected
    assert ("<" in description) == (deny == "markup")


@pytest.mark.parametrize(
    ("state", "expected"),
    [("drop", []), ("echo", ["abc"]), ("change", ["cbax"]), ("duplicate", ["firstabc", "abc"])],
)
def test_state(live, state, expected):
    live.sandbox.switches.state = state
    target = live.decide(state="abc").headers["Location"]
    assert [value for name, value in parse_qsl(urlsplit(target).query) if name == "state"] == (
        expected
    )


@pytest.mark.parametrize(
    ("switch", "count"), [("ok", 1), ("missing", 0), ("long", 1), ("short", 1), ("duplicate", 2)]
)
def test_code_switch(live, switch, count):
    live.sandbox.switches.code = switch
    assert live.decide().headers["Location"].count("code=") == count


def test_extra_query(live):
    live.sandbox.switches.callback_extra = "iss=https://evil.example&code=second"
    assert live.decide().headers["Location"].endswith("&iss=https://evil.example&code=second")


def test_coop_is_sent_on_pages_and_redirects(live):
    live.sandbox.switches.coop = "same-origin"
    assert live.page().headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert live.decide().headers["Cross-Origin-Opener-Policy"] == "same-origin"
    live.sandbox.switches.coop = ""
    assert "Cross-Origin-Opener-Policy" not in live.page().headers


def test_sign_in_comes_first_and_once(live):
    live.sandbox.switches.sign_in = True
    first = live.page(key_label="a b&c")
    assert 'data-action="sign-in"' in first.text and 'data-action="approve"' not in first.text
    answer = live.http.post("/sign-in", data={"ticket": ticket(first)})
    consent = live.http.get(answer.headers["Location"])
    assert 'data-action="approve"' in consent.text and "a b&amp;c" in consent.text
    assert 'data-action="approve"' in live.page().text


def test_headless_shows_the_code(live):
    page = live.decide(callback_url=None)
    assert page.status_code == 200
    code = page.text.partition('data-role="code">')[2].partition("<")[0]
    assert live.exchange(code).status_code == 200


def test_another_account_can_be_chosen(live):
    form = {
        "ticket": ticket(live.page()),
        "decision": "approve",
        "account": "user_2zHnVt7WfRk9sXbYcQmD3uLpEoG",
    }
    target = live.http.post("/auth", data=form).headers["Location"]
    answer = live.exchange(target.partition("code=")[2]).json()
    assert answer["user_id"] == "user_2zHnVt7WfRk9sXbYcQmD3uLpEoG"
    headers = {"Authorization": f"Bearer {answer['key']}"}
    assert live.http.get("/api/v1/key", headers=headers).json()["data"]["is_free_tier"] is True


@pytest.mark.parametrize(
    "changed",
    [
        {"callback_url": "http://192.168.1.5:3000/cb"},
        {"callback_url": "http://app.local/cb"},
        {"callback_url": "javascript:alert(1)"},
        {"callback_url": "myapp://cb"},
        {"callback_url": "https:///cb"},
        {"callback_url": "https://a\\@b/cb"},
        {"callback_url": "//app.example/cb"},
        {"callback_url": None, "code_challenge": None, "code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": "S512"},
        {"code_challenge": "short"},
        {"code_challenge": "a" * 43 + "="},
        {"key_label": "x" * 101},
        {"limit": "-1"},
        {"limit": "nan"},
        {"limit": "much"},
        {"usage_limit_type": "yearly"},
        {"expires_at": "2030-01-01T00:00Z"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2030-13-01T00:00:00Z"},
    ],
)
def test_bad_requests_get_a_page(live: Live, changed):
    answer = live.page(**changed)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "target",
    [
        "https://app.example/cb",
        "https://app.example:8443/cb",
        "http://localhost/cb",
        "http://localhost:5123/cb",
        "http://127.0.0.1:3000/cb",
        "http://[::1]:3000/cb",
    ],
)
def test_good_callbacks(live, target):
    assert live.decide(callback_url=target).headers["Location"].startswith(target + "?code=")


TEXT = st.text(alphabet=st.characters(codec="ascii", exclude_characters="#"), max_size=12)


@given(
    path=st.from_regex(r"/[a-zA-Z0-9%./-]{0,12}", fullmatch=True),
    query=st.none() | st.from_regex(r"[a-z0-9=&?%+.]{0,12}", fullmatch=True),
    fragment=st.none() | st.from_regex(r"[a-z?=&]{0,6}", fullmatch=True),
    answer=st.lists(st.tuples(st.sampled_from(["code", "state", "error"]), TEXT), max_size=3),
)
def test_with_query_appends_and_changes_nothing(path, query, fragment, answer):
    url = "https://app.example" + path
    url += "" if query is None else "?" + query
    mark = "" if fragment is None else "#" + fragment
    made = callback.with_query(url + mark, answer)
    assert made.startswith(url)
    assert made.endswith(mark)
    parts = urlsplit(made)
    assert parts.path == path
    assert (parts.query or "").startswith(query or "")
    before = parse_qsl(query or "", keep_blank_values=True)
    assert parse_qsl(parts.query, keep_blank_values=True) == before + answer
