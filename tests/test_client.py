"""What a host calls: lists of models that age well, answers, and keys that die."""

import socket
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from flask import Flask

from apiary import (
    Forbidden,
    KeyRejected,
    KeyUnreadable,
    Model,
    ModelGone,
    NotConnected,
    OutOfCredit,
    Provider,
    ProviderDown,
    RateLimited,
    database,
)
from apiary.crypto import KeyRing, new_key
from apiary.providers.base import Delta, Done, Facts, Usage
from apiary.secret import Secret
from tests.conftest import LiveSandbox

QUESTION = [{"role": "user", "content": "Hello bees"}]


@pytest.fixture
def connected_app(make_app, paste_key: str) -> Flask:
    app = make_app()
    state = app.extensions["apiary"]
    with app.app_context(), database.connection_context():
        key = Secret(paste_key)
        state.vault.put("o", state.providers["openrouter"], key, source="key", facts=Facts())
    return app


def test_an_answer_in_pieces(connected_app: Flask) -> None:
    apiary = connected_app.extensions["test_apiary"]
    with connected_app.app_context():
        events = list(apiary.stream("o", "openrouter", model="sandbox/echo", messages=QUESTION))
    assert "".join(e.text for e in events if isinstance(e, Delta)) == "Hello bees"
    assert [type(e) for e in events][-2:] == [Usage, Done]
    assert events[-1].finish_reason == "stop" and events[-2].cost is not None


def test_a_whole_answer(connected_app: Flask) -> None:
    apiary = connected_app.extensions["test_apiary"]
    with connected_app.app_context():
        answer = apiary.complete("o", "openrouter", model="sandbox/reasoning", messages=QUESTION)
    assert answer.text and answer.reasoning and answer.finish_reason == "stop"


def test_attribution(connected_app: Flask, sandbox: LiveSandbox) -> None:
    apiary = connected_app.extensions["test_apiary"]
    with connected_app.app_context():
        apiary.complete("o", "openrouter", model="sandbox/echo", messages=QUESTION)
    headers = {k.lower(): v for k, v in sandbox.state.journal.chats()[-1].headers.items()}
    assert headers["http-referer"] == "http://localhost"
    assert headers["x-openrouter-title"] == "Apiary"


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("error-402", OutOfCredit),
        ("error-403", Forbidden),
        ("error-403-moderation", Forbidden),
        ("error-403-limit", Forbidden),
        ("error-404", ModelGone),
        ("error-429", RateLimited),
        ("error-500", ProviderDown),
        ("error-502", ProviderDown),
        ("error-503", ProviderDown),
        ("cut", ProviderDown),
        ("mid-error", ProviderDown),
        ("html", ProviderDown),
    ],
)
def test_errors_leave_the_connection_alone(
    connected_app: Flask, model: str, error: type[Exception]
) -> None:
    apiary = connected_app.extensions["test_apiary"]
    with connected_app.app_context():
        with pytest.raises(error):
            apiary.complete("o", "openrouter", model=f"sandbox/{model}", messages=QUESTION)
        assert apiary.connection("o", "openrouter").state == "connected"


def test_a_dead_key_is_noticed_and_taken_back_when_it_lives(
    connected_app: Flask, sandbox: LiveSandbox, paste_key: str
) -> None:
    apiary = connected_app.extensions["test_apiary"]
    sandbox.state.revoke(paste_key)
    with connected_app.app_context():
        with pytest.raises(KeyRejected, match="OpenRouter no longer accepts this key"):
            apiary.complete("o", "openrouter", model="sandbox/echo", messages=QUESTION)
        assert apiary.connection("o", "openrouter").state == "rejected"


def test_nobody_is_not_connected(make_app) -> None:
    app = make_app()
    apiary = app.extensions["test_apiary"]
    with app.app_context():
        for owner in ("stranger", None):
            with pytest.raises(NotConnected):
                apiary.complete(owner, "openrouter", model="sandbox/echo", messages=QUESTION)
        with pytest.raises(NotConnected):
            apiary.models("stranger", "openrouter")
        with pytest.raises(NotConnected, match="no provider named"):
            apiary.models("stranger", "nonesuch")


def test_a_host_s_own_key_is_used_only_when_given(
    make_app, sandbox: LiveSandbox, paste_key: str
) -> None:
    app = make_app()
    apiary = app.extensions["test_apiary"]
    with app.app_context():
        answer = apiary.complete(
            None, "openrouter", model="sandbox/echo", messages=QUESTION, api_key=paste_key
        )
        assert answer.text == "Hello bees"
        with pytest.raises(NotConnected):
            apiary.complete("o", "openrouter", model="sandbox/echo", messages=QUESTION)
    assert len(sandbox.state.journal.chats()) == 1


def test_an_unreadable_key_goes_nowhere(connected_app: Flask, sandbox: LiveSandbox) -> None:
    connected_app.extensions["apiary"].vault.ring = KeyRing.parse(new_key("k1"))
    apiary = connected_app.extensions["test_apiary"]
    with connected_app.app_context(), pytest.raises(KeyUnreadable):
        apiary.complete("o", "openrouter", model="sandbox/echo", messages=QUESTION)
    assert sandbox.state.journal.chats() == []


def test_the_list_is_kept_when_a_refresh_fails(connected_app: Flask, sandbox: LiveSandbox) -> None:
    apiary = connected_app.extensions["test_apiary"]
    lists = connected_app.extensions["apiary"].client._lists
    with connected_app.app_context():
        first = apiary.catalogue("o", "openrouter")
        assert len(first.models) > 300 and not first.stale
        asked = len(sandbox.state.journal.entries("/api/v1/models"))
        apiary.catalogue("o", "openrouter")
        assert len(sandbox.state.journal.entries("/api/v1/models")) == asked
        sandbox.state.switches.models_status = 500
        for kept in lists.values():
            kept.next_try = 0
        second = apiary.catalogue("o", "openrouter")
        assert second.models == first.models and second.fetched_at == first.fetched_at
        assert second.stale and second.problem


