"""The log: a line for each request, ids that only our proxies may choose, and no secrets."""

import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary import ConfigError
from apiary.host import logs
from apiary.host.settings import HostSettings
from tests.host.browsing import Browser, text_of

SECRET = "sk-or-v1-" + "c0ffee" * 10


class Lines:
    """What the log has written so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text

    def forget(self) -> None:
        self.getvalue()
        self._text = ""


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    level = logging.getLogger("apiary").level
    logs.to_stderr("text")
    yield Lines(capsys)
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, logs.Handler)]:
        root.removeHandler(handler)
    logging.getLogger("apiary").setLevel(level)


def requests(found: Lines) -> list[str]:
    return [line for line in found.getvalue().splitlines() if " apiary.requests " in line]


def test_one_line_for_each_request(make_host, lines):
    browser = Browser(make_host())
    with browser.get("/account?code=abc&next=/evil") as page:
        given = page.headers["X-Request-ID"]
    with browser.get("/nowhere?q=hello"), browser.get("/static/hive.svg"), browser.get("/healthz"):
        pass
    first, second = requests(lines)
    assert " INFO apiary.requests GET /account 200 " in first and f" id={given}" in first
    assert " GET - 404 " in second
    assert "code" not in lines.getvalue() and "hello" not in lines.getvalue()


def test_the_owner_is_told_apart_and_not_named(make_host, lines):
    app = make_host()
    ann, ben = Browser(app), Browser(app)
    ann.sign_up("Ann")
    ben.sign_up("Ben")
    lines.forget()
    for browser in (ann, ben, ann):
        with browser.get("/account"):
            pass
    first, second, third = (line.split("owner=")[1].split()[0] for line in requests(lines))
    assert first == third != second and len(first) == 12
    with ann.client.session_transaction() as session:
        assert session["_user_id"] not in lines.getvalue()


def test_a_stream_is_logged_when_it_has_ended_and_no_prompt_with_it(
    make_host, lines, paste_key, sandbox
):
    browser = Browser(make_host())
    browser.connect(paste_key)
    conversation = browser.conversation()
    assert text_of(browser.ask("Of wasps and honey", conversation, model="sandbox/echo"))
    (line,) = [line for line in requests(lines) if "/messages " in line]
    assert "POST /c/<id>/messages 200 " in line and " id=" in line
    assert "wasps" not in lines.getvalue() and paste_key not in lines.getvalue()


@pytest.mark.parametrize(
    ("hops", "given", "kept"),
    [
        ("1", "abcdef-0123456789", True),
        ("0", "abcdef-0123456789", False),
        ("1", "short", False),
        ("1", "x" * 65, False),
        ("1", "two words here", False),
        ("1", "evil%0aid=admin", False),
    ],
)
def test_only_a_proxy_of_ours_may_choose_the_id(make_host, hops, given, kept):
    app = make_host(APIARY_PROXY_HOPS=hops)
    with app.test_client().get("/healthz", headers={"X-Request-ID": given}) as answer:
        assert (answer.headers["X-Request-ID"] == given) is kept
        assert len(answer.headers["X-Request-ID"]) >= 8


def test_json_lines(make_host, lines):
    logs.to_stderr("json")
    browser = Browser(make_host())
    lines.forget()
    with browser.get("/account") as page:
        given = page.headers["X-Request-ID"]
    logging.getLogger("apiary").warning("a\nforged line")
    request, other = (json.loads(line) for line in lines.getvalue().splitlines())
    assert request["route"] == "/account" and request["status"] == 200 and request["id"] == given
    assert request["method"] == "GET" and request["ms"] >= 0 and request["level"] == "info"
    assert other["message"] == "a\nforged line"


def test_no_line_can_be_forged(lines):
    log = logging.getLogger("apiary.tests")
    log.warning("name %s", "x\r\n2026-11-25T00:00:00Z INFO apiary.requests GET / 200\x1b[2J\u2028")
    try:
        raise ValueError("x\nroot:x\x85y")
    except ValueError:
        log.exception("failed")
    first, second, *trace = lines.getvalue().split("\n")[:-1]
    assert r"x\r\n2026-11-25T00:00:00Z" in first and "\x1b" not in first
    assert second.endswith("ERROR apiary.tests failed")
    assert trace and all(line.startswith("    | ") for line in trace)


@pytest.mark.parametrize(
    "text",
    [
        f"key {SECRET} refused",
        f"Authorization: Bearer {SECRET[5:]}",
        f"GET /settings/openrouter/callback/{SECRET[9:]}?code={SECRET[9:]} HTTP/1.1",
        f"code={SECRET[9:]}&state=1",
        f"{{'api_key': '{SECRET[9:]}', \"x-api-key\": \"{SECRET[9:]}\"}}",
        f"postgresql://user:{SECRET[9:]}@host/name",
        f"https://example.org/?anything={SECRET[9:]}",
    ],
)
def test_what_looks_like_a_key_is_left_out(lines, text):
    log = logging.getLogger("somebody.else")
    log.warning(text.replace("%", "%%"))
    log.warning("%s", text)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("failed")
    assert "c0ffee" not in lines.getvalue()
    assert "somebody.else" in lines.getvalue()


_WORDS = (
    *("sk-abcdef12", "BEARER x", "Key=1", "\u017fecret=1", "pa\u017fsword=y", "api_key=z", "?q=1"),
    *('"token": "t"', "'Authorization':'u'", "http://a:b@c", "/callback/x", "Code", "=", "?", "'"),
)


@given(st.lists(st.sampled_from(_WORDS) | st.text(max_size=6), max_size=8).map("".join))
def test_the_words_that_are_looked_for_first_pass_nothing_over(text):
    whole = text
    for _, pattern, instead in logs._SECRETS:
        whole = pattern.sub(instead, whole)
    assert logs.redact(text) == whole


def test_a_wrong_call_costs_no_line_and_no_secret():
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%d things", (SECRET,), None)
    told = logs.TextFormatter().format(record)
    assert "%d things" in told and "c0ffee" not in told


def test_usual_words_stay(lines):
    text = "The status code: 404, task-list, disk-space of /srv/a?b and key ring k1.3b978bc3"
    logging.getLogger("apiary").warning("%s", text)
    assert text in lines.getvalue()


def test_what_may_be_set(tmp_path):
    with pytest.raises(ConfigError, match="APIARY_LOG_FORMAT is 'xml'"):
        HostSettings.from_mapping({"APIARY_LOG_FORMAT": "xml"}, tmp_path)
    with pytest.raises(ConfigError, match="APIARY_OPERATOR_TOKEN must have 16"):
        HostSettings.from_mapping({"APIARY_OPERATOR_TOKEN": "short"}, tmp_path)
    assert HostSettings.from_mapping({"APIARY_LOG_FORMAT": "JSON"}, tmp_path).log_format == "json"
