"""A key in clear does not show itself, and pasted keys are trimmed."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.secret import Secret, is_key, trim

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"


def test_it_does_not_show_itself() -> None:
    secret = Secret(KEY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        repr([secret]),
        repr({"k": secret}),
    ]
    assert all(KEY[9:17] not in text for text in shown)
    assert secret.reveal() == KEY
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)
    assert not hasattr(secret, "__dict__")


@given(st.text(min_size=1))
def test_what_may_be_shown_of_it(text: str) -> None:
    masked = Secret(text).masked
    assert masked.startswith("…") and len(masked) <= 5
    assert len(text) >= 16 or masked == "…"


@pytest.mark.parametrize(
    "pasted",
    [KEY, f" {KEY}\n", f'"{KEY}"', f"'{KEY}'", f"“{KEY}”", f"\t`{KEY}` \r\n", f' "{KEY}" '],
)
def test_a_pasted_key_is_trimmed(pasted: str) -> None:
    assert trim(pasted) == KEY


@given(st.text())
def test_trimming_twice_changes_nothing(text: str) -> None:
    assert trim(trim(text)) == trim(text)


@pytest.mark.parametrize(
    "text",
    ["", "short", "a" * 513, "sk-with blank", "sk-with\nbreak", "sk-mit-ümlaut", "sk-nul\0nul"],
)
def test_what_is_no_key(text: str) -> None:
    assert not is_key(text)


@given(st.text())
def test_a_key_can_stand_in_a_header(text: str) -> None:
    if is_key(text):
        assert text.isascii() and text.isprintable() and " " not in text
