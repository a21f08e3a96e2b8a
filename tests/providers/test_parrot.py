"""The example of a third party's provider, as an installed package would be."""

import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from flask import Flask

from apiary import Apiary

PARROT = Path(__file__).resolve().parents[2] / "examples" / "provider_parrot"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """On the path with the metadata that an installer writes from its pyproject.toml."""
    project = tomllib.loads((PARROT / "pyproject.toml").read_text())["project"]
    info = tmp_path / "apiary_parrot-1.0.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head)
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(PARROT))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("apiary_parrot")


def test_it_is_a_provider_like_any_other(installed: ModuleType, tmp_path: Path) -> None:
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    app.config["SECRET_KEY"] = "only for tests"
    apiary = Apiary(app, owner=lambda: "ann")
    with app.app_context():
        assert [p.name for p in apiary.providers()][-1] == "parrot"
    page = app.test_client().get("/settings/").text
    assert 'data-provider="parrot"' in page and "https://parrot.example/keys" in page
    app.extensions["apiary"].database.close()


@pytest.mark.parametrize(
    "part",
    ["names", "keys", "models", "answer", "refusals", "broken", "closing_cuts"],
)
def test_its_own_tests_pass(installed: ModuleType, part: str) -> None:
    module = importlib.import_module("test_apiary_parrot")
    getattr(module.TestParrot(), f"test_{part}")()


def test_it_is_one_small_class() -> None:
    assert len((PARROT / "apiary_parrot.py").read_text().splitlines()) < 25
