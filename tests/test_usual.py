"""What is known by its bytes says what the parser would have said."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiary.replies import Events, Said
from apiary.sse import Parser
from apiary.usual import Usual


class Pieces:
    """A source of bytes that come in these pieces."""

    dry = False

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self) -> bytes | None:
        return next(self._pieces, None)

    def pausing(self, on: bool) -> None:
        return None

    def hurry(self, seconds: float) -> None: ...

    def cut(self) -> None: ...

    def release(self) -> None: ...


def only(data: str) -> str | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.keys() - {"id", "text", "more"}:
        return None
    text = found.get("text")
    return text if isinstance(text, str) else None


def texts(events: Events) -> Iterator[str]:
    """What a provider makes of them: nothing but their text is kept."""
    for event in events:
        if isinstance(event, Said):
            yield event.text
            continue
        text = only(event[1])
        if text:
            events.learn(event, text, only)
            yield text


def wire(said: Any, ascii_only: bool = True, name: str = "") -> bytes:
    line = f"event: {name}\n" if name else ""
    data = json.dumps(said, ensure_ascii=ascii_only)
    return f"{line}data: {data}\n\n".encode()


def learned(text: str = "Hi", **more: Any) -> Usual:
    usual = Usual()
    [event] = Parser().feed(wire({"id": 1, "text": text, **more}))
    usual.learn(event, text, only)
    return usual


def test_one_and_several() -> None:
    usual = learned()
    assert usual.read(wire({"id": 1, "text": " there"})) == " there"
    assert usual.read(b"".join(wire({"id": 1, "text": t}) for t in ("a", "", "b"))) == "ab"
    assert usual.read(wire({"id": 1, "text": "one\ntwo\n"})) == "one\ntwo\n"
    assert usual.read(wire({"id": 1, "text": "Grüße 🐝"}, ascii_only=False)) == "Grüße 🐝"


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        wire({"id": 2, "text": "x"}),
        wire({"id": 1, "text": "x", "more": 1}),
        wire({"id": 1, "text": None}),
        wire({"id": 1, "text": 'say "x"'}),
        wire({"id": 1, "text": "ends in \\"}),
        wire({"id": 1, "text": "\\n"}),
        wire({"id": 1, "text": "tab\t"}),
        wire({"id": 1, "text": "🐝"}),
        wire({"id": 1, "text": "x"}, name="other"),
        wire({"id": 1, "text": "x"})[:-1],
        wire({"id": 1, "text": "x"})[1:],
        wire({"id": 1, "text": "x"}) + b": comment\n\n",
        wire({"id": 1, "text": "x"}) + wire({"id": 1, "text": "x", "more": 1}),
        b'data: {"id": 1, "text": "a\nb"}\n\n',
        b'data: {"id": 1, "text": "a\x00b"}\n\n',
        b'data: {"id": 1, "text": "\xff"}\n\n',
        b'data: {"id": 1, "text": "\xed\xa0\x80"}\n\n',
        b'data: {"id": 1, "text": "x", "text": "y"}\n\n',
        b'data: {"id": 1, "text": "}\n\n',
        b'data: {"id": 1, "text": "a\\"}\n\ndata: {"id": 1, "text": "nb"}\n\n',
    ],
)
def test_the_rest_is_left_to_the_parser(piece: bytes) -> None:
    assert learned().read(piece) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ('{"id": "Hi", "text": "Hi"}', "Hi"),
        ('{"id": "Hi", "text": "\\u0048i"}', "Hi"),
        ('{"id": "Hi", "text": "\\u0048i", "more": 1}', "Hi"),
        ('{"id": 1, "text": "Hi", "error": 1}', "Hi"),
        ('{"id": 1, "text": "\\u0048i"}', "Hi"),
        ('{"id": 1, "text": "\\n"}', "\n"),
        ('{"id": 1,\n"text": "Hi"}', "Hi"),
        (json.dumps({"id": "x" * 5000, "text": "Hi"}), "Hi"),
    ],
)
def test_what_cannot_be_told_apart_is_not_learned(data: str, text: str) -> None:
    usual = Usual()
    usual.learn(("message", data), text, only)
    assert usual.read(wire(json.loads(data))) is None


def test_who_says_something_new_each_time_is_not_asked_for_ever() -> None:
    usual, asked = Usual(), 0

    def read(data: str) -> str | None:
        nonlocal asked
        asked += 1
        return only(data)

    for number in range(100):
        usual.learn(("message", json.dumps({"id": number, "text": "Hi"})), "Hi", read)
    assert asked == 4


def test_a_form_that_changes_now_and_then_is_learned_again() -> None:
    pieces = [wire({"id": n // 10, "text": f"{n}."}) for n in range(200)]
    seen = list(Events(200, {}, Pieces(pieces)).__iter__())
    assert len(seen) == 200
    events = Events(200, {}, Pieces(pieces))
    known = 0
    for event in events:
        if isinstance(event, Said):
            known += 1
        else:
            events.learn(event, str(only(event[1])), only)
    assert known >= 170


SPOILING = ['"', "\\", "\\n", "\n", "\r", "\0", "\u2028", '"}', "\n\n", "data: ", "é🐝", "Hi", " "]
TEXTS = st.lists(st.sampled_from([*SPOILING, "word", "another one"]), max_size=4).map("".join)
EVENTS = st.one_of(
    st.builds(
        lambda text, ascii_only, name: (wire({"id": 1, "text": text}, ascii_only, name), text),
        TEXTS | st.text(max_size=6),
        st.booleans(),
        st.sampled_from(["", "", "", "add"]),
    ),
    st.builds(
        lambda text, more: (wire({"id": 2, "text": text, "more": more}), text),
        TEXTS,
        st.sampled_from(["Hi", 'a "quote" of it', None]),
    ),
    st.sampled_from([(b": comment\n\n", ""), (b"\n", ""), (b"data: [DONE]\n\n", "")]),
)


@given(st.lists(EVENTS, max_size=12), st.lists(st.integers(0, 400), max_size=6))
def test_in_whatever_pieces_it_comes(events: list[tuple[bytes, str]], cuts: list[int]) -> None:
    raw = b"".join(piece for piece, _ in events)
    at = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[one:other] for one, other in pairwise(at)]
    said = "".join(text for _, text in events).encode("utf-8", "replace").decode()
    found = "".join(texts(Events(200, {}, Pieces(pieces))))
    assert found.encode("utf-8", "replace").decode() == said


@given(st.lists(EVENTS, max_size=12))
def test_event_by_event(events: list[tuple[bytes, str]]) -> None:
    found = list(texts(Events(200, {}, Pieces([piece for piece, _ in events]))))
    expected = [text for _, text in events if text]
    joined = [text.encode("utf-8", "replace") for text in found if text]
    assert joined == [text.encode("utf-8", "replace") for text in expected]
