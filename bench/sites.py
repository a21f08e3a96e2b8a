"""Two chat pages as a browser meets them: where they are, how to ask, where the answer stands."""

import contextlib
import json
import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import peers
import world

LAST = "That was the last word."
#: 4,000 tokens as fast as they go, the same at 250 a second, and a short answer.
LONG, PACED, SHORT = "mock-c4000-d0-x1", "mock-c4000-d4-x1", "mock-c150-d0-x1"


@dataclass(frozen=True)
class Site:
    """``start`` is run in each page before its own scripts, ``cookies`` are for its host.

    ``box`` takes a question, which Enter sends; ``answer`` finds the answers' texts.
    ``talk`` is the address of a conversation of 200 messages.
    """

    name: str
    server: world.Server
    home: str
    talk: str
    box: str
    answer: str
    cookies: dict[str, str] = field(default_factory=dict)
    start: str = ""

    def new(self, model: str) -> tuple[str, str]:
        """The address where a question to this model can be written, and its script."""
        if self.cookies:  # Apiary remembers the last choice.
            choice = json.dumps(json.dumps({"provider": "openrouter", "model": model}))
            return self.home, f"localStorage.setItem('apiary:model:new', {choice});"
        return f"{self.home}?models={model}", self.start


@contextlib.contextmanager
def apiary(folder: Path, mock: int) -> Iterator[Site]:
    instance = folder / "browsing"
    openrouter = f"http://127.0.0.1:{mock}"
    (line,) = world.populate(instance, openrouter, 1, 0)
    cookie = line.split("\t")[0].removeprefix("Cookie: ")
    name, _, value = cookie.partition("=")
    talk = world.conversation(instance, conversation())
    with world.apiary(instance, openrouter) as server:
        home = f"http://localhost:{server.port}/"
        yield Site(
            "apiary", server, home, f"{home}c/{talk}", "#text", ".answer .prose", {name: value}
        )


@contextlib.contextmanager
def open_webui(folder: Path, mock: int) -> Iterator[Site]:
    with peers.open_webui(folder, mock) as running:
        port = running.server.port
        talk = peers.ask(port, "/api/v1/chats/new", {"chat": _history()}, running.token)["id"]
        home = f"http://localhost:{port}/"
        start = f"localStorage.setItem('token', {json.dumps(running.token)});"
        box, answer = "#chat-input", "[id^=message-] .chat-assistant"
        yield Site("open-webui", running.server, home, f"{home}c/{talk}", box, answer, {}, start)


def _history() -> dict[str, object]:
    """The conversation as Open WebUI's own page keeps it."""
    messages: dict[str, dict[str, object]] = {}
    before = None
    for number, text in enumerate(conversation()):
        here = str(uuid.uuid4())
        kept = {"id": here, "parentId": before, "childrenIds": [], "content": text}
        kept |= {"role": ("user", "assistant")[number % 2], "timestamp": int(time.time())}
        kept |= {"models": [SHORT]} if number % 2 == 0 else {"model": SHORT, "done": True}
        messages[here] = kept
        if before:
            messages[before]["childrenIds"] = [here]
        before = here
    history = {"currentId": before, "messages": messages}
    return {"title": "Bees", "models": [SHORT], "history": history, "messages": []}


def conversation(pairs: int = 100) -> list[str]:
    """Questions and answers in turn, 150 tokens an answer."""
    found = []
    for number in range(pairs):
        found += [f"Question {number + 1}: what do bees do?", "".join(tokens(150, seed=number))]
    return found


def tokens(count: int, seed: int = 7) -> list[str]:
    """Markdown as models write it, in pieces of about four characters; ends with LAST."""
    chance = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(400)]
    ending = _pieces(f"\n\n{LAST}")
    found: list[str] = []
    while len(found) < count - len(ending):
        found += _pieces(_section(chance, words))
    return found[: count - len(ending)] + ending


def _pieces(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def _section(chance: random.Random, words: list[str]) -> str:
    def some(count: int) -> str:
        return " ".join(chance.choices(words, k=count))

    rows = "".join(f"| {some(2)} | {chance.randint(1, 999)} |\n" for _ in range(5))
    code = "".join(f"    {some(1)} = find({some(1)!r}, {chance.random():.3f})\n" for _ in range(6))
    return (
        f"## {some(3).capitalize()}\n\n{some(40)}. **{some(3)}** {some(20)}, `{some(1)}`.\n\n"
        f"- {some(9)}\n- {some(7)}\n- *{some(4)}* {some(5)}\n\n{some(50)}.\n\n"
        f"```python\ndef {some(1)}():\n{code}```\n\n| {some(1)} | {some(1)} |\n|---|---:|\n{rows}\n"
        f"1. {some(8)}\n2. {some(8)}\n\n{some(45)}.\n\n"
    )