class Listing(Provider):
    """Which models there are depends on the key. ``meanwhile`` happens while it is asked."""

    name, label, origin, one_list = "listing", "Listing", "https://listing.example", False
    meanwhile = staticmethod(lambda: None)

    def check(self, key):
        return Facts()

    def models(self, key):
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return [Model(key.reveal(), "A model")]

    def stream(self, key, request):
        raise NotImplementedError


def test_a_list_of_the_key_before_is_not_kept(make_app) -> None:
    provider = Listing()
    app = make_app(providers=(provider,))
    apiary, state = app.extensions["test_apiary"], app.extensions["apiary"]

    def put(key: str) -> None:
        with database.connection_context():
            state.vault.put("o", provider, Secret(key), source="key", facts=Facts())

    with app.app_context():
        put("old-key-1234567890")
        provider.meanwhile = lambda: put("new-key-1234567890")
        apiary.models("o", "listing")
        assert [model.id for model in apiary.models("o", "listing")] == ["new-key-1234567890"]


def test_nor_is_it_where_another_process_took_the_new_one(make_app, tmp_path) -> None:
    same = {"APIARY_INSTANCE_PATH": str(tmp_path / "same")}
    one, other = (make_app(providers=(Listing(),), **same) for _ in range(2))
    for app, key in ((one, "old-key-1234567890"), (other, "new-key-1234567890")):
        state = app.extensions["apiary"]
        with app.app_context():
            with database.connection_context():
                listing = state.providers["listing"]
                state.vault.put("o", listing, Secret(key), source="key", facts=Facts())
            assert app.extensions["test_apiary"].models("o", "listing")[0].id == key
    with one.app_context():
        assert one.extensions["test_apiary"].models("o", "listing")[0].id == "new-key-1234567890"


def test_each_key_of_the_hosts_own_has_its_list(make_app) -> None:
    app = make_app(providers=(Listing(),))
    apiary, state = app.extensions["test_apiary"], app.extensions["apiary"]
    keys = ("first-key-1234567890", "second-key-1234567890")
    with app.app_context():
        with database.connection_context():
            stored = Secret("stored-key-1234567890")
            listing = state.providers["listing"]
            state.vault.put("o", listing, stored, source="key", facts=Facts())
        for owner in (None, "o"):
            for key in keys:
                assert apiary.models(owner, "listing", api_key=key)[0].id == key
        assert apiary.models("o", "listing")[0].id == "stored-key-1234567890"


def test_long_lists_push_out_those_that_were_not_asked_for_lately(make_app) -> None:
    class Endless(Listing):
        asked = 0

        def models(self, key):
            self.asked += 1
            return [Model(f"{n}", "A model") for n in range(20_000)]

    provider = Endless()
    app = make_app(providers=(provider,))
    apiary, lists = app.extensions["test_apiary"], app.extensions["apiary"].client._lists

    def ask(number: int) -> None:
        assert len(apiary.models(None, "listing", api_key=f"key-number-{number:010}")) == 20_000

    with app.app_context():
        for number in range(8):
            ask(number)
            ask(0)
        assert len(lists) == 5 and provider.asked == 8
        ask(7)
        assert provider.asked == 8
        ask(1)
        assert provider.asked == 9 and len(lists) == 5


def test_who_has_no_list_waits_for_who_asks_for_it(make_app) -> None:
    """A question is asked while the page fetches the list: it needs a model of it."""
    provider = Listing()
    app = make_app(providers=(provider,))
    apiary = app.extensions["test_apiary"]

    def ask() -> list[Model]:
        with app.app_context():
            return apiary.models("o", "listing", api_key="some-key-1234567890")

    def meanwhile() -> None:
        other = pool.submit(ask)
        assert futures.wait([other], timeout=0.2).not_done
        waiting.append(other)

    provider.meanwhile = meanwhile
    waiting: list[Future[list[Model]]] = []
    with ThreadPoolExecutor(1) as pool:
        first = ask()
        assert waiting[0].result() == first and len(first) == 1


class Dying(Provider):
    """Its answers lose their key in mid-stream; with a socket, for who must not wait."""

    name, label, origin = "dying", "Dying", "https://dying.example"

    def check(self, key):
        return Facts()

    def models(self, key):
        return []

    def stream(self, key, request):
        return _Cut()


class _Cut:
    def __init__(self):
        self._sock, self._other = socket.socketpair()

    def __iter__(self):
        yield Delta("Bees ")
        raise KeyRejected("no", provider="dying")

    def pausing(self, on):
        return self._sock

    def close(self):
        self._sock.close()
        self._other.close()


@pytest.mark.parametrize("pauses", [False, True])
def test_a_key_that_dies_in_mid_stream_is_marked_where_waiting_is_allowed(make_app, pauses) -> None:
    app = make_app(providers=(Dying(),))
    apiary, state = app.extensions["test_apiary"], app.extensions["apiary"]
    with app.app_context():
        with database.connection_context():
            key = Secret("dying-key-1234567890")
            state.vault.put("o", state.providers["dying"], key, source="key", facts=Facts())
        stream = apiary.stream("o", "dying", model="any", messages=QUESTION)
        if pauses:
            stream.pausing(True)
        with pytest.raises(KeyRejected, match="Dying no longer accepts this key"):
            list(stream)
        assert (apiary.connection("o", "dying").state == "connected") is pauses
        stream.close()
        assert apiary.connection("o", "dying").state == "rejected"
