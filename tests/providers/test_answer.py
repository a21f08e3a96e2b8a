"""The JSON of one event: the quick parser says what the standard library's says."""

import json
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.providers import answer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        # orjson reads what is larger than 64 bits as a float.
        return one == other or math.isclose(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def test_the_quick_one_is_there():
    assert answer._quick is orjson.loads


@given(st.dictionaries(st.text(), JSON), st.booleans())
def test_objects(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        text.encode()
    except UnicodeEncodeError:
        # What comes over the wire was decoded with replacements: it has no surrogates.
        text = json.dumps(value)
    assert same(answer.load(text), json.loads(text))


@given(st.text() | JSON.map(json.dumps))
def test_anything(text):
    text = text.encode("utf-8", "replace").decode()
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    found = answer.load(text)
    assert found is None if not isinstance(expected, dict) else same(found, expected)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\ud800"}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": ' + "9" * 400 + "}",
        '{"a": 1, "a": 2}',
    ],
)
def test_what_only_the_standard_library_takes(text):
    assert same(answer.load(text), json.loads(text))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"a":' * 100_000, "\ufeff{}"])
def test_what_is_no_object(text):
    assert answer.load(text) is None
