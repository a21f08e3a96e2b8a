"""Questions from views, threads, commands and generators; before_send; signals."""

import asyncio
import threading

import click
import pytest
from flask import Flask, Response, session

import apiary as names
from apiary import Apiary, NotConnected
from apiary.sandbox import PASTE_KEY
from tests.conftest import LiveSandbox
from tests.foreign.hosts import QUESTION, MakeHost, mount, put_key


def test_a_background_thread_a_command_and_a_generator(make_host: MakeHost) -> None:
    app = make_host()
    apiary = Apiary(app, owner=lambda: session.get("who"))
    put_key(app, "ann")
    question = {"model": "sandbox/echo", "messages": QUESTION}

    told: list[str] = []

    def work() -> None:
        with app.app_context():
            told.append(apiary.complete("ann", "openrouter", **question).text)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(20)
    assert told == ["Do bees dance?"]

    @app.cli.command("ask")
    @click.argument("owner")
    def ask(owner: str) -> None:
        click.echo(apiary.complete(owner, "openrouter", **question).text)

    runner = app.test_cli_runner()
    assert runner.invoke(args=["ask", "ann"]).output == "Do bees dance?\n"
    failed = runner.invoke(args=["ask", "bob"])
    assert isinstance(failed.exception, NotConnected)

    @app.get("/ask")
    def view() -> Response:
        stream = apiary.stream("ann", "openrouter", **question)
        # It runs after the view, where there is no app and no request any more.
        return Response(event.text for event in stream if isinstance(event, names.Delta))

    assert app.test_client().get("/ask").text == "Do bees dance?"
    with pytest.raises(RuntimeError):
        apiary.complete("ann", "openrouter", **question)


def test_not_mounted(make_host: MakeHost) -> None:
    app = make_host()
    with app.app_context(), pytest.raises(RuntimeError, match="not mounted in this app"):
        Apiary().connection("ann", "openrouter")
    with pytest.raises(RuntimeError, match="application context"):
        Apiary().connection("ann", "openrouter")


def test_before_send(make_host: MakeHost, sandbox: LiveSandbox) -> None:
    app, seen = make_host(), []

    def add_a_system_prompt(owner: str | None, provider: str, messages: names.Messages):
        seen.append((owner, provider, list(messages)))
        if messages[-1]["content"] == "as it is":
            return None
        return [*messages, {"role": "user", "content": "And wasps?"}]

    apiary = Apiary(app, owner=lambda: "ann", before_send=add_a_system_prompt)
    put_key(app, "7")
    with app.app_context():
        question = {"model": "sandbox/echo", "messages": QUESTION}
        assert apiary.complete(7, "openrouter", **question).text == "And wasps?"
        assert seen == [("7", "openrouter", QUESTION)]
        question["messages"] = [{"role": "user", "content": "as it is"}]
        assert apiary.complete(7, "openrouter", **question).text == "as it is"
        assert len(QUESTION) == 1


def test_before_send_that_refuses(make_host: MakeHost, sandbox: LiveSandbox) -> None:
    def refuse(*_: object) -> None:
        raise names.Forbidden("Not on Sundays.")

    app = make_host()
    apiary = Apiary(app, owner=lambda: "ann", before_send=refuse)
    put_key(app, "ann")
    with app.app_context(), pytest.raises(names.Forbidden, match="Sundays"):
        apiary.stream("ann", "openrouter", model="sandbox/echo", messages=QUESTION)


def test_signals(make_host: MakeHost) -> None:
    one, two = make_host(WTF_CSRF_ENABLED=False), make_host(WTF_CSRF_ENABLED=False)
    for app in (one, two):
        app.config["OPENROUTER_OAUTH"] = "0"
        mount(app)
    heard: list[tuple[str, Flask, dict]] = []
    receivers = {
        name: lambda sender, _name=name, **data: heard.append((_name, sender, data))
        for name in ("connected", "rejected", "disconnected")
    }
    for name, receiver in receivers.items():
        getattr(names, name).connect(receiver, one)
    for app in (one, two):
        client = app.test_client()
        assert (
            client.post("/settings/openrouter/key", data={"api_key": PASTE_KEY}).status_code == 303
        )
        client.post("/settings/openrouter/disconnect")
    assert [(name, sender) for name, sender, _ in heard] == [
        ("connected", one),
        ("disconnected", one),
    ]
    assert heard[0][2] == {"owner": "ann", "provider": "openrouter", "version": 1, "source": "key"}
    assert heard[1][2] == {"owner": "ann", "provider": "openrouter", "version": 2}
    assert PASTE_KEY not in str(heard)


def test_an_async_view(make_host: MakeHost) -> None:
    """A call that asks a model waits, so it belongs into a thread of its own."""
    app = make_host()
    apiary = Apiary(app, owner=lambda: "ann")
    put_key(app, "ann")

    @app.get("/ask")
    async def ask() -> str:
        assert apiary.connection("ann", "openrouter")
        question = {"model": "sandbox/echo", "messages": QUESTION}
        answer = await asyncio.to_thread(apiary.complete, "ann", "openrouter", **question)
        return answer.text

    assert app.test_client().get("/ask").text == "Do bees dance?"


def test_async_functions_of_the_host_s(make_host: MakeHost) -> None:
    """Not awaited, the first would be an id of its own and the second always true."""
    app = make_host(APIARY_CUSTOM_ENDPOINTS="public", WTF_CSRF_ENABLED=False)

    async def owner() -> str | None:
        await asyncio.sleep(0)
        return session.get("who")

    async def may_add_endpoint(owner: str) -> bool:
        return False

    async def before_send(owner: str, provider: str, messages: list) -> list:
        return [{"role": "user", "content": "Do wasps?"}]

    async def locale() -> str:
        return "de"

    apiary = Apiary(
        app,
        owner=owner,
        may_add_endpoint=may_add_endpoint,
        before_send=before_send,
        locale=locale,
    )

    @app.get("/ask")
    async def ask() -> str:
        question = {"model": "sandbox/echo", "messages": QUESTION}
        return (await asyncio.to_thread(apiary.complete, "ann", "openrouter", **question)).text

    client = app.test_client()
    assert client.get("/settings/").status_code == 401
    with client.session_transaction() as kept:
        kept["who"] = "ann"
    page = client.get("/settings/").text
    assert '<html lang="de">' in page
    # Said before anything is typed.
    assert "Gäste können keine" in page and 'name="base_url"' not in page
    refused = client.post("/settings/endpoint/key", data={"base_url": "https://llm.example/v1"})
    assert refused.status_code == 403
    put_key(app, "ann")
    assert client.get("/ask").text == "Do wasps?"
