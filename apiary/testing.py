"""The contract that every provider keeps, for the tests of packages that add one.

from apiary.testing import ProviderContract

class TestParrot(ProviderContract):
    def make(self, settings, http, url):
        return Parrot(settings, http, url)

Plain asserts and nothing but the standard library: any test runner will do. Each function of
:data:`CONTRACT` takes a provider that is set up to ask a server which does as :func:`serve`'s.
"""

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .addresses import Policy
from .config import Settings
from .errors import (
    ApiaryError,
    Forbidden,
    KeyRejected,
    ModelGone,
    OutOfCredit,
    ProviderDown,
    RateLimited,
    RequestRefused,
)
from .http import Http
from .providers.base import ChatRequest, Delta, Done, Event, Facts, Provider
from .secret import Secret

#: The key that the server accepts, and one that it does not.
GOOD = "sk-canary-GoodGoodGood-0123456789"
BAD = "sk-canary-BadBadBadBad-9876543210"
#: What it answers, in pieces.
PIECES = ("Grü", "ße 🐝 ", "\u2028 ok")
TEXT = "".join(PIECES)
STATUSES: dict[int, type[ApiaryError]] = {
    400: RequestRefused,
    401: KeyRejected,
    402: OutOfCredit,
    403: Forbidden,
    404: ModelGone,
    429: RateLimited,
    500: ProviderDown,
    503: ProviderDown,
}
_MESSAGES = [{"role": "user", "content": "Bees? 🐝"}]


def names(provider: Provider) -> None:
    """It has a name for addresses, one for people, and an origin that keys are bound to."""
    assert provider.name == provider.name.lower() and provider.name.isprintable()
    assert not set(provider.name) & set(" /?#%"), "the name stands in addresses"
    assert provider.label
    assert provider.origin.startswith(("http://", "https://"))
    assert provider.origin.count("/") == 2, "the origin has no path"
    assert isinstance(provider.key_prefixes, tuple)


def keys(provider: Provider) -> None:
    """A good key gives facts, a bad one is rejected; neither is ever repeated."""
    assert isinstance(provider.check(Secret(GOOD)), Facts)
    _fails(KeyRejected, provider, lambda: provider.check(Secret(BAD)))
    _fails(KeyRejected, provider, lambda: _ask(provider, "good", BAD))


def models(provider: Provider) -> None:
    """The list has the server's models, each once."""
    found = [model.id for model in provider.models(Secret(GOOD))]
    assert "good" in found and len(found) == len(set(found))


def answer(provider: Provider) -> None:
    """A whole answer comes in pieces and ends with one ``Done``, even split within a letter."""
    for model in ("good", "split"):
        events = _ask(provider, model)
        assert _text(events) == TEXT
        assert [event for event in events if isinstance(event, Done)] == [events[-1]]
    assert len([event for event in events if isinstance(event, Delta)]) > 1, "not streamed"


def refusals(provider: Provider) -> None:
    """Each status of the server is the error of the tree that says what to do."""
    for status, kind in STATUSES.items():
        _fails(kind, provider, partial(_ask, provider, f"status-{status}"))


def broken(provider: Provider) -> None:
    """An answer that breaks off is never taken for a whole one."""
    events: list[Event] = []

    def read() -> None:
        for event in provider.stream(Secret(GOOD), ChatRequest("cut", _MESSAGES)):
            events.append(event)

    _fails(ProviderDown, provider, read)
    assert _text(events) == TEXT and not any(isinstance(event, Done) for event in events)


def closing_cuts(provider: Provider) -> None:
    """``close()`` from another thread ends an answer that waits, without an error."""
    stream = provider.stream(Secret(GOOD), ChatRequest("stall", _MESSAGES))
    threading.Timer(0.1, stream.close).start()
    begun = time.monotonic()
    list(stream)
    assert time.monotonic() - begun < 3, "close() did not end the answer"


