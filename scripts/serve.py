"""Start Apiary on this machine: ``serve.py run`` for real, ``serve.py demo`` with the sandbox.

``run`` prepares the database and then becomes the production server, so that what a
supervisor or a terminal sends goes straight to it. ``demo`` starts two servers, watches both
and leaves none behind.
"""

import contextlib
import ctypes
import errno
import http.client
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ROOT / "flags.env"
_START_SECONDS = 60
_END_SECONDS = 12
_PR_SET_PDEATHSIG = 1
#: glibc's malloc keeps a heap for each of many threads; a burst of questions leaves holes in all.
_MEMORY = {"MALLOC_ARENA_MAX": "2"}
_HOST = "apiary.host.gunicorn.Worker"
_REQUEST = " INFO apiary.requests "


class Stop(Exception):
    """Ends the program; its text, if any, is a sentence for the operator."""


def main(arguments: Sequence[str]) -> int:
    os.chdir(ROOT)
    try:
        if list(arguments) == ["run"]:
            run()
        elif list(arguments) == ["demo"]:
            demo()
        else:
            raise Stop("Usage: serve.py run, or serve.py demo.")
    except Stop as stop:
        if stop.args:
            print(stop, file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        pass
    return 0


def run() -> NoReturn:
    """The app for real: the settings of the environment and of flags.env."""
    port = _port("PORT", 3000)
    own = f"http://localhost:{port}"
    environ = _MEMORY | os.environ
    public = environ.get("APIARY_PUBLIC_URL") or _flags().get("APIARY_PUBLIC_URL")
    if not public:
        environ["APIARY_PUBLIC_URL"] = own
    binds = _free("PORT", port, _loopbacks())
    _upgrade(environ)
    where = f"{public.rstrip('/')} (listens on {own})" if public else own
    print(f"Apiary starts on {where}. Ctrl-C ends it.", flush=True)
    _files()
    command = _server("wsgi:app", binds, _HOST, _workers(environ))
    os.execve(command[0], command, environ)


def demo() -> None:
    """The app and the sandbox, with the flag on and with data of their own."""
    port, sandbox_port = _port("PORT", 3000), _port("SANDBOX_PORT", 3001)
    if port == sandbox_port:
        raise Stop(f"PORT and SANDBOX_PORT are both {port}. Give each its own number.")
    binds = _free("PORT", port, _loopbacks())
    sandbox_binds = _free("SANDBOX_PORT", sandbox_port, ["127.0.0.1"])
    sandbox_url = f"http://127.0.0.1:{sandbox_port}"
    # An empty variable stands for the default, so nothing of a real flags.env reaches the demo.
    environ = dict.fromkeys(_flags(), "") | _MEMORY | os.environ
    environ |= {
        "OPENROUTER_OAUTH": os.environ.get("OPENROUTER_OAUTH") or "1",
        "APIARY_PUBLIC_URL": f"http://localhost:{port}",
        "APIARY_OPENROUTER_URL": sandbox_url,
        "APIARY_INSTANCE_PATH": str(ROOT / "instance" / "demo"),
        "APIARY_DATABASE_URL": "",
        "APIARY_REDIS_URL": "",
        "APIARY_ENCRYPTION_KEYS": "",
    }
    plain = {k: v for k, v in os.environ.items() if not k.startswith("APIARY_")}
    with _signals(), contextlib.ExitStack() as stack:
        _upgrade(environ)
        sandbox = Child("sandbox", _server("apiary.sandbox:create_app()", sandbox_binds), plain)
        stack.callback(sandbox.end)
        app = Child("app", _server("wsgi:app", binds, _HOST), environ)
        stack.callback(app.end)
        _wait((sandbox, sandbox_port, "/api/v1/models"), (app, port, "/healthz"))
        print(f"\n  Apiary is ready: http://localhost:{port}\n", flush=True)
        print("  OpenRouter is a sandbox here: no account, no network, nothing to pay.")
        print("  Ctrl-C ends both.\n", flush=True)
        while True:
            _alive(sandbox, app)
            time.sleep(0.2)


class Child:
    """One server: its processes, and the last lines of what it says."""

    def __init__(self, name: str, command: list[str], environ: dict[str, str]) -> None:
        self.name = name
        self.said: deque[str] = deque(maxlen=20)
        self._ending = False
        parent = os.getpid()
        self._process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=lambda: _die_with(parent),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.said.append(line)
            # Who tries the demo is not an operator who watches its requests.
            if not self._ending and _REQUEST not in line:
                print(f"{self.name}: {line}", end="", file=sys.stderr, flush=True)

    def check(self) -> None:
        """Raise :class:`Stop` when the server has ended by itself."""
        status = self._process.poll()
        if status is not None:
            self._reader.join(1)
            raise Stop(f"The {self.name} ended (status {status}). {_sentence(''.join(self.said))}")

    def end(self) -> None:
        """Ask the server to end, and after a while end it with everything that it started."""
        self._ending = True
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)  # gunicorn's quick end
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _die_with(parent: int) -> None:
    """In the child: end when the runner does, even if that was killed."""
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turn the first signal to end into :class:`Stop`, and let a later one change nothing."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:
        for name in names:
            signal.signal(name, signal.SIG_IGN)
        raise Stop

    for name in names:
        signal.signal(name, stop)
    yield


