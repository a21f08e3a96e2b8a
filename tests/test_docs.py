"""The documentation is true: its code runs, its links lead somewhere."""

import configparser
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from flask import Flask
from flask_login import LoginManager

from apiary import Apiary, Facts, Secret, database
from apiary.sandbox import PASTE_KEY
from tests.conftest import LiveSandbox

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (kind, code) in enumerate(
        re.findall(r"^```(python[^\n]*)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    )
    if kind != "python no-run"
]


@pytest.fixture
def app(tmp_path: Path, sandbox: LiveSandbox) -> Iterator[Flask]:
    """An app with Flask-Login, as the reader's, in which user 7 has connected before."""

    def make() -> Flask:
        app = Flask("yours", instance_path=str(tmp_path))
        app.config.update(SECRET_KEY="only for tests", APIARY_OPENROUTER_URL=sandbox.url)
        LoginManager(app).user_loader(lambda text: None)
        return app

    def leave(app: Flask) -> None:
        if state := app.extensions.get("apiary"):
            state.http.dispose()
            state.database.close()

    earlier = make()
    Apiary(earlier)
    state = earlier.extensions["apiary"]
    with earlier.app_context(), database.connection_context():
        provider = state.providers["openrouter"]
        state.vault.put("7", provider, Secret(PASTE_KEY), source="key", facts=Facts())
    leave(earlier)
    app = make()
    yield app
    leave(app)


@pytest.mark.parametrize("code", BLOCKS)
def test_the_code_runs(app: Flask, tmp_path: Path, code: str) -> None:
    # The names that a reader has at hand.
    names = {"app": app, "user_id": 7, "folder": tmp_path, "__name__": "yours"}
    with app.app_context():
        exec(compile(code, "documentation", "exec"), names)


def test_there_is_code_in_the_readme() -> None:
    assert any("README" in str(block.id) for block in BLOCKS) and len(BLOCKS) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for link in (one or other for one, other in links):
        path, _, anchor = unquote(link).partition("#")
        if "://" in link:
            continue
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
            slugs = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}
            assert anchor in slugs, link


def test_every_dependency_has_its_reason() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    wanted = [line for text in lists for line in text.split("\n")]
    wanted += [line for group in groups.values() for line in group if isinstance(line, str)]
    names = {re.split(r"[\[<>=]", line)[0].lower() for line in wanted if line}
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    rows = " ".join(re.findall(r"^\| (.+?) \|", page, re.M)).lower()
    assert len(names) > 30
    assert {name for name in names if not re.search(rf"\b{name}\b", rows)} == set()


def test_the_layers_are_those_that_are_checked() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    layers = setup["importlinter:contract:layers"]["layers"].replace("apiary.", "").split("\n")
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = re.findall(r"^```text\n(.*?)^```", page, re.M | re.S)[0].splitlines()
    assert [re.split(r" {2,}", line)[0] for line in shown] == ["host", *filter(None, layers)]


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name
