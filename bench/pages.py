"""Pages: settings, the list of models, search, and a whole Connect against the sandbox."""

import contextlib
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import world
from streams import get

Figures = dict[str, float | None]


def measure(port: int, line: str) -> Figures:
    """The median time of each page in ms, for somebody with 100,000 messages."""
    headers = dict(h.split(": ", 1) for h in line.split("\t")) | {"Accept": "application/json"}
    # A page under another name of this machine is sent to the one in the settings.
    page = headers | {"Accept": "text/html", "Host": f"localhost:{port}"}
    get(port, "/models", headers)  # The first one asks the provider.
    return {
        "settings page": _median(lambda: get(port, "/settings/", page)[0] == 200),
        "model list": _median(lambda: get(port, "/models", headers)[0] == 200),
        "search over 100,000 messages": _median(
            lambda: get(port, f"/search?q={quote('hexagonal honeycomb')}", headers)[0] == 200
        ),
    }


def _median(once: Callable[[], bool], times: int = 25) -> float | None:
    """None where it does not work."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        if not once():
            return None
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def connect(folder: Path, times: int = 8) -> Figures:
    """From the click to the stored key, without the time that the user takes to approve."""
    with connecting(folder) as server:
        took = [round_trip(server.port, number) for number in range(times)]
    return {"Connect, without the approval": statistics.median(took)}


@contextlib.contextmanager
def connecting(folder: Path) -> Iterator[world.Server]:
    """An app whose OpenRouter is the sandbox."""
    sandbox = world.free_port()
    command = [sys.executable, "-m", "gunicorn", "apiary.sandbox:create_app()", "--threads=8"]
    command += [f"--bind=127.0.0.1:{sandbox}", "--no-control-socket"]
    log = folder / "log"
    instance = folder / "connecting"
    with (
        world.serve(command, sandbox, "/api/v1/models", log),
        world.apiary(instance, f"http://127.0.0.1:{sandbox}") as server,
    ):
        yield server


def round_trip(port: int, guest: int = 0) -> float:
    """One Connect of a new guest from an address of its own, in ms."""
    here = {"X-Forwarded-For": f"10.200.{guest // 250 % 250}.{guest % 250 + 1}"}
    jar: dict[str, str] = {}
    page = _ask(port, "GET", "/settings/", jar, extra=here)[1]
    token = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert token
    began = time.perf_counter()
    hop = _ask(
        port,
        "POST",
        "/settings/openrouter/connect",
        jar,
        {"display": "page"},
        here | {"X-CSRFToken": token[1]},
    )[1]
    took = time.perf_counter() - began
    found = re.search(r'content="0;url=([^"]+)"', hop)
    assert found, hop
    there = urlsplit(unescape(found[1]))
    where = f"{there.path}?{there.query}"
    theirs: dict[str, str] = {}
    assert there.port
    consent = _ask(there.port, "GET", where, theirs)[1]
    ticket = re.search(r'name="ticket" value="([^"]+)"', consent)
    account = re.search(r'name="account"[^>]*value="([^"]+)"', consent)
    assert ticket
    fields = {"ticket": ticket[1], "decision": "approve"}
    fields |= {"account": account[1]} if account else {}
    back = urlsplit(_ask(there.port, "POST", where, theirs, fields)[0])
    began = time.perf_counter()
    done = _ask(port, "GET", f"{back.path}?{back.query}", jar, extra=here)[0]
    assert "/done/" in done, done
    return (took + time.perf_counter() - began) * 1000


def _ask(
    port: int,
    method: str,
    path: str,
    jar: dict[str, str],
    fields: dict[str, str] | None = None,
    extra: dict[str, str] | None = None,
) -> tuple[str, str]:
    """The Location and the body of an answer; cookies are kept in the jar."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Accept": "text/html", "Host": f"localhost:{port}", **(extra or {})}
    if jar:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
    if fields is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, urlencode(fields or {}) if fields else None, headers)
    response = connection.getresponse()
    for cookie in response.msg.get_all("Set-Cookie") or []:
        name, _, value = cookie.partition(";")[0].partition("=")
        jar[name] = value
    body = response.read().decode()
    connection.close()
    return response.headers.get("Location") or "", body
