import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiary.errors import ApiaryError
from apiary.http import Reply
from apiary.providers.refusals import detail, excerpt, refusal, retry_after
from apiary.secret import Secret

KEY = "sk-or-v1-0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("1.5", 1.5),
        ("86400", 3600),
        ("999999999999", 3600),
        ("1e9", None),
        ("-5", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("9" * 500, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
    ],
)
def test_how_long_to_wait(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_a_date_to_wait_for() -> None:
    found = retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert found is not None and 27 < found <= 30
    assert retry_after({}) is None


@pytest.mark.parametrize(
    ("wait", "words"),
    [("1", "1 second."), ("7", "7 seconds."), ("0", "1 second."), ("600", "10 minutes.")],
)
def test_the_time_in_words(wait: str, words: str) -> None:
    error = refusal("x", "X", None, Reply(429, {"retry-after": wait}, None))
    assert error.message == f"X asks to wait {words}"


@given(
    st.integers(0, len(KEY) - 8),
    st.integers(8, len(KEY)),
    st.text(max_size=40),
    st.text(max_size=40),
    st.sampled_from(["", " ", "\u200b", "\n", "\x00"]),
)
def test_no_piece_of_a_key_is_ever_quoted(
    start: int, length: int, before: str, after: str, between: str
) -> None:
    piece = between.join(KEY[start : start + length])
    if len(KEY[start : start + length]) >= 8:
        assert excerpt(before + piece + after, Secret(KEY)) == ""


@given(st.text(max_size=500))
def test_an_excerpt_is_short_and_of_one_line(text: str) -> None:
    found = excerpt(text, None)
    assert len(found) <= 200
    assert "\n" not in found and "\u202e" not in found and "\x1b" not in found


def test_a_short_key_is_not_quoted_either() -> None:
    assert excerpt("abcdefgh is wrong", Secret("abcdefgh")) == ""
    assert excerpt("short is wrong", Secret("short")) == ""
    assert excerpt("fine", Secret("")) == "fine"


@pytest.mark.parametrize(
    ("data", "message", "status"),
    [
        ({"error": {"code": 402, "message": "m"}}, "m", 402),
        ({"error": {"code": "402", "message": "m"}}, "m", 402),
        ({"error": {"http_status": 503, "message": "m", "error_type": "x"}}, "m", 503),
        ({"error": {"type": "overloaded_error", "message": "m"}}, "m", 529),
        ({"error": "m"}, "m", None),
        ({"detail": "m"}, "m", None),
        ({"message": "m"}, "m", None),
        ({"error": {"message": ["m"]}}, "", None),
        ({"error": {"code": True, "message": None}}, "", None),
        ({"error": {"code": 10**30}}, "", None),
        ({"error": None}, "", None),
        ([], "", None),
        (None, "", None),
        ("m", "", None),
    ],
)
def test_what_the_body_of_an_error_says(data: Any, message: str, status: int | None) -> None:
    said = detail(data)
    assert (said.message, said.status) == (message, status)


NAMES = [
    "error",
    "code",
    "message",
    "type",
    "metadata",
    "availability",
    "retry_after",
    "http_status",
    "detail",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "error_type", "status"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(JSON, st.integers(200, 599), st.sampled_from(["model", "key", "models"]))
def test_any_body_of_any_status_becomes_an_error_of_ours(
    data: Any, status: int, asked: str
) -> None:
    error = refusal("x", "X", Secret(KEY), Reply(status, {}, data), asked=asked)
    assert isinstance(error, ApiaryError)
    assert error.provider == "x" and "X" in error.message
