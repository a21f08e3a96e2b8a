"""The Makefile's promises, kept in a copy of the tree whose path has a space in it."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tree import ROOT, copy_tree

_SECONDS = 60


class Started:
    """A make command that is running, in a process group of its own as in a terminal."""

    def __init__(self, tree: Path, target: str, environ: dict[str, str]) -> None:
        self.log = tree / f"{target}.log"
        self._file = self.log.open("w")
        self.process = subprocess.Popen(
            ["make", target],
            cwd=tree,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str) -> None:
        limit = time.monotonic() + _SECONDS
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < limit, self.said
            time.sleep(0.1)

    def ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._file.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the checkout with a .venv that needs no installing: it borrows the packages."""
    copy = copy_tree(tmp_path / "my apps" / "apiary")
    # Each server would compile all of it again, which takes longer than its start.
    for compiled in (ROOT / "apiary").rglob("__pycache__"):
        shutil.copytree(compiled, copy / compiled.relative_to(ROOT))
    venv = copy / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = venv / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    borrowed = sysconfig.get_path("purelib")
    (site / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n")
    for stamp in (".made", ".runtime"):
        (venv / stamp).touch()
    return copy


@pytest.fixture
def ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
def environ(ports: tuple[int, int]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | {"PORT": str(ports[0]), "SANDBOX_PORT": str(ports[1])}


@pytest.fixture
def start(tree: Path, environ: dict[str, str]) -> Iterator[Callable[..., Started]]:
    with contextlib.ExitStack() as stack:

        def start(target: str, **extra: str) -> Started:
            started = Started(tree, target, environ | extra)
            stack.callback(started.close)
            return started

        yield start


def _get(port: int, path: str, address: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def _processes(tree: Path) -> list[str]:
    """Command lines of what still runs out of this tree."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = (entry / "cwd").resolve() == tree
            if here and "python" in words[0]:
                found.append(" ".join(words))
    return found


def _gone(tree: Path, seconds: float = 5) -> list[str]:
    limit = time.monotonic() + seconds
    while (left := _processes(tree)) and time.monotonic() < limit:
        time.sleep(0.1)
    return left


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_demo_twice(tree, start, ports):
    port, sandbox_port = ports
    for _ in range(2):
        demo = start("demo")
        demo.wait_for("Ctrl-C ends both")
        assert demo.said.count("http://") == 1, "one address, and nothing that distracts from it"
        assert f"http://localhost:{port}\n" in demo.said
        assert _get(port, "/healthz")[0] == 200
        assert _get(port, "/")[0] == 200
        status, page = _get(port, "/settings/")
        assert status == 200
        assert 'data-action="connect"' in page
        assert _get(sandbox_port, "/api/v1/models")[0] == 200
        if _has_ipv6():
            assert _get(port, "/healthz", "::1")[0] == 200
        demo.ctrl_c()
        assert "Traceback" not in demo.said
        assert not _gone(tree)
    assert [f.name for f in (tree / "instance").iterdir()] == ["demo"]


def test_demo_ends_with_its_runner_however_that_ends(tree, start):
    demo = start("demo")
    demo.wait_for("Ctrl-C ends both")
    (runner,) = [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if _runs(entry, "scripts/serve.py") and (entry / "cwd").resolve() == tree
    ]
    os.kill(runner, signal.SIGKILL)
    assert not _gone(tree, 15)


def _runs(entry: Path, script: str) -> bool:
    try:
        return script in (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False


def test_demo_says_which_server_died_and_ends_the_other(tree, start, ports):
    demo = start("demo")
    demo.wait_for("Ctrl-C ends both")
    (master,) = _listeners(tree, f"127.0.0.1:{ports[1]}")
    os.kill(master, signal.SIGKILL)
    assert demo.process.wait(_SECONDS) != 0
    assert "The sandbox ended" in demo.said
    assert "Traceback" not in demo.said
    assert not _gone(tree)


def _listeners(tree: Path, address: str) -> list[int]:
    """The gunicorn masters that listen there: their workers have a gunicorn for a parent."""
    pids = {
        int(entry.name): int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        for entry in Path("/proc").glob("[0-9]*")
        if _runs(entry, address) and (entry / "cwd").resolve() == tree
    }
    return [pid for pid, parent in pids.items() if parent not in pids]


@pytest.mark.parametrize(
    ("target", "name"), [("demo", "PORT"), ("demo", "SANDBOX_PORT"), ("run", "PORT")]
)
def test_a_taken_port_is_one_sentence(tree, start, environ, target, name):
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environ[name])))
        other.listen()
        started = start(target)
        assert started.process.wait(_SECONDS) != 0
    said = [line for line in started.said.splitlines() if not line.startswith("make:")]
    assert len(said) == 1
    assert f"Port {environ[name]} is taken" in said[0]
    assert f" {name}=" in said[0]
    assert not _gone(tree)


@pytest.mark.parametrize("port", ["nonsense", "0", "65536"])
def test_a_port_that_is_none(start, port):
    started = start("run", PORT=port)
    assert started.process.wait(_SECONDS) != 0
    assert f"PORT is {port!r}" in started.said
    assert "Traceback" not in started.said


def test_run_serves_and_ends(tree, start, ports):
    run = start("run")
    run.wait_for(f"http://localhost:{ports[0]}.")
    limit = time.monotonic() + _SECONDS
    while True:
        try:
            status, page = _get(ports[0], "/settings/")
            break
        except OSError:
            assert time.monotonic() < limit, run.said
            time.sleep(0.1)
    assert status == 200
    assert 'data-action="save-key"' in page
    assert 'data-action="connect"' not in page, "the flag is off in flags.env"
    assert (tree / "instance" / "apiary.sqlite3").exists()
    run.ctrl_c()
    assert "Traceback" not in run.said
    assert not _gone(tree)


@pytest.mark.parametrize("target", ["demo", "run"])
@pytest.mark.parametrize(
    ("variable", "value"), [("OPENROUTER_OAUTH", "maybe"), ("APIARY_OPENROUTR_URL", "x")]
)
def test_a_wrong_setting_stops_the_start(tree, start, target, variable, value):
    started = start(target, **{variable: value})
    assert started.process.wait(_SECONDS) != 0
    assert variable in started.said
    assert "Traceback" not in started.said
    assert not _gone(tree)


def test_flags_env_is_read_by_run_and_not_by_the_demo(tree, start):
    flags = tree / "flags.env"
    flags.write_text(flags.read_text().replace("OPENROUTER_OAUTH=0", "OPENROUTER_OAUTH=maybe"))
    run = start("run")
    assert run.process.wait(_SECONDS) != 0
    assert "OPENROUTER_OAUTH is 'maybe'" in run.said
    start("demo").wait_for("Ctrl-C ends both")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, "There is no "),
        ('case "$*" in *version_info*) exit 1;; *) echo Python 3.9.2;; esac', "is Python 3.9.2"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "sudo apt install python3-venv"),
    ],
)
def test_what_a_machine_lacks_is_said(tree, environ, body, sentence):
    python = tree / "python-of-old"
    if body:
        python.write_text(f"#!/bin/sh\n{body}\n")
        python.chmod(0o755)
    done = subprocess.run(
        ["make", "demo", f"PYTHON={python}", "VENV=fresh"],
        cwd=tree,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    (said,) = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert sentence in said
    assert not (tree / "fresh").exists()


def test_ci_is_a_shell_script():
    ci = Path(__file__).resolve().parent.parent / ".ci" / "run"
    subprocess.run([shutil.which("bash") or "bash", "-n", str(ci)], check=True)
