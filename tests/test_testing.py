"""The contract for packages that add a provider: ours keep it, and it catches those that do not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apiary import (
    ChatRequest,
    Compatible,
    Delta,
    Done,
    Http,
    KeyRejected,
    Model,
    Provider,
    ProviderDown,
    Secret,
    Settings,
    Stream,
    testing,
)
from apiary.providers import Anthropic, OpenAI, OpenRouter
from tests.providers.wires import Wire
from tests.servers import serve


class TestCompatible(testing.ProviderContract):
    def make(self, settings: Settings, http: Http, url: str) -> Provider:
        return Honest(settings, http, f"{url}/v1")


class TestAnthropic(testing.ProviderContract):
    """Of another wire form, with a server of its own."""

    def make(self, settings: Settings, http: Http, url: str) -> Provider:
        return Anthropic(settings, http, url)

    @contextmanager
    def server(self) -> Iterator[str]:
        with serve(Wire("anthropic")) as url:
            yield url


class TestOpenAI(testing.ProviderContract):
    def make(self, settings: Settings, http: Http, url: str) -> Provider:
        return OpenAI(settings, http, f"{url}/v1")


class TestOpenRouter(testing.ProviderContract):
    def make(self, settings: Settings, http: Http, url: str) -> Provider:
        there = Settings.from_mapping({"APIARY_OPENROUTER_URL": url}, settings.instance_path)
        return OpenRouter(there, http)

    @contextmanager
    def server(self) -> Iterator[str]:
        with serve(Wire("openrouter")) as url:
            yield url


class Honest(Compatible):
    name = "honest"
    label = "Honest"


class OddName(Honest):
    name = "Odd Name"


class BelievesAll(Honest):
    def check(self, key: Secret) -> testing.Facts:
        return testing.Facts()


class Tells(Honest):
    def check(self, key: Secret) -> testing.Facts:
        try:
            return super().check(key)
        except KeyRejected:
            raise KeyRejected(f"{key.reveal()} is bad", provider=self.name) from None


class ForgetsItsName(Honest):
    def check(self, key: Secret) -> testing.Facts:
        try:
            return super().check(key)
        except KeyRejected as error:
            raise KeyRejected(error.message) from None


class Doubles(Honest):
    def models(self, key: Secret | None) -> list[Model]:
        return super().models(key) * 2


class Changed:
    def __init__(self, stream: Stream, change: Callable) -> None:
        self.stream, self.change = stream, change

    def __iter__(self) -> Iterator:
        return self.change(self.stream)

    def close(self) -> None:
        self.stream.close()


class Swallows(Honest):
    """Takes an answer that broke off for a whole one."""

    def stream(self, key: Secret, request: ChatRequest) -> Stream:
        def change(stream: Stream) -> Iterator:
            try:
                yield from stream
            except ProviderDown:
                yield Done("stop")

        return Changed(super().stream(key, request), change)


class InOnePiece(Honest):
    def stream(self, key: Secret, request: ChatRequest) -> Stream:
        def change(stream: Stream) -> Iterator:
            yield Delta("".join(event.text for event in stream if isinstance(event, Delta)))
            yield Done("stop")

        return Changed(super().stream(key, request), change)


class Down(Honest):
    def stream(self, key: Secret, request: ChatRequest) -> Stream:
        if request.model == "status-429":
            raise ProviderDown("no", provider=self.name)
        return super().stream(key, request)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (OddName, testing.names),
        (BelievesAll, testing.keys),
        (Tells, testing.keys),
        (ForgetsItsName, testing.keys),
        (Doubles, testing.models),
        (Swallows, testing.broken),
        (InOnePiece, testing.answer),
        (Down, testing.refusals),
    ],
)
def test_it_catches_a_provider_that_does_not_keep_it(
    kind: type[Honest], part: Callable[[Provider], None]
) -> None:
    class Contract(testing.ProviderContract):
        def make(self, settings: Settings, http: Http, url: str) -> Provider:
            return kind(settings, http, f"{url}/v1")

    with Contract()._provider() as provider, pytest.raises(AssertionError):
        part(provider)


def test_the_class_has_all_of_it() -> None:
    methods = {name for name in vars(testing.ProviderContract) if name.startswith("test_")}
    assert methods == {f"test_{part.__name__}" for part in testing.CONTRACT}


def test_it_needs_no_test_framework() -> None:
    assert "pytest" not in Path(testing.__file__).read_text()
