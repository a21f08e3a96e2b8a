"""What a run needs around it: the tools, the servers, and an instance with people in it."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import procstat

ROOT = Path(__file__).resolve().parent.parent
KEY = "sk-or-v1-" + "0123456789abcdef" * 4
_NGINX = """
daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
  fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream mock {{ server 127.0.0.1:{mock}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{
    proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; }} }}
}}
"""


def build(folder: Path) -> None:
    """Compile the load generator and the upstream.

    :raises RuntimeError: there is no C compiler.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("The load tools need a C compiler: apt install gcc.")
    for name in ("loadgen", "mockup"):
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run([compiler, "-O2", "-o", folder / name, source], check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A running server, and how long it took until it answered."""

    port: int
    process: "subprocess.Popen[bytes]"
    cold: float

    @property
    def pids(self) -> list[int]:
        return procstat.tree(self.process.pid)


@contextlib.contextmanager
def serve(
    command: list[str],
    port: int,
    ready: str,
    log: Path,
    environ: dict[str, str] | None = None,
    folder: Path = ROOT,
    patience: float = 60,
) -> Iterator[Server]:
    """Run a server for the length of a block; it has ``patience`` s to answer ``ready``."""
    began = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=output, stderr=output, start_new_session=True
        )
    try:
        while not _answers(port, ready):
            if process.poll() is not None or time.monotonic() - began > patience:
                raise RuntimeError(f"{command[:3]} does not answer; see {log}")
            time.sleep(0.01)
        yield Server(port, process, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def upstream(
    folder: Path, words: Path | None = None
) -> "contextlib.AbstractContextManager[Server]":
    """The provider. ``words``: see the head of mockup.c."""
    port = free_port()
    command = [str(folder / "mockup"), "-p", str(port), *(["-t", str(words)] if words else [])]
    return serve(command, port, "/stats", folder / "log")


def nginx(folder: Path, mock: int) -> "contextlib.AbstractContextManager[Server]":
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, mock=mock, port=port))
    found = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [found, "-e", str(folder / "nginx.log"), "-c", str(config)]
    return serve(command, port, "/stats", folder / "log")


def apiary(
    instance: Path, openrouter: str, **settings: str
) -> "contextlib.AbstractContextManager[Server]":
    """The app by its own production command, on an instance folder."""
    port = free_port()
    environ = settings_of(instance, openrouter, port) | settings
    command = [sys.executable, "scripts/serve.py", "run"]
    return serve(command, port, "/healthz", instance.parent / "log", environ)


def settings_of(instance: Path, openrouter: str, port: int) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("APIARY_", "OPENROUTER"))}
    names = [
        line.partition("=")[0]
        for line in (ROOT / "flags.env").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    ]
    return (
        plain
        | dict.fromkeys(names, "")
        | {
            "PORT": str(port),
            "APIARY_INSTANCE_PATH": str(instance),
            "APIARY_OPENROUTER_URL": openrouter,
            "APIARY_PUBLIC_URL": f"http://localhost:{port}",
            "OPENROUTER_OAUTH": "1",
            "APIARY_PROXY_HOPS": "1",
        }
    )


def populate(
    instance: Path, openrouter: str, people: int, messages: int, **settings: str
) -> list[str]:
    """People who are connected, and messages of the first one; their headers, one line each."""
    from flask import session
    from flask_wtf.csrf import generate_csrf

    from apiary import database
    from apiary.host import accounts, create_app
    from apiary.host.tables import Account
    from apiary.providers.base import Facts
    from apiary.secret import Secret

    # A key is bound to the origin that it was given for.
    where = {"APIARY_INSTANCE_PATH": str(instance), "APIARY_OPENROUTER_URL": openrouter}
    app = create_app(where | settings)
    done = app.test_cli_runner().invoke(args=["apiary", "upgrade"])
    if done.exit_code:
        raise RuntimeError(done.output)
    state = app.extensions["apiary"]
    signer = app.session_interface.get_signing_serializer(app)
    lines = []
    for number in range(people):
        with app.test_request_context("/"), database.connection_context():
            accounts.new_guest()
            owner = session["_user_id"]
            Account.create(id=owner)
            state.vault.put(
                owner, state.providers["openrouter"], Secret(KEY), source="key", facts=Facts()
            )
            token = generate_csrf()
            cookie = f"{app.config['SESSION_COOKIE_NAME']}={signer.dumps(dict(session))}"
            # Each from a network of its own: how often one may ask is limited.
            address = f"X-Forwarded-For: 10.{number // 250}.{number % 250}.1"
            lines.append(
                f"Cookie: {cookie}\tX-CSRFToken: {token}\t{address}\tAccept: text/event-stream"
            )
            if number == 0 and messages:
                _write(owner, messages)
    return lines


def conversation(instance: Path, texts: list[str]) -> str:
    """Questions and answers in turn, of the only account there is; the conversation's id."""
    from apiary import database
    from apiary.host import create_app
    from apiary.host.tables import Account, Conversation, Message, new_id

    app = create_app({"APIARY_INSTANCE_PATH": str(instance)})
    with app.app_context(), database.connection_context(), database.atomic():
        kept = Conversation.create(owner=Account.get().id, title="Bees")
        before = None
        for position, text in enumerate(texts):
            before = Message.create(
                id=new_id(),
                conversation=kept.id,
                position=position,
                parent=before and before.id,
                role=("user", "assistant")[position % 2],
                state=("sent", "complete")[position % 2],
                text=text,
            )
        return str(kept.id)


def _write(owner: str, count: int) -> None:
    """Conversations of a hundred messages each, of words that differ."""
    from apiary import database
    from apiary.host.tables import Conversation, Message, new_id

    words = [secrets.token_hex(3) for _ in range(2000)]
    rows = []
    with database.atomic():
        for number in range(count // 100):
            kept = Conversation.create(owner=owner, title=f"About {words[number % 2000]}")
            for position in range(100):
                at = number * 100 + position
                rows.append(
                    {
                        "id": new_id(),
                        "conversation": kept.id,
                        "position": position,
                        "role": ("user", "assistant")[position % 2],
                        "state": ("sent", "complete")[position % 2],
                        "text": " ".join(words[(at * 7 + k * k) % 2000] for k in range(40))
                        + (" hexagonal honeycomb" if at % 1000 == 0 else ""),
                    }
                )
            if len(rows) >= 500:
                Message.insert_many(rows).execute()
                rows.clear()
        if rows:
            Message.insert_many(rows).execute()
