"""A machine whose clock can be set and whose disk can fail, below real processes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def build(folder: Path) -> Path:
    """The library that is preloaded into a process; skips loudly without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler; on Debian: apt install gcc libc6-dev")
    made = folder / "machine.so"
    source = Path(__file__).with_name("machine.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source], check=True)
    return made


class Machine:
    """What its processes have to be started with (``environ``), and its two hands."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file = folder / "machine"
        self._file.write_bytes(bytes(24))
        self.environ = {"LD_PRELOAD": str(library), "MACHINE": str(self._file)}

    def clock(self, seconds: int) -> None:
        """Let its clock stand so far from the true time."""
        self._put(0, seconds)

    def disk(self, error: int, after: int = 0) -> None:
        """Let each write to a SQLite file but the next so many fail with this errno; 0 ends it."""
        self._put(16, after)
        self._put(8, error)

    def _put(self, at: int, number: int) -> None:
        with self._file.open("r+b", buffering=0) as file:
            file.seek(at)
            file.write(number.to_bytes(8, sys.byteorder, signed=True))
