"""Where the time of each hot path goes: py-spy looks at the server 250 times a second.

Only threads that hold the interpreter's lock count: it is what one process has one of. What
SQLite, the kernel and the ciphers do without it is not seen.
"""

import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pages
import report
import streams
import world

PROFILES = Path(__file__).with_name("profiles.md")
MEASURED = "<!-- What stands below is written by make bench ARGS=--profile. -->"
SECONDS = 10
#: The first whose word is in a file's path; what is left is Python's own.
_KINDS = (
    ("SQL", ("peewee", "playhouse", "sqlite", "psycopg", "apiary/db", "apiary/prepared")),
    ("templates", ("jinja2", "markupsafe", "templates/", "babel")),
    ("Flask", ("/flask", "werkzeug", "itsdangerous", "wtforms", "click", "blinker", "limits")),
    ("gunicorn", ("gunicorn",)),
    ("HTTP client", ("httpx", "httpcore", "h11", "anyio", "ssl.py", "apiary/http", "apiary/dial")),
    ("cryptography", ("cryptography", "hmac.py", "apiary/crypto")),
    ("JSON", ("json/", "orjson")),
    ("threads", ("threading.py", "concurrent/", "queue.py", "selectors.py")),
    ("logging", ("logging/",)),
    ("Apiary", ("apiary/",)),
)


@dataclass
class Profile:
    """Samples: by the function that ran, and by all of Apiary's that led to it."""

    samples: int = 0
    own: Counter[str] = field(default_factory=Counter)
    under: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    threads: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, text: str) -> "Profile":
        """py-spy's raw form: frames from the outermost in, joined by ``;``, then a count."""
        found = cls()
        for line in text.splitlines():
            stack, _, count = line.rpartition(" ")
            frames = [frame for frame in stack.split(";") if not frame.startswith("process ")]
            if not frames or not count.isdigit():
                continue
            if frames[0].startswith("thread "):
                name = frames.pop(0)
                found.threads[_thread(name)] += int(count)
            if not frames:
                continue
            named = [_name(frame) for frame in frames]
            found.samples += int(count)
            found.own[named[-1]] += int(count)
            found.kinds[_kind(frames)] += int(count)
            for name in {name for name in named if name.startswith("apiary/")}:
                found.under[name] += int(count)
        return found


def _thread(frame: str) -> str:
    """Threads of a pool count together."""
    name = frame.partition(":")[2].strip(' "') or frame
    return name.rstrip("0123456789_-").removesuffix("ThreadPoolExecutor") or "pool"


def _name(frame: str) -> str:
    """``function (path/to/file.py:12)`` as ``to/file.py function``."""
    function, _, place = frame.rpartition(" (")
    path = place.rpartition(":")[0] or place
    _, found, ours = f"/{path}".rpartition("/apiary/")
    short = f"apiary/{ours}" if found else "/".join(path.split("/")[-2:])
    return f"{short} {function}"


def _kind(frames: list[str]) -> str:
    """What the innermost frame that belongs to somebody belongs to."""
    for frame in reversed(frames):
        place = frame.rpartition(" (")[2]
        for kind, words in _KINDS:
            if any(word in place for word in words):
                return kind
    return "Python"


def profile(folder: Path, people: int, messages: int) -> str:
    """Markdown of all hot paths.

    :raises RuntimeError: py-spy is not there, or may not look.
    """
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.exists():
        raise RuntimeError("There is no py-spy: pip install --group bench.")
    parts = []
    with world.upstream(folder) as mock:
        openrouter = f"http://127.0.0.1:{mock.port}"
        lines = world.populate(folder / "instance", openrouter, people, messages)
        file = folder / "people"
        file.write_text("\n".join(lines) + "\n")
        with world.apiary(folder / "instance", openrouter) as server:
            streams.Target(folder, server.port, streams.ASK, server.pids, file).run("warm")
            for title, load in _loads(folder, server.port, file, lines[0]).items():
                parts.append(_one(spy, server, title, load, folder))
    with pages.connecting(folder) as server:
        # Each from a network of its own: how often one may connect is limited.
        number = itertools.count()
        load = _again(lambda: pages.round_trip(server.port, next(number)))
        parts.append(_one(spy, server, "Connect, from the click to the stored key", load, folder))
    return "\n\n".join(parts)


