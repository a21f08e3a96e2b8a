"""The renderer of answers, in a real browser under the real policy, against hostile markdown."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

_CORPUS = (Path(__file__).parents[1] / "corpora" / "xss.md").read_text(encoding="utf-8")
PAYLOADS = [part.strip("\n") for part in _CORPUS.split("\n%%%%\n")[1:]]


def test_the_corpus_is_large_enough() -> None:
    assert len(PAYLOADS) >= 60
    assert len(set(PAYLOADS)) == len(PAYLOADS)


def test_nothing_hostile_comes_through_whole(ground: Page) -> None:
    wrong = ground.evaluate(
        "texts => texts.map(text => [text, audit(once(text))]).filter(([, w]) => w.length)",
        PAYLOADS,
    )
    ground.evaluate("settled()")
    assert wrong == []


def test_nothing_hostile_comes_through_after_a_click(ground: Page) -> None:
    """Whatever can be clicked or focused is, with navigation held back."""
    ground.evaluate(
        """async texts => {
          addEventListener("click", (event) => event.preventDefault());
          for (const text of texts) {
            for (const el of once(text).querySelectorAll("*")) {
              el.click();
              el.focus?.();
              el.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
            }
          }
          await settled();
        }""",
        PAYLOADS,
    )


@pytest.mark.parametrize("start", range(0, len(PAYLOADS), 26))
def test_nothing_hostile_comes_through_in_two_pieces(ground: Page, start: int) -> None:
    """Cut at every character; the halves are painted one after the other."""
    wrong = ground.evaluate(
        """async texts => {
          const runs = texts.flatMap(text =>
            [...text].map((_, at) => streamed([text.slice(0, at + 1), text.slice(at + 1)])));
          const wrong = await Promise.all(runs);
          await settled();
          return wrong.flat();
        }""",
        PAYLOADS[start : start + 26],
    )
    assert wrong == []


def test_nothing_hostile_comes_through_in_small_pieces(ground: Page) -> None:
    """Seven characters at a time, with text before and behind."""
    wrong = ground.evaluate(
        """async texts => {
          const runs = texts.map(text => streamed(
            `Before.\\n\\n${text}\\n\\nBehind **this**.`.match(/[^]{1,7}/g)));
          const wrong = await Promise.all(runs);
          await settled();
          return wrong.flat();
        }""",
        PAYLOADS,
    )
    assert wrong == []


def test_raw_html_is_shown_as_text(ground: Page) -> None:
    text = 'Text with <b onclick="x()">raw</b> HTML.\n\n<script>alert(1)</script>'
    assert ground.evaluate("text => once(text).innerText", text).split() == text.split()


def test_images_become_links_that_say_where_they_lead(ground: Page) -> None:
    found = ground.evaluate(
        "() => once('![A bee](https://evil.example/a.png?x=1)').innerHTML",
    )
    assert "<img" not in found
    assert "A bee" in found and "(evil.example)" in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[https://good.example](https://evil.example/x)", "https://good.example (evil.example)"),
        ("[x](https://good.example@evil.example/)", "x (evil.example)"),
        ("[mail](mailto:me@example.org)", "mail (me@example.org)"),
        ("https://example.org/a", "https://example.org/a"),
        ("[relative](/settings/)", "relative"),
    ],
)
def test_a_link_says_its_host(ground: Page, text: str, said: str) -> None:
    assert ground.evaluate("text => once(text).innerText.trim()", text) == said


def test_headings_stay_below_those_of_the_page(ground: Page) -> None:
    tags = ground.evaluate(
        "() => [...once('# a\\n\\n## b\\n\\n### c\\n\\n#### d').children].map(e => e.localName)"
    )
    assert tags == ["h3", "h3", "h3", "h4"]


SAMPLES = [
    "plain",
    "a\n\nb\n\nc",
    "# one\n\n## two\n\nthree\n===",
    "*a* **b** ***c*** ~~d~~ `e` snake_case_name arr[0]",
    "- a\n- b\n\n  more\n- c\n  - d\n    1. e\n\nend",
    "1. a\n2. b\n\n3. c",
    "7. seven\n8. eight",
    "- [ ] open\n- [x] done",
    "> quote\nlazy\n\n> > nested",
    "```python\ndef f(x):\n    return 'y'  # z\n```\n\nafter",
    "~~~\ntilde\n~~~",
    "- item\n\n  ```js\n  const a = 1;\n  ```\n\n- next",
    "```\nnever closed\n\n- x",
    "    indented\n\n    code",
    "| a | b |\n|:-:|--:|\n| 1 | 2 |\n| 3 | 4 |\n\nafter",
    "[ref][r] and [later][s]\n\n[r]: https://a.example 'T'\n\ntext\n\n[s]: https://b.example",
    "line  \nbreak\\\nbreak",
    "&amp; &copy; &lt;b&gt;",
    "---\n\n***\n\n___",
    "<div>\n\n**bold**\n\n</div>",
    "https://a.example, www.b.example and <me@c.example>",
    "windows\r\n\r\nline ends\r\n\r\n```\r\ncode\r\n```\r\n",
    "zwölf 🐝 ‮rtl‬ 日本語",
]


@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_stream_ends_as_the_whole_text_is_rendered(ground: Page, size: int) -> None:
    pairs = ground.evaluate(
        """async ([texts, size]) => {
          const pieces = (text) => text.match(new RegExp(`[^]{1,${size}}`, "g"));
          const runs = await Promise.all(texts.map(text => streamed(pieces(text).slice(0, 40)
            .concat(pieces(text).slice(40).join("") || []), true)));
          const whole = texts.map(text => once(text));
          await until(() => texts.every((_, n) => lookAt(runs[n]) === lookAt(whole[n])));
          return texts.map((text, n) => [text, lookAt(runs[n]), lookAt(whole[n])]);
        }""",
        [SAMPLES, size],
    )
    for text, streamed, whole in pairs:
        assert streamed == whole, text


def _long_answer() -> str:
    part = (
        "## Part\n\nSome *words* with `code`, a [link](https://example.org/x) and more words.\n\n"
        "- one\n- two\n  - three\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "```python\nfor n in range(10):\n    print(f'{n} bees')\n```\n\n"
    )
    return (part * 100)[:16_000]


def test_a_long_answer_renders_fast(ground: Page) -> None:
    """16,000 characters; 120 ms on two cores; the limit leaves room for slow ones."""
    spent = ground.evaluate(
        "text => { const t = performance.now(); once(text); return performance.now() - t }",
        _long_answer(),
    )
    assert spent < 1000


@pytest.mark.parametrize(
    "text",
    [
        "> " * 5_000,
        "[" * 20_000,
        "*a " * 10_000,
        "`" * 9_999 + "x",
        "- " * 3_000,
        "<" * 20_000,
        "![" * 10_000,
        "|" * 10_000 + "\n" + "|-" * 5_000,
    ],
    ids=lambda text: text[:3],
)
def test_nobody_can_freeze_the_page(ground: Page, text: str) -> None:
    spent = ground.evaluate(
        "text => { const t = performance.now(); once(text); return performance.now() - t }", text
    )
    assert spent < 2000


def _parse(page: Page, pieces: list[str]) -> Any:
    return page.evaluate(
        "pieces => { const p = new Parser(); return pieces.flatMap(piece => p.push(piece)) }",
        pieces,
    )


_STREAM = (
    ': open\n\nid: 1\nevent: delta\ndata: {"text":"a"}\n\n'
    ":comment\nid: 2\r\nevent: delta\r\ndata: one\r\ndata:two\r\n\r\n"
    "data\n\nretry: 5\nid: 3\rdata:  x\r\rdata: cut"
)
_EVENTS = [
    {"id": "1", "event": "delta", "data": '{"text":"a"}'},
    {"id": "2", "event": "delta", "data": "one\ntwo"},
    {"id": "2", "event": "message", "data": ""},
    {"id": "3", "event": "message", "data": " x"},
]


def test_events_are_read_wherever_the_network_cuts_them(ground: Page) -> None:
    assert _parse(ground, [_STREAM]) == _EVENTS
    assert _parse(ground, list(_STREAM)) == _EVENTS
    for at in range(len(_STREAM)):
        assert _parse(ground, [_STREAM[:at], _STREAM[at:]]) == _EVENTS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("so $E = mc^2$ holds", "E=mc2"),
        (r"so \(a_1\) holds", "a1"),
        ("$$\n\\int_0^1 x\n= 2\n$$", "∫01x=2"),
        ("words\n$$x + y$$\nwords", "x+y"),
        (r"\[ \frac{1}{2} \]", "12"),
        ("- a list with $x$", "x"),
        ("| a |\n|---|\n| $x$ |", "x"),
        (r"$\pmb{x}$", "𝒙"),
        (r"$$\begin{aligned} a &= b \\ c &= d \end{aligned}$$", "a=bc=d"),
    ],
)
def test_formulas_are_drawn(ground: Page, text: str, shown: str) -> None:
    found = ground.evaluate(
        """async text => {
          const el = once(text);
          await until(() => el.querySelector("math"));
          return [...el.querySelectorAll("math")].map((m) => m.textContent.replace(/\\s/g, ""));
        }""",
        text,
    )
    assert found == [shown]


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $10.",
        "From $5-$10, or US$ 3 to $4",
        "set $HOME and $PATH, or $HOME/$USER",
        "`$x$` is code",
        "one $ alone, \\$x\\$ escaped",
        "$ x $",
        "```\n$$x$$\n```",
        r"$\undefined{x}$",
        "$$x",
    ],
)
def test_dollars_that_are_no_formula(ground: Page, text: str) -> None:
    found = ground.evaluate(
        """async text => {
          const el = once(text), other = once("$x$");
          await until(() => other.querySelector("math"));
          return [el.querySelectorAll("math").length, el.textContent];
        }""",
        text,
    )
    assert found[0] == 0
    assert text.count("$") == found[1].count("$")


def test_many_signs_of_formulas_cost_no_square_of_time(ground: Page) -> None:
    for piece in ("$$", "\\[", "$a ", "\\(", "$$\n", "\\[\n\n", "$a\n"):
        took = ground.evaluate(
            "text => { const at = performance.now(); render(text); return performance.now() - at }",
            piece * (60_000 // len(piece)),
        )
        assert took < 4000, piece
