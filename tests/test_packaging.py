"""What is built works away from the checkout: an archive, a wheel, and the wheel in use."""

import configparser
import http.client
import os
import re
import socket
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.tree import ROOT, copy_tree

#: What docs/deploy.md has an operator write into the checkout.
SECRETS = ("deploy/.env", "deploy/apiary.env")

pytestmark = pytest.mark.timeout(300)


def _packages() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["options"]["packages"].split()


def test_each_package_is_listed():
    found = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for init in (ROOT / "apiary").rglob("__init__.py")
    }
    assert found | {"apiary.static", "apiary.templates"} == set(_packages())


def test_no_python_file_lies_outside_of_a_package():
    for module in (ROOT / "apiary").rglob("*.py"):
        assert (module.parent / "__init__.py").exists(), module


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The archive and the wheel that was built from it."""
    tree = copy_tree(tmp_path_factory.mktemp("build") / "apiary")
    for name in SECRETS:
        (tree / name).write_text("POSTGRES_PASSWORD=secret\n")
    done = subprocess.run(
        [sys.executable, "-m", "build"],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    complaints = [
        line for line in done.stdout.splitlines() if "Deprecat" in line or "SetuptoolsWarn" in line
    ]
    assert not complaints, done.stdout[-4000:]
    (archive,) = (tree / "dist").glob("*.tar.gz")
    (wheel,) = (tree / "dist").glob("*.whl")
    return archive, wheel


@pytest.fixture(scope="module")
def names(built: tuple[Path, Path]) -> set[str]:
    with zipfile.ZipFile(built[1]) as wheel:
        return set(wheel.namelist())


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (n for n in opened.namelist() if n.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(opened.read(name).decode())


def test_metadata(built):
    metadata = _metadata(built[1])
    assert metadata["Name"] == "flask-apiary"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_all("Provides-Extra") == ["postgres", "redis", "server"]
    shown = metadata.get_payload()
    assert "# Apiary" in shown and "pip install flask-apiary" in shown
    # Where a package is looked up nothing lies beside its text, and diagrams are not drawn.
    assert not re.findall(r"\]\((?!https?:).*?\)|<img|<picture|```mermaid", shown)


def test_the_wheel_holds_every_file_of_its_packages(names):
    for package in ("apiary", "static", "templates"):
        inside = "" if package == "apiary" else "apiary/"
        for path in (ROOT / package).rglob("*"):
            ours = path.is_file() and "__pycache__" not in path.parts
            if ours and not path.name.startswith("."):
                assert inside + str(path.relative_to(ROOT)) in names


def test_the_wheel_holds_nothing_else(names):
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 2
    assert "apiary" in tops
    assert "apiary/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if "/tests/" in name or "__pycache__" in name]


def test_the_archive_holds_what_a_checkout_needs(built):
    with tarfile.open(built[0]) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "README.md", "CHANGES.md", "LICENSE", "flags.env", "wsgi.py"}
    wanted |= {"scripts/serve.py", "scripts/needs.sh", "tests/conftest.py", "tests/tree.py"}
    assert wanted <= inside
    assert "deploy/compose.yaml" in inside and not inside & set(SECRETS)


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel and what it asks for, and no more."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder)
    python = folder / "bin" / "python"
    # Our own pip: to install one, and to compile what nobody imports, takes longer than the rest.
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    command = [*pip, "install", "-qq", "--no-compile", f"{built[1]}[server]"]
    subprocess.run(command, env=_environ(), check=True)
    return python


def _environ() -> dict[str, str]:
    """The environment without what would lead back into the checkout."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("APIARY_", "FLASK_", "PYTHON", "VIRTUAL_ENV"))
    }


@contextmanager
def _serving(python: Path, app: str, folder: Path, **settings: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-W", "error", "-m", "flask", "--app", app, "run", "-p", str(port)]
    settings = {name: value.replace("PORT", str(port)) for name, value in settings.items()}
    log = folder / f"{app}.log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, cwd=folder, env=_environ() | settings, stdout=file, stderr=subprocess.STDOUT
        ) as server,
    ):
        try:
            limit = time.monotonic() + 30
            while True:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < limit, log.read_text()
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield port
        finally:
            server.terminate()


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_the_wheel_serves_the_app_from_a_foreign_folder(installed, tmp_path):
    settings = {"APIARY_PUBLIC_URL": "http://localhost:PORT", "OPENROUTER_OAUTH": "1"}
    upgrade = [installed, "-m", "flask", "--app", "apiary.host", "apiary", "upgrade"]
    subprocess.run(upgrade, cwd=tmp_path, env=_environ(), check=True, capture_output=True)
    with _serving(installed, "apiary.host", tmp_path, **settings) as port:
        assert _get(port, "/healthz")[0] == 200
        assert _get(port, "/")[0] == 200
        status, page = _get(port, "/settings/")
        assert status == 200
        assert 'data-action="connect"' in page
        for address in _assets(page):
            assert _get(port, address)[0] == 200, address


def _assets(page: str) -> list[str]:
    """The style sheets and scripts that a page names."""
    found = [
        word.split('"')[1]
        for word in page.split()
        if word.startswith(('href="/', 'src="/'))
        and word.split('"')[1].split("?")[0].endswith((".css", ".js"))
    ]
    assert found
    return found


def test_the_wheel_serves_the_sandbox(installed, tmp_path):
    with _serving(installed, "apiary.sandbox", tmp_path) as port:
        assert _get(port, "/api/v1/models")[0] == 200


def test_another_app_takes_the_plugin_only(installed, tmp_path):
    program = (
        "import sys\n"
        "from flask import Flask\n"
        "from apiary import Apiary\n"
        "app = Flask('bees')\n"
        "app.secret_key = 'x' * 32\n"
        "Apiary(app, owner=lambda: None)\n"
        "assert app.test_client().get('/settings/').status_code < 500\n"
        "assert 'apiary.host' not in sys.modules\n"
    )
    subprocess.run(
        [installed, "-W", "error", "-c", program], cwd=tmp_path, env=_environ(), check=True
    )
