"""The usage page: what is added up, what stays unknown, whose it is; on both databases."""

import csv
import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from html import unescape

import pytest

from apiary import database
from apiary.host import conversations
from apiary.host.tables import Conversation, Message
from tests.host.browsing import Browser

DAY = 86400


@contextmanager
def opened(browser: Browser) -> Iterator[None]:
    with browser.app.app_context(), database.connection_context():
        yield


def answered(browser: Browser, owner: str, *answers: dict) -> str:
    """A conversation with answers as they are stored."""
    with opened(browser):
        return _answered(browser, owner, answers)


def _answered(browser, owner, answers):
    made = Conversation.create(owner=owner, title="A talk")
    for position, answer in enumerate(answers):
        told = {
            "state": "complete",
            "payer": "key",
            "provider": "openrouter",
            "model": "a/one",
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "cost": Decimal("0.25"),
            **answer,
        }
        Message.create(conversation=made, position=position, role="assistant", text="x", **told)
    return made.id


@pytest.fixture
def mine(browser):
    """A browser and the id of who sits at it, with a database that is open."""
    browser.conversation()
    with opened(browser):
        return browser, Conversation.select().get().owner


def shown(browser: Browser, path: str = "/usage") -> str:
    with browser.get(path, headers={"Accept": "text/html"}) as page:
        assert page.status_code == 200
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.get_data(as_text=True))).split())


def table(browser: Browser, path: str = "/usage.csv") -> list[dict[str, str]]:
    with browser.get(path) as found:
        assert found.mimetype == "text/csv"
        assert found.headers["Content-Disposition"].startswith("attachment")
        return list(csv.DictReader(io.StringIO(found.get_data(as_text=True))))


def test_nothing_yet(browser):
    assert "No answers in the last 30 days" in shown(browser)
    assert table(browser) == []


def test_by_day_model_and_provider(mine):
    browser, owner = mine
    answered(
        browser,
        owner,
        {},
        {"model": "b/two", "cost": Decimal("1.5")},
        {"created": time.time() - 3 * DAY},
        {"created": time.time() - 40 * DAY, "cost": Decimal(100)},
    )
    said = shown(browser)
    assert "Spent $2.00 Answers 3 Tokens in 30 Tokens out 15" in said
    assert "b/two $1.50" in said and "a/one $0.5000" in said and "OpenRouter $2.00" in said
    assert "unknown" not in said
    assert "Spent $1.75" not in said
    assert "Spent $102.00" in shown(browser, "/usage?days=90")
    assert "Answers 3" in shown(browser, "/usage?days=nonsense")
    assert [row["model"] for row in table(browser)] == ["a/one", "a/one", "b/two"]
    assert len(table(browser, "/usage.csv?days=90")) == 4


def test_what_is_unknown_is_said(mine):
    browser, owner = mine
    answered(
        browser,
        owner,
        {"cost": None},
        {"cost": None, "prompt_tokens": None, "completion_tokens": None},
    )
    said = shown(browser)
    assert "Spent unknown" in said and "$0" not in said
    assert "Of 2 answers the cost is unknown" in said
    (row,) = table(browser)
    assert (row["cost_usd"], row["answers_without_cost"]) == ("", "2")
    answered(browser, owner, {})
    assert "Spent $0.2500 + unknown" in shown(browser)


def test_a_cost_of_nothing_is_no_unknown(mine):
    browser, owner = mine
    answered(browser, owner, {"cost": Decimal(0)})
    assert "Spent $0 " in shown(browser)
    assert Decimal(table(browser)[0]["cost_usd"]) == 0


def test_the_site_pays_for_its_own_model(mine):
    browser, owner = mine
    answered(browser, owner, {"payer": "builtin", "provider": "built-in", "cost": Decimal(7)})
    said = shown(browser)
    assert "Spent $0 " in said and "paid by this site" in said and "$7" not in said
    assert "1 answer of the built-in model cost you nothing" in said


def test_what_is_deleted_was_spent_all_the_same(mine):
    browser, owner = mine
    at = answered(
        browser,
        owner,
        {},
        {"state": "failed", "cost": None, "prompt_tokens": None, "completion_tokens": None},
    )
    with opened(browser):
        conversations.delete(Conversation.get_by_id(at))
    assert "Spent $0.2500 Answers 1" in shown(browser)
    with opened(browser):
        conversations.delete_all(owner)
    assert "No answers" in shown(browser)


def test_only_what_is_mine(mine, host):
    browser, owner = mine
    answered(browser, "somebody else", {})
    gone = answered(browser, "somebody else", {})
    with opened(browser):
        conversations.delete(Conversation.get_by_id(gone))
    assert "No answers" in shown(browser)
    with opened(browser):
        conversations.move("somebody else", owner)
    assert "Spent $0.5000 Answers 2" in shown(browser)


def test_no_cell_is_a_formula(mine):
    browser, owner = mine
    inert = {
        "=1+1": "'=1+1",
        "+1": "'+1",
        "-1": "'-1",
        "@SUM(A1)": "'@SUM(A1)",
        "\t=1": "'\t'=1",
        'a",=1': "a\",'=1",
        # Where a comma stands in numbers, a semicolon ends a cell.
        "a;=1+1": "a;'=1+1",
        "org/model-1;x": "org/model-1;x",
    }
    for model in inert:
        answered(browser, owner, {"model": model})
    cells = [row["model"] for row in table(browser)]
    assert sorted(cells) == sorted(inert.values())


def test_a_name_is_text_in_the_picture(mine):
    browser, owner = mine
    answered(browser, owner, {"model": '"><script>alert(1)</script>'})
    with browser.get("/usage", headers={"Accept": "text/html"}) as page:
        text = page.get_data(as_text=True)
    assert "<script>alert" not in text and " style=" not in text


def test_the_budget_of_the_key(chatter):
    said = shown(chatter)
    assert "OpenRouter key" in said and "As OpenRouter told on" in said
    chatter.ask("hello", model="sandbox/echo")
    assert "Answers 1" in shown(chatter)
