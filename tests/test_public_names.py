"""What can be imported, set, called and listened to is what the documentation says, no more."""

import dataclasses
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import apiary
from apiary import Apiary
from apiary.host.environment import NAMES

ROOT = Path(__file__).resolve().parent.parent
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", API, re.M | re.S))
ROWS = re.findall(r"^\| `(\w+)` \|", API.split("## Errors")[1].split("\n## ")[0], re.M)


def test_all_is_sorted() -> None:
    def key(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert apiary.__all__ == sorted(apiary.__all__, key=key)


def test_all_is_complete() -> None:
    public = {
        name
        for name, value in vars(apiary).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(apiary.__all__)


def test_exactly_the_public_names_are_documented() -> None:
    documented = [*SECTIONS, *ROWS]
    assert len(documented) == len(set(documented))
    assert set(documented) == set(apiary.__all__), "docs/api.md has a ### `name` for each"


def test_the_methods_of_the_extension() -> None:
    methods = {name for name in vars(Apiary) if not name.startswith("_")}
    documented = set(re.findall(r"^\| `(\w+)\(", SECTIONS["Apiary"], re.M))
    assert documented == methods - {"init_app"}
    for name in methods - {"complete"}:
        parameters = list(inspect.signature(getattr(Apiary, name)).parameters)[1:]
        shown = re.search(rf"`{name}\((.*?)\)", SECTIONS["Apiary"])
        assert shown, name
        assert re.findall(r"\w+(?=[,=]|$)", re.sub(r"=\w+", "", shown[1])) == parameters, name


def test_the_arguments_of_the_extension() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", SECTIONS["Apiary"], re.M)
    assert rows == list(inspect.signature(Apiary).parameters)
    code = SECTIONS["Apiary"].split("```")[1]
    assert re.findall(r"(\w+)=", code) == rows


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in apiary.__all__
        if dataclasses.is_dataclass(getattr(apiary, name)) and name != "Settings"
    ],
)
def test_the_fields_of_values(name: str) -> None:
    for field in dataclasses.fields(getattr(apiary, name)):
        assert f"`{field.name}`" in SECTIONS[name], f"{name}.{field.name}"


@pytest.mark.parametrize("name", ["Provider", "AuthServer"])
def test_what_a_plug_in_may_set(name: str) -> None:
    kind = getattr(apiary, name)
    for member in {**inspect.get_annotations(kind), **vars(kind)}:
        assert member.startswith("_") or re.search(rf"`{member}\b", SECTIONS[name]), member


def test_each_error_says_what_it_carries() -> None:
    tree = {apiary.ApiaryError}
    for error in list(tree):
        tree |= set(error.__subclasses__())
    # Tests and the chat app have errors of their own below these.
    tree = {error for error in tree if error.__module__ == "apiary.errors"}
    assert {error.__name__ for error in tree} == set(ROWS)
    actions = {error.action for error in tree} - {""}
    assert all(f"`{action}`" in API for action in actions)


def test_each_setting_has_a_row() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.M)) == NAMES


def test_the_written_tables_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, commands, signals and routes. Run ``python scripts/docs.py``."""
    # The script puts its checkout there.
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(check=True)
    routes = script.route_table()
    assert "`POST /settings/openrouter/connect`" in routes and "*Flag on.*" in routes
    # A view, a command or a signal without a word about it leaves an empty cell.
    for made in (routes, script.command_table(), script.signal_table()):
        assert not re.search(r"\| +\|", made), made
