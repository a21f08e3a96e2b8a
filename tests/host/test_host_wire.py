"""Numbers of events: each answer has its own, and so has each time that it goes on."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.host.answers import Answer
from apiary.host.tables import new_id
from apiary.host.wire import SAVED, Events, before, is_of, parse, read_number


def test_what_goes_on_has_other_numbers_each_time():
    id = new_id()
    starts = [before(f"{id}.{continued}") for continued in range(10_000)]
    assert len(set(starts)) == len(starts)
    assert all(b - a >= 1_000_000 for a, b in itertools.pairwise(sorted(starts)))
    # A script may take them for numbers.
    assert max(starts) + 1_000_000 < SAVED < SAVED + 1_000_000 < 2**53


def test_whose_a_number_is():
    events = Events("m.0")
    assert not events.has(events.last) and not is_of("m.0", events.last)
    events.append("delta", {"text": "a"})
    events.append("delta", {"text": "b"})
    first = events.last - 1
    assert events.has(first) and events.has(events.last) and not events.has(events.last + 1)
    assert is_of("m.0", first) and not is_of("m.1", first) and not is_of("n.0", first)
    assert not is_of("m.0", SAVED + 1)
    assert [n for n, _, _ in parse(events.behind(0))] == [first, first + 1]
    assert [n for n, _, _ in parse(events.behind(first))] == [first + 1]
    assert events.behind(first + 1) == events.behind(SAVED) == b""


_said = st.one_of(
    st.tuples(st.sampled_from(["delta", "reasoning"]), st.fixed_dictionaries({"text": st.text()})),
    st.tuples(
        st.sampled_from(["notice", "done"]), st.dictionaries(st.text(), st.none() | st.integers())
    ),
)


@given(st.lists(_said), st.integers(-1, 30))
def test_all_that_was_said_is_read_from_anywhere(said, seen):
    events = Events("m.0")
    for kind, data in said:
        events.append(kind, data)
    at = before("m.0")
    expected = [(at + n, kind, data) for n, (kind, data) in enumerate(said, 1) if n > seen]
    assert list(parse(events.behind(at + seen))) == expected
    for sort in ("delta", "reasoning"):
        assert events.text(sort) == "".join(data["text"] for kind, data in said if kind == sort)


def test_a_reader_that_came_before_it_goes_on_reads_it_from_its_beginning():
    answer = Answer("m", "c", "ann")
    reading = answer.follow()
    assert next(reading) == b": open\n\n"
    answer.go_on(3, reasoning="why", delta="half")
    found = list(parse(next(reading)))
    at = before("m.3")
    assert found == [
        (at + 1, "reasoning", {"text": "why"}),
        (at + 2, "delta", {"text": "half"}),
    ]
    reading.close()


@pytest.mark.parametrize("text", ["", "-1", "1e3", "x", "٣", " 7"])
def test_what_is_no_number_is_nothing(text):
    assert read_number(text) == 0
