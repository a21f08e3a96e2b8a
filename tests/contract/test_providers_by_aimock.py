"""Our providers against aimock, an independent server of the providers' wire forms.

https://github.com/CopilotKit/aimock (MIT). It is installed beside the tests' other needs, in
``.venv/aimock``, at its first use.
"""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiary.addresses import Policy
from apiary.config import Settings
from apiary.errors import ApiaryError, OutOfCredit, ProviderDown, RateLimited
from apiary.http import Http
from apiary.providers import Anthropic, Endpoint, OpenAI, OpenRouter
from apiary.providers.base import ChatRequest, Delta, Done, Event, Provider, Reasoning, Usage
from apiary.secret import Secret

PACKAGE = "@copilotkit/aimock@1.43.0"
#: What it needs, as its package.json says.
NODE = (20, 15)
FOLDER = Path(__file__).parents[2] / ".venv" / "aimock"
KEY = "sk-canary-0123456789abcdef"
SAID = "Bees dance: 🐝\u2028\nthe waggle dance."
SCRIPT = """
import { LLMock } from "@copilotkit/aimock";
const mock = new LLMock({ port: 0, host: "127.0.0.1" });
const said = SAID;
mock.onMessage("plain", { content: said }, { chunkSize: 3 });
mock.onMessage("comments", { content: said }, { chunkSize: 3, openRouterProcessing: true });
mock.onMessage("think", { content: said, reasoning: "Hm." });
mock.onMessage("cut", { content: said }, { chunkSize: 2, truncateAfterChunks: 4 });
mock.onMessage("drop", { content: said }, { chaos: { disconnectRate: 1 } });
mock.onMessage("wait", { error: { message: "Slow down", type: "rate_limit_error" }, status: 429,
  retryAfter: 9 });
mock.onMessage("pay", { error: { message: "Insufficient credits", type: "billing_error" },
  status: 402 });
mock.onMessage("overloaded", { error: { message: "Overloaded", type: "overloaded_error" },
  status: 529 });
console.log(await mock.start());
""".replace("SAID", json.dumps(SAID))


def _version(node: str) -> tuple[int, ...]:
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in told.strip().removeprefix("v").split(".")[:2])


@pytest.fixture(scope="session")
def aimock() -> Iterator[str]:
    """The URL of a running aimock."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("npm is not installed: the providers are not tried against aimock")
    wanted = [PACKAGE]
    if _version(node) < NODE:
        # Debian 12 has 18; npm brings a newer one, into the same folder.
        wanted.append("node@22")
        node = str(FOLDER / "node_modules" / ".bin" / "node")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        # Several workers of pytest-xdist come here at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = FOLDER / "node_modules" / "@copilotkit" / "aimock" / "package.json"
        if not made.exists() or not shutil.which(node):
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(FOLDER), *wanted]
            subprocess.run(command, check=True, timeout=110, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(
        [node, "--input-type=module", "-e", SCRIPT],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def providers(aimock: str, tmp_path: Path) -> Iterator[dict[str, Provider]]:
    settings = Settings.from_mapping({"APIARY_OPENROUTER_URL": aimock}, tmp_path)
    http = Http(Policy.from_settings(settings, also=[aimock]))
    found: list[Provider] = [
        OpenRouter(settings, http),
        OpenAI(settings, http, f"{aimock}/v1"),
        Anthropic(settings, http, aimock),
        Endpoint(settings, http, "local", f"{aimock}/v1"),
    ]
    yield {provider.name: provider for provider in found}
    http.dispose()


@pytest.fixture(params=["openrouter", "openai", "anthropic", "local"])
def provider(request: pytest.FixtureRequest, providers: dict[str, Provider]) -> Provider:
    return providers[request.param]


def ask(provider: Provider, text: str) -> list[Event]:
    model = "claude-sonnet-4-5" if provider.name == "anthropic" else "gpt-4o"
    request = ChatRequest(model, [{"role": "user", "content": text}])
    return list(provider.stream(Secret(KEY), request))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.mark.parametrize("question", ["plain", "comments", "think"])
def test_an_answer(provider: Provider, question: str) -> None:
    events = ask(provider, question)
    assert text_of(events) == SAID
    assert events[-1] == Done("stop")
    thoughts = "".join(event.text for event in events if isinstance(event, Reasoning))
    assert thoughts == ("Hm." if question == "think" else "")
    assert sum(isinstance(event, Usage) for event in events) == 1


@pytest.mark.parametrize("question", ["cut", "drop"])
def test_an_answer_that_breaks_off(provider: Provider, question: str) -> None:
    with pytest.raises(ProviderDown):
        ask(provider, question)


@pytest.mark.parametrize(
    ("question", "kind"),
    [("wait", RateLimited), ("pay", OutOfCredit), ("overloaded", ProviderDown)],
)
def test_an_error(provider: Provider, question: str, kind: type[ApiaryError]) -> None:
    with pytest.raises(kind) as caught:
        ask(provider, question)
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 9


def test_the_list_of_models(provider: Provider) -> None:
    assert all(model.id for model in provider.models(Secret(KEY)))


def test_a_key(provider: Provider) -> None:
    assert provider.check(Secret(KEY))
