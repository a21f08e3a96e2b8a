"""Machines in network namespaces: each with a network, processes, mounts and a disk of its own.

Nothing of them is visible outside, and they end with the process that made them, however that
ends: each lives as long as its first process, which reads from a pipe of ours.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_NEW_NETWORK = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
#: A disk that is gone with its machine.
DISK = "/mnt"


def missing() -> str:
    """Why no machines can be made here, as a sentence; empty where they can."""
    for program in ("unshare", "nsenter", "ip", "mount"):
        if program_at(program) is None:
            return f"There is no {program}. On Debian: apt install iproute2 util-linux."
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "true"], capture_output=True
    )
    if tried.returncode:
        return "Network namespaces cannot be made here: that needs root, and CAP_SYS_ADMIN."
    return ""


def program_at(name: str) -> str | None:
    """Debian keeps some where only root's PATH looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


class Program:
    """A running program of a machine, with all that it starts."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        with log.open("ab") as out:
            self._entered = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(env)
            )

    @property
    def pid(self) -> int:
        """Of the program itself, as it is called outside of its machine."""
        return _children(self._entered.pid)[0]

    @property
    def children(self) -> list[int]:
        return _children(self.pid)

    @property
    def runs(self) -> bool:
        return self._entered.poll() is None

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = 60) -> int:
        return self._entered.wait(seconds)


class Machine:
    """One machine, and its cable to a switch."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.address = ""
        self._folder = folder
        self._switch: Machine | None = None
        self._plugged = True
        self._programs: list[Program] = []
        words = ["--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        self._first = subprocess.Popen(["unshare", *words, "cat"], stdin=subprocess.PIPE)
        end = time.monotonic() + 10
        while not (found := _children(self._first.pid)) or _name(found[0]) != "cat":
            assert time.monotonic() < end, f"{name} does not start"
            time.sleep(0.002)
        self._pid = found[0]
        self.do("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", DISK)
        self.do(program_at("ip") or "ip", "link", "set", "lo", "up")

    def do(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command there to its end; gives what it says."""
        done = subprocess.run(self._inside(command), capture_output=True, text=True, env=env)
        assert done.returncode == 0, f"{self.name}: {command[0]}: {done.stderr}{done.stdout}"
        return done.stdout

    def start(
        self, *command: str, env: Mapping[str, str] | None = None, at: Path | None = None
    ) -> Program:
        """Start a program that goes on.

        :param at: its working folder.
        """
        log = self._folder / f"{self.name}.log"
        moved = ("env", f"--chdir={at}") if at else ()
        made = Program(self._inside((*moved, *command)), log, os.environ if env is None else env)
        self._programs.append(made)
        return made

    def kill_all(self) -> None:
        """End every program there at once, by SIGKILL; network and disk stay."""
        subprocess.run(self._inside(("sh", "-c", "kill -9 -1")), capture_output=True)

    def plug(self, switch: "Machine", address: str) -> None:
        """Connect it to a switch.

        :param address: IPv4 with the length of its network: ``10.0.0.1/24``.
        """
        ip = program_at("ip") or "ip"
        ends = ("eth0", "netns", str(self._pid), "type", "veth")
        peer = ("peer", "name", self._port, "netns", str(switch._pid))
        subprocess.run([ip, "link", "add", *ends, *peer], check=True)
        switch.do(ip, "link", "set", self._port, "master", "bridge", "up")
        self.do(ip, "address", "add", address, "dev", "eth0")
        self.do(ip, "link", "set", "eth0", "up")
        self.address = address.partition("/")[0]
        self._switch = switch

    @property
    def _port(self) -> str:
        return f"to-{self.name}"

    def cut(self) -> None:
        """Pull the cable: nothing comes or goes any more, and nobody is told."""
        assert self._switch
        self._plugged = False
        self._switch.do(program_at("ip") or "ip", "link", "set", self._port, "down")

    def mend(self) -> bool:
        """Plug it in again. False where it was."""
        assert self._switch
        if self._plugged:
            return False
        self._plugged = True
        self._switch.do(program_at("ip") or "ip", "link", "set", self._port, "up")
        return True

    def end(self) -> None:
        """Switch it off; that ends all that runs there."""
        assert self._first.stdin
        self._first.stdin.close()
        try:
            self._first.wait(5)
        except subprocess.TimeoutExpired:
            os.kill(self._pid, signal.SIGKILL)
            self._first.wait()
        for program in self._programs:
            program.wait()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let this thread, and those that it starts, have the network of that machine."""
        with open(f"/proc/self/task/{threading.get_native_id()}/ns/net") as ours:
            with open(f"/proc/{self._pid}/ns/net") as theirs:
                _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def _inside(self, command: Sequence[str]) -> list[str]:
        where = ["--net", "--mount", "--pid", "--ipc"]
        return ["nsenter", f"--target={self._pid}", *where, "--", *command]


def switch(folder: Path) -> Machine:
    """What machines are plugged into."""
    made = Machine("switch", folder)
    ip = program_at("ip") or "ip"
    made.do(ip, "link", "add", "bridge", "type", "bridge")
    made.do(ip, "link", "set", "bridge", "up")
    return made


def _enter(network: int) -> None:
    if _LIBC.setns(network, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""