#: All of it.
CONTRACT: tuple[Callable[[Provider], None], ...] = (
    names,
    keys,
    models,
    answer,
    refusals,
    broken,
    closing_cuts,
)


class ProviderContract:
    """Inherit it and say how the provider is made; a test runner finds the rest."""

    def make(self, settings: Settings, http: Http, url: str) -> Provider:
        """The provider, asking the server at ``url``, such as http://127.0.0.1:40321."""
        raise NotImplementedError

    def server(self) -> AbstractContextManager[str]:
        """The server; another one where the provider does not speak OpenAI's wire form."""
        return serve()

    @contextmanager
    def _provider(self) -> Iterator[Provider]:
        with tempfile.TemporaryDirectory() as folder, self.server() as url:
            settings = Settings.from_mapping({}, folder)
            http = Http(Policy.from_settings(settings, also=[url]))
            try:
                yield self.make(settings, http, url)
            finally:
                http.dispose()

    def test_names(self) -> None:
        with self._provider() as provider:
            names(provider)

    def test_keys(self) -> None:
        with self._provider() as provider:
            keys(provider)

    def test_models(self) -> None:
        with self._provider() as provider:
            models(provider)

    def test_answer(self) -> None:
        with self._provider() as provider:
            answer(provider)

    def test_refusals(self) -> None:
        with self._provider() as provider:
            refusals(provider)

    def test_broken(self) -> None:
        with self._provider() as provider:
            broken(provider)

    def test_closing_cuts(self) -> None:
        with self._provider() as provider:
            closing_cuts(provider)


@contextmanager
def serve() -> Iterator[str]:
    """A server on this machine that speaks OpenAI's wire form below ``/v1``.

    The name of the model says how it behaves: ``good``, ``split`` (byte by byte), ``cut`` (hangs
    up in the midst), ``stall`` (says nothing), ``status-402`` and so on.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Wire)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Wire(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self._key() != GOOD:
            self._say(401, {"error": {"message": f"The key {self._key()} is not good."}})
        elif self.path == "/v1/models":
            self._say(200, {"data": [{"id": "good"}, {"id": "cut"}]})
        else:
            self._say(404, {"error": {"message": "not here"}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = asked["model"]
        if self._key() != GOOD:
            self._say(401, {"error": {"message": f"The key {self._key()} is not good."}})
        elif model.startswith("status-"):
            self._say(int(model[7:]), {"error": {"message": f"No, says {self._key()}."}})
        else:
            self._stream(model)

    def _stream(self, model: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if model == "stall":
            # Until the client hangs up.
            self.rfile.read(1)
            return
        for piece in PIECES:
            self._event({"choices": [{"delta": {"content": piece}}]}, model)
        if model == "cut":
            return
        self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]}, model)
        self._event("[DONE]", model)
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: Any, model: str) -> None:
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        raw = f"data: {text}\n\n".encode()
        size = 1 if model == "split" else len(raw)
        for at in range(0, len(raw), size):
            self.wfile.write(b"%x\r\n%b\r\n" % (size, raw[at : at + size]))

    def _say(self, status: int, data: Any) -> None:
        raw = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _key(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test runner's output is for the tests."""


def _ask(provider: Provider, model: str, key: str = GOOD) -> list[Event]:
    with closing(provider.stream(Secret(key), ChatRequest(model, _MESSAGES))) as stream:
        return list(stream)


def _text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def _fails(kind: type[ApiaryError], provider: Provider, call: Callable[[], object]) -> None:
    try:
        call()
    except ApiaryError as error:
        assert type(error) is kind, f"{type(error).__name__} in place of {kind.__name__}"
        assert error.provider == provider.name, "the error does not name the provider"
        told = f"{error!r} {vars(error)}"
        assert not any(key[at : at + 8] in told for key in (GOOD, BAD) for at in range(26)), (
            "the error repeats the key"
        )
    else:
        raise AssertionError(f"no {kind.__name__}")