def _workers(environ: dict[str, str]) -> int:
    """How many processes: as many as cores where they can share answers and limits, else one.

    SQLite takes one writer at a time, and without Redis each process would count for itself.
    """
    wanted = environ.get("WEB_CONCURRENCY")
    if wanted:
        if not re.fullmatch(r"[1-9][0-9]{0,2}", wanted):
            raise Stop(f"WEB_CONCURRENCY is {wanted!r}. It must be a number of processes.")
        return int(wanted)
    settings = _flags() | environ
    database = settings.get("APIARY_DATABASE_URL") or ""
    shared = database.startswith("postgres") and settings.get("APIARY_REDIS_URL")
    return max(1, min(16, len(os.sched_getaffinity(0)))) if shared else 1


def _files() -> None:
    """Let this process have as many connections as the system allows; the usual 1,024 are 500
    answers."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _server(app: str, binds: Sequence[str], worker: str = "gthread", workers: int = 1) -> list[str]:
    """gunicorn with threads, which are made when needed: one for each request that is under way.

    Our own worker needs none for the readers of answers; the sandbox takes one for each.
    """
    command = [sys.executable, "-m", "gunicorn", app]
    for bind in binds:
        command += ["--bind", bind]
    # No access log: callback addresses carry one-time codes. Its timeout is for a process that
    # hangs; threads that stream do not count.
    return [
        *command,
        f"--worker-class={worker}",
        f"--workers={workers}",
        "--threads=64",
        "--worker-connections=6000",
        "--keep-alive=75",
        # Ten seconds for running answers, three to save those that are broken off then.
        "--graceful-timeout=13",
        "--log-level=warning",
        "--no-control-socket",
    ]


def _upgrade(environ: dict[str, str]) -> None:
    """Bring the database up to date; on the way the settings are read for the first time."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "apiary", "upgrade"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise Stop(_sentence(done.stdout) or "The database could not be brought up to date.")


def _sentence(output: str) -> str:
    """What an operator needs of a program's last words: our own sentence, or else the lines."""
    ours = re.findall(r"^apiary\.errors\.\w+: (.+)$", output, re.MULTILINE)
    if ours:
        return str(ours[-1])
    lines = output.strip().splitlines()
    return "\n".join(lines) if len(lines) < 2 else "Its last words:\n" + "\n".join(lines[-20:])


def _wait(*servers: tuple[Child, int, str]) -> None:
    limit = time.monotonic() + _START_SECONDS
    for child, port, path in servers:
        while not _answers(port, path):
            _alive(*(server[0] for server in servers))
            if time.monotonic() > limit:
                raise Stop(f"The {child.name} did not answer within {_START_SECONDS} seconds.")
            time.sleep(0.1)


def _alive(*children: Child) -> None:
    for child in children:
        child.check()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise Stop(f"{name} is {text!r}. It must be a number from 1 to 65535.")
    return int(text)


def _loopbacks() -> list[str]:
    """Browsers try either for ``localhost``, so both must answer where there are both."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return ["127.0.0.1"]
    return ["127.0.0.1", "::1"]


def _free(name: str, port: int, hosts: Sequence[str]) -> list[str]:
    """The addresses to listen on, after a look that nobody else does."""
    binds = []
    for host in hosts:
        v6 = ":" in host
        with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen()
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    why = f"Port {port} is taken by another program"
                else:
                    why = f"Port {port} cannot be used ({error.strerror})"
                raise Stop(f"{why}. Choose another one, such as {name}={port + 100}.") from None
        binds.append(f"[{host}]:{port}" if v6 else f"{host}:{port}")
    return binds


def _flags() -> dict[str, str]:
    """What flags.env sets."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for line in FLAGS.read_text(encoding="utf-8").splitlines():
            name, separator, value = line.partition("=")
            if separator and not line.startswith("#"):
                found[name.strip()] = value.strip()
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
