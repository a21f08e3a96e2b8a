"""Reading what comes back, and amounts as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.oauth.connect import Answer, read_limit

ISSUER = "https://openrouter.ai"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"code": ["abc"]}, ("abc", None)),
        ({"code": ["abc"], "state": ["x"], "other": ["y", "z"]}, ("abc", None)),
        ({"code": ["abc"], "iss": [ISSUER]}, ("abc", None)),
        ({}, (None, None)),
        ({"error": ["access_denied"]}, (None, "access_denied")),
        ({"code": ["abc", "def"]}, (None, "malformed")),
        ({"error": ["a", "b"]}, (None, "malformed")),
        ({"code": ["abc"], "error": ["access_denied"]}, (None, "malformed")),
        ({"code": ["a b"]}, (None, "malformed")),
        ({"code": ["a\r\nb"]}, (None, "malformed")),
        ({"code": ["é"]}, (None, "malformed")),
        ({"code": [""]}, (None, "malformed")),
        ({"code": ["a" * 513]}, (None, "malformed")),
        ({"code": ["abc"], "iss": [ISSUER + "/"]}, (None, "malformed")),
        ({"code": ["abc"], "iss": ["https://OPENROUTER.ai"]}, (None, "malformed")),
        ({"code": ["abc"], "iss": [ISSUER, ISSUER]}, (None, "malformed")),
    ],
)
def test_what_comes_back(query: dict[str, list[str]], expected: tuple) -> None:
    answer = Answer.read(query, ISSUER)
    assert (answer.code, answer.error) == expected


@given(st.dictionaries(st.sampled_from(["code", "error", "iss"]), st.lists(st.text())))
def test_a_code_is_believed_only_alone_and_whole(query: dict[str, list[str]]) -> None:
    answer = Answer.read(query, ISSUER)
    if answer.code is not None:
        assert query["code"] == [answer.code]
        assert not query.get("error")
        assert query.get("iss", []) in ([], [ISSUER])
        assert answer.code.isascii() and answer.code.isprintable()


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("", ""),
        (" ", ""),
        ("5", "5"),
        ("$5", "5"),
        (" 12.5 ", "12.5"),
        ("12,50", "12.5"),
        ("0.01", "0.01"),
        ("100", "100"),
        ("5.00", "5"),
        ("1000000", "1000000"),
    ],
)
def test_amounts(typed: str, read: str) -> None:
    assert read_limit(typed) == read


@pytest.mark.parametrize(
    "typed", ["five", "-1", "0", "0.001", "1e9", "nan", "inf", "1000001", "5 6"]
)
def test_what_is_no_amount(typed: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_limit(typed)
