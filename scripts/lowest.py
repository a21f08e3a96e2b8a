"""Run tests with the lowest version of each dependency that setup.cfg allows.

python scripts/lowest.py            into .venv-lowest, then a fast part of the tests
python scripts/lowest.py --pins     only say which versions those are

What pip picks by itself is the newest, so a lower bound that is too low would go unnoticed.
Only what setup.cfg names is pinned; what those packages need in turn is as new as they let it.
"""

import configparser
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-lowest"
_TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis")
#: Fast, and together they touch every dependency.
_TESTS = (
    "tests/test_config.py",
    "tests/test_crypto.py",
    "tests/test_db.py",
    "tests/test_http.py",
    "tests/test_vault.py",
    "tests/oauth/test_connect.py",
    "tests/views/test_settings.py",
    "tests/host/test_host_accounts.py",
    "tests/host/test_host_activity.py",
    "tests/host/test_host_edge.py",
    "tests/host/test_host_server.py",
)
_BOUND = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9][0-9.a-z]*)")


def pins() -> list[str]:
    """``name==version`` for each requirement, from its lower bound."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    found = []
    for line in filter(None, (line.strip() for text in lists for line in text.splitlines())):
        match = _BOUND.match(line)
        if match is None:
            raise SystemExit(f"{line!r} in setup.cfg has no lower bound. Write name>=version.")
        found.append(f"{match[1]}=={match[2]}")
    return sorted(set(found))


def extras() -> str:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return ",".join(setup["options.extras_require"])


def main(arguments: list[str]) -> int:
    print("\n".join(pins()), flush=True)
    if arguments == ["--pins"]:
        return 0
    python = VENV / "bin" / "python"
    if not python.exists():
        venv.create(VENV, with_pip=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins()) + "\n")
        file.flush()
        install = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        package = f"{ROOT}[{extras()}]"
        # The pins are asked for, not only allowed: else pip would keep what is there already.
        subprocess.run(
            [*install, "-r", file.name, "-c", file.name, "-e", package, *_TOOLS], check=True
        )
    subprocess.run([python, "-m", "pip", "check"], check=True)
    workers = os.environ.get("WORKERS", "auto")
    command = [python, "-m", "pytest", "-q", "-n", workers, *(arguments or _TESTS)]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
