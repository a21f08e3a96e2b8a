"""Answers over TLS, as every real provider sends them: records and tokens do not end together."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from apiary.sandbox import PASTE_KEY, Sandbox, create_app
from tests import certificates
from tests.host.browsing import Browser


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        pass


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[tuple[str, Sandbox, ssl.SSLContext]]:
    """The sandbox behind TLS, and what trusts it."""
    certificates.write(tmp_path, "localhost", "127.0.0.1")
    pair = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    app = create_app(pace=0.1)
    server = make_server("127.0.0.1", 0, app, True, request_handler=Quiet, ssl_context=pair)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    trust = ssl.create_default_context(cafile=pair[0])
    yield f"https://localhost:{server.server_port}", app.extensions["sandbox"], trust
    server.shutdown()
    server.server_close()


@pytest.fixture
def chatter(make_host: Callable, upstream: tuple[str, Sandbox, ssl.SSLContext]) -> Browser:
    url, _, trust = upstream
    # Listed, so that an address of this machine may be dialled over TLS.
    app = make_host(
        APIARY_OPENROUTER_URL=url, APIARY_ENDPOINTS=f"double={url}/v1", OPENROUTER_OAUTH="0"
    )
    app.extensions["apiary"].http._tls = trust
    browser = Browser(app)
    saved = browser.form("/settings/openrouter/key", api_key=PASTE_KEY)
    assert saved.status_code == 303, saved.text
    return browser


@pytest.mark.parametrize("model", ["echo", "long", "split", "markdown", "reasoning"])
def test_an_answer_over_tls_is_whole(chatter: Browser, model: str) -> None:
    question = "Grüße 🐝 " * 50
    events = chatter.ask(question, provider="openrouter", model=f"sandbox/{model}")
    assert events[-1].kind == "done", events[-1]
    text = "".join(e.data["text"] for e in events if e.kind == "delta")
    assert text and (model != "echo" or text == question)
    assert any(e.kind == "usage" for e in events)


def test_several_at_once_over_tls(chatter: Browser) -> None:
    token, ends = chatter.token(), []

    def ask(conversation: str) -> None:
        body = {"text": "x " * 200, "provider": "openrouter", "model": "sandbox/echo"}
        headers = {"X-CSRFToken": token, "Accept": "text/event-stream"}
        url = f"/c/{conversation}/messages"
        with chatter.client.post(url, json=body, headers=headers) as response:
            ends.append("event: done" in response.get_data(as_text=True))

    threads = [threading.Thread(target=ask, args=(chatter.conversation(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert ends == [True] * 3


def test_stop_cuts_a_silent_answer_over_tls(
    chatter: Browser, upstream: tuple[str, Sandbox, ssl.SSLContext]
) -> None:
    _, sandbox, _ = upstream
    conversation = chatter.conversation()
    answer: list[str] = []

    def ask() -> None:
        body = {"text": "x", "provider": "openrouter", "model": "sandbox/silent"}
        with chatter.send(f"/c/{conversation}/messages", body) as response:
            answer.append(response.get_data(as_text=True))

    thread = threading.Thread(target=ask)
    thread.start()
    sandbox.journal.wait(lambda e: e.path.endswith("/chat/completions") and e.status, timeout=20)
    began = time.monotonic()
    with chatter.send(f"/c/{conversation}/stop") as stopped:
        assert stopped.status_code == 204
    thread.join(10)
    assert time.monotonic() - began < 9
    assert "stopped" in answer[0]
    entry = sandbox.journal.wait(lambda e: e.outcome in {"gone", "cut"}, timeout=20)
    assert entry
