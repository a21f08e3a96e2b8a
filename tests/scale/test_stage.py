"""Three app machines behind nginx, with PostgreSQL, Redis and OpenRouter on further ones."""

import itertools
import re
import secrets
from html import unescape

import httpx
import pytest

from apiary.sandbox import ACCOUNTS
from tests.scale.running import last, text_of
from tests.scale.stage import AT, DAILY, URL

#: The first test builds the stage.
pytestmark = pytest.mark.timeout(240)

ONE, TWO, THREE = AT.values()


def test_a_flow_begun_on_one_machine_ends_on_another(stage, guest):
    ann = guest(ONE, key="")
    attempt = secrets.token_urlsafe(32)
    about = {"display": "popup", "attempt": attempt}
    hop = ann.post(f"{ONE}/settings/openrouter/connect", data=about).text
    found = re.search(r'content="0;url=([^"]+)"', hop)
    assert found, hop
    consent = unescape(found[1])
    with stage.client() as browser:
        ticket = re.search(r'name="ticket" value="([^"]+)"', browser.get(consent).text)
        decision = {"ticket": ticket[1], "account": ACCOUNTS[0].id, "decision": "approve"}
        back = browser.post(consent, data=decision).headers["Location"]
    assert back.startswith(f"{URL}/settings/openrouter/callback/")
    done = ann.http.get(back.replace(URL, TWO))
    assert done.status_code == 303
    told = ann.http.get(f"{THREE}/settings/openrouter/flows/{attempt}").json()
    assert told["state"] == "connected", told
    with ann.ask(THREE, "sandbox/echo", "who pays?") as events:
        assert text_of(events) == "who pays?"
    # Used up, on whatever machine.
    again = ann.http.get(back.replace(URL, ONE))
    assert again.status_code == 303
    assert stage.sql("SELECT count(*) FROM apiary_flow WHERE state = 'connected'") == [(1,)]


def statuses(ask, times: int) -> list[int]:
    return [ask((ONE, TWO, THREE)[n % 3]).status_code for n in range(times)]


def test_limits_hold_across_the_machines(guest):
    ann = guest(key="")
    wrong = {"name": "nobody", "password": "not the password", "do": "sign-in"}
    told = statuses(lambda base: ann.post(f"{base}/sign-in", data=wrong), 14)
    assert told.count(429) == 4, told
    hurried = {"display": "nonsense"}
    where = "/settings/openrouter/connect"
    begun = statuses(lambda base: ann.post(f"{base}{where}", data=hurried), 66)
    assert begun.count(429) == 6, begun


def test_the_built_in_models_messages_are_counted_together(stage, guest):
    ann = guest(key="")
    stage.sandbox(pace=0)

    def ask(base: str) -> httpx.Response:
        return ann.post(f"{base}{ann.talk}/messages", json={"text": "a"})

    told = statuses(ask, DAILY + 3)
    assert told == [200] * DAILY + [429] * 3
    assert stage.sql("SELECT used FROM allowance WHERE used > 0") == [(DAILY,)]


def test_an_answer_is_followed_from_the_second_and_stopped_from_the_third(guest):
    ann = guest()
    with ann.ask(ONE) as begun:
        first = list(itertools.islice(begun, 4))
        with ann.follow(TWO, after=first[1][0]) as (status, there):
            assert status == 200
            seen = list(itertools.islice(there, 4))
            assert seen[:2] == first[2:]
            assert [number - first[0][0] for number, _, _ in seen] == [2, 3, 4, 5]
            assert ann.post(f"{THREE}{ann.talk}/stop").status_code in (204, 303)
            seen += there
            assert seen[-1][1] == "done"
        first += begun
    assert first[2:] == seen
    assert last(ann, URL) == ("stopped", text_of(first))
