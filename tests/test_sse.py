from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.sse import Parser, TooLarge

PIECES = [b"data: ", b"data:", b"data", b"event: e", b"\r", b"\n", b"\r\n", b"\n\n", b": c"]
PIECES += ["é🐝\u2028".encode(), b"\xff", b"\xef\xbb\xbf", b"x" * 50, b" "]


def parse(*chunks: bytes, limit: int = 256 * 1024) -> list[tuple[str, str]]:
    parser = Parser(limit)
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_kind_of_line_end(end: bytes) -> None:
    raw = end.join([b"event: add", b"data: one", b"data: two", b"", b"data: three", b"", b""])
    assert parse(raw) == [("add", "one\ntwo"), ("message", "three")]
    assert parse(*(raw[i : i + 1] for i in range(len(raw)))) == parse(raw)


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: x\n\n", [("message", "x")]),
        (b"data:x\n\n", [("message", "x")]),
        (b"data:  x\n\n", [("message", " x")]),
        (b"data\n\n", [("message", "")]),
        (b"data\ndata\n\n", [("message", "\n")]),
        (b"data:\n\n", [("message", "")]),
        (b"\n\n\n", []),
        (b": keep-alive\n\n: OPENROUTER PROCESSING\n\ndata: x\n\n", [("message", "x")]),
        (b"event: lost\n\ndata: x\n\n", [("message", "x")]),
        (b"id: 1\nretry: 9\nnonsense\ndata: x\n\n", [("message", "x")]),
        (b"data: cut off by the end", []),
        (b"data: cut off by the end\n", []),
        (b"\xef\xbb\xbfdata: x\n\n", [("message", "x")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
        (b"data: \xff\xfe\n\n", [("message", "\ufffd\ufffd")]),
        (b"database: x\n\n", []),
        (b"data: a\r\rdata: b\r\r", [("message", "a"), ("message", "b")]),
    ],
)
def test_the_standard(raw: bytes, events: list[tuple[str, str]]) -> None:
    assert parse(raw) == events
    assert parse(*(raw[i : i + 1] for i in range(len(raw)))) == events


def test_only_cr_and_lf_end_a_line() -> None:
    text = '{"t": "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"}'
    assert parse(f"data: {text}\n\n".encode()) == [("message", text)]


def test_a_carriage_return_ends_its_event_without_waiting_for_more() -> None:
    parser = Parser()
    assert parser.feed(b"data: x\r\n\r") == [("message", "x")]
    assert parser.feed(b"\ndata: y\n\n") == [("message", "y")]


@given(
    st.lists(
        st.sampled_from(PIECES),
        max_size=60,
    ).map(b"".join),
    st.data(),
)
def test_any_cutting_gives_what_the_whole_gives(raw: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    edges = [0, *cuts, len(raw)]
    chunks = [raw[a:b] for a, b in pairwise(edges)]
    assert parse(*chunks) == parse(raw)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))))
def test_what_goes_in_comes_out(texts: list[str]) -> None:
    raw = "".join(f"data: {text}\n\n" for text in texts).encode()
    assert parse(raw) == [("message", text) for text in texts]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 200],
        [b"x" * 60, b"x" * 60],
        [b"data: " + b"x" * 200 + b"\n\n"],
        [b"data: " + b"x" * 60 + b"\n"] * 2,
        [b"data\n"] * 101,
        [b"event: " + b"x" * 200 + b"\n"],
        [b"data: x\n\n" + b"y" * 101],
    ],
)
def test_what_is_too_large_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(TooLarge):
        parse(*chunks, limit=100)


def test_a_long_line_in_small_pieces_costs_no_square() -> None:
    # 16 MB of it: with a buffer that is copied for each piece this takes minutes.
    chunk = b"x" * 64
    events = parse(b"data: ", *[chunk] * 262_144, b"\n\n", limit=17 * 1024 * 1024)
    assert len(events[0][1]) == 64 * 262_144
