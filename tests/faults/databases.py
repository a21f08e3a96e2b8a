"""Real processes over a database of the test's, and ends for them that nobody can prepare for."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

#: A host as small as one can be; the settings come as APIARY_… variables.
_HOST = """
import os, sys
from pathlib import Path
from flask import Flask
from apiary import Apiary, VARIABLES, database

app = Flask("host", instance_path=os.environ["APIARY_INSTANCE_PATH"])
app.config.update({v.name: os.environ[v.name] for v in VARIABLES if v.name in os.environ})
app.config["SECRET_KEY"] = "test " * 5
migrations = {"extra": Path(os.environ["EXTRA"])} if "EXTRA" in os.environ else {}
Apiary(app, owner=lambda: "ann", migrations=migrations)
"""


class Child:
    """A process with a host in it, which runs a few lines."""

    def __init__(self, code: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HOST + textwrap.dedent(code)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=30)

    def wait(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def command(*words: str) -> str:
    """The line that runs a command of ours in a child."""
    return f"app.test_cli_runner().invoke(args={['apiary', *words]!r})"