def _loads(folder: Path, port: int, people: Path, line: str) -> dict[str, Callable[[float], int]]:
    headers = dict(h.split(": ", 1) for h in line.split("\t")) | {"Accept": "application/json"}
    page = headers | {"Accept": "text/html", "Host": f"localhost:{port}"}
    search = f"/search?q={quote('hexagonal honeycomb')}"
    return {
        "The relay, 8 streams flat out": _streams(folder, port, people, "mock-c2000-d0", 8),
        "The relay, 100 streams of 50 tokens a second": _streams(
            folder, port, people, "mock-c400-d20", 100
        ),
        "The start of an answer: 4 at a time, one token each": _streams(
            folder, port, people, "mock-c1-d0", 4
        ),
        "The settings page": _again(lambda: streams.get(port, "/settings/", page)),
        # One may search so often in a minute; who is turned away costs something else.
        "Search over 100,000 messages": _again(
            lambda: streams.get(port, search, headers), pause=(SECONDS + 3) / 240
        ),
    }


def _streams(
    folder: Path, port: int, people: Path, model: str, count: int
) -> Callable[[float], int]:
    """Streams one after the other, ``count`` at once, until the time is up."""

    def load(seconds: float) -> int:
        scenario = streams.Scenario(model, count, 1, ("-t", "1000000", "-H", str(people)))
        command = [str(folder / "loadgen"), "-P", streams.ASK[0]]
        command += streams.letters(scenario, port, streams.ASK[1](model), seconds)
        subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return 0

    return load


def _again(once: Callable[[], object], pause: float = 0) -> Callable[[float], int]:
    """The same request again and again until the time is up; how often it was.

    :param pause: seconds between two of them.
    """

    def load(seconds: float) -> int:
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            once()
            count += 1
            time.sleep(pause)
        return count

    return load


def _one(
    spy: Path, server: world.Server, title: str, load: Callable[[float], int], folder: Path
) -> str:
    print(f"profile: {title} ...", file=sys.stderr, flush=True)
    out = folder / "profile"
    out.unlink(missing_ok=True)
    thread = threading.Thread(target=load, args=(SECONDS + 3,))
    thread.start()
    time.sleep(1)
    command = [str(spy), "record", "--subprocesses", "--threads", "--gil", "--rate", "250"]
    # Stopped for each look, threads that have just been woken are seen too often.
    command += ["--nonblocking", "--format", "raw"]
    command += ["--pid", str(server.process.pid), "--duration", str(SECONDS), "--output", str(out)]
    cpu = world.procstat.cpu(server.pids)
    done = subprocess.run(command, capture_output=True, text=True)
    cpu = world.procstat.cpu(server.pids) - cpu
    thread.join()
    if done.returncode or not out.exists():
        raise RuntimeError(f"py-spy could not look: {done.stderr.strip()[-300:]}")
    found = Profile.read(out.read_text())
    took = f"{cpu:.1f} s of CPU in about {SECONDS} s, {found.samples} samples"
    return f"### {title}\n\n{took}.\n\n" + "\n\n".join(_tables(found))


def _tables(found: Profile) -> Iterator[str]:
    def share(counted: Counter[str], most: int) -> list[list[str]]:
        every = max(1, found.samples)
        return [
            [name.replace("|", "/"), f"{100 * count / every:.0f} %"]
            for name, count in counted.most_common(most)
            if count / every >= 0.01
        ]

    kinds = ", ".join(f"{name} {part}" for name, part in share(found.kinds, 9))
    threads = ", ".join(f"{name} {part}" for name, part in share(found.threads, 4))
    yield f"Where: {kinds}. Threads: {threads}."
    yield report.table(["with all that it calls", ""], share(found.under, 12))
    yield report.table(["by itself", ""], share(found.own, 10))


def keep(text: str, conditions: str) -> None:
    """Replace what was measured before; what people wrote above it stays."""
    old = PROFILES.read_text(encoding="utf-8") if PROFILES.exists() else "# Profiles\n\n"
    above = old.partition(MEASURED)[0]
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    body = f"{above}{MEASURED}\n\n## {when} UTC\n\n{conditions}\n\n{text}\n"
    PROFILES.write_text(body, encoding="utf-8")
