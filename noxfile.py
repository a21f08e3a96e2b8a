"""The tests with other Pythons and other versions than those in .venv.

nox                     every Python from 3.11 on that is on the PATH; others are said and skipped
nox -s tests-3.13       one of them           (make pythons ARGS="-s tests-3.13")
nox -s lowest           the oldest versions that setup.cfg allows        (make lowest)
nox -s newest           the newest there are, pre-releases too
nox -s tests-3.13 -- tests/test_vault.py    other tests than a session would take

What pip picks by itself is the newest release, so a lower bound that is too low would go
unnoticed: lowest pins what setup.cfg names; what those packages need in turn is as new as they
let it. Browser tests are left to make test: they try the browser more than the Python.
"""

import configparser
import os
import re
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: Fast, and together they touch every dependency.
FAST = (
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
_TOOLS = ("pytest", "pytest-rerunfailures", "pytest-timeout", "pytest-xdist", "hypothesis")
_BOUND = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9][0-9.a-z]*)")

nox.needs_version = ">=2025.2"
nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False

_setup = configparser.ConfigParser()
_setup.read(ROOT / "setup.cfg")
_SELF = f".[{','.join(_setup['options.extras_require'])}]"


def pins() -> list[str]:
    """``name==version`` for each requirement, from its lower bound."""
    lists = [_setup["options"]["install_requires"], *_setup["options.extras_require"].values()]
    found = []
    for line in filter(None, (line.strip() for text in lists for line in text.splitlines())):
        match = _BOUND.match(line)
        if match is None:
            raise SystemExit(f"{line!r} in setup.cfg has no lower bound. Write name>=version.")
        found.append(f"{match[1]}=={match[2]}")
    return sorted(set(found))


def _pytest(session: nox.Session, *tests: str) -> None:
    workers = os.environ.get("WORKERS", "auto")
    options = ("-q", "-n", workers, "--dist", "worksteal", "-p", "tests.plugins.no_skips")
    session.run("python", "-m", "pytest", *options, *(session.posargs or tests))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests but those in a browser."""
    groups = nox.project.load_toml(ROOT / "pyproject.toml")
    session.install("--no-compile", "-e", _SELF, *nox.project.dependency_groups(groups, "test"))
    _pytest(session, "--ignore=tests/browser")


@nox.session
def lowest(session: nox.Session) -> None:
    """A fast part of the tests with the oldest versions that are allowed."""
    session.log(" ".join(pins()))
    session.install("--no-compile", *pins(), "-e", _SELF, *_TOOLS)
    session.run("python", "-m", "pip", "check")
    _pytest(session, *FAST)


@nox.session
def newest(session: nox.Session) -> None:
    """The same part with the newest versions, pre-releases too: what will come to users next."""
    session.install("--pre", "--upgrade", "--upgrade-strategy=eager", "-e", _SELF, *_TOOLS)
    session.run("python", "-m", "pip", "list")
    _pytest(session, *FAST)
