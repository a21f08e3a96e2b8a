"""Other languages: the catalogues, and that no text of the sources is left out of them."""

import ast
import gettext
import json
import re
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from string import Formatter
from types import ModuleType

import pytest

from tests.reading import read
from tests.tree import ROOT


def _load_script() -> ModuleType:
    spec = spec_from_file_location("words", ROOT / "scripts" / "words.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


words = _load_script()
KNOWN = [(wing, tag) for wing in words.WINGS for tag in wing.tags()]
each_catalogue = pytest.mark.parametrize(
    ("wing", "tag"), KNOWN, ids=[f"{wing.domain}-{tag}" for wing, tag in KNOWN]
)


# The catalogues


def test_german_is_there() -> None:
    assert [(wing.domain, tag) for wing, tag in KNOWN] == [("apiary", "de"), ("messages", "de")]


@each_catalogue
def test_a_catalogue_has_every_text_of_the_sources_and_no_other(wing, tag: str) -> None:
    kept, found = words.read(wing, tag), words.template(wing)
    assert len(found) > 100
    assert {m.id for m in words.texts(kept)} == {m.id for m in words.texts(found)}, "make words"


@each_catalogue
def test_every_text_is_translated(wing, tag: str) -> None:
    assert words.missing(words.read(wing, tag)) == []


@each_catalogue
def test_a_translation_has_the_same_values_in_it(wing, tag: str) -> None:
    for message in words.texts(words.read(wing, tag)):
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        wanted = {_values(text) for text in ids}
        assert {_values(text) for text in words.forms(message)} <= wanted, message.id


def _values(text: str) -> frozenset[str]:
    if "%(" in text:
        assert "{" not in text
        return frozenset(re.findall(r"%\(\w+\)[sd]", text))
    # Anything but a plain name could reach into the values.
    names = {name for _, name, form, _ in Formatter().parse(text) if name is not None}
    assert all(re.fullmatch(r"\w+", name) for name in names), text
    return frozenset(names)


@each_catalogue
def test_a_text_holds_no_markup(wing, tag: str) -> None:
    """Templates trust texts, so nothing in them may be read as anything else."""
    for message in words.texts(words.read(wing, tag)):
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        for text in (*ids, *words.forms(message)):
            assert not re.search(r'[<>"]|&(?!\s)', text), text


@each_catalogue
def test_what_is_compiled_is_what_is_written(wing, tag: str) -> None:
    kept = words.read(wing, tag)
    with wing.catalogue(tag, "mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in words.texts(kept):
        if isinstance(message.id, tuple):
            for count in (1, 2):
                said = compiled.ngettext(*message.id, count)
                assert said == message.string[count != 1], "make words"
        else:
            assert compiled.gettext(message.id) == message.string, "make words"
    assert wing.catalogue(tag, "json").read_text() == words.for_scripts(kept), "make words"


def test_scripts_are_asked_for_every_text_they_say() -> None:
    for wing, _ in KNOWN:
        said = json.loads(wing.catalogue("de", "json").read_text())
        found = words.template(wing)
        of_scripts = [
            m for m in words.texts(found) if any(p.endswith(".js") for p, _ in m.locations)
        ]
        assert of_scripts and len(said) == len(of_scripts)


_SENTENCE = re.compile(r"[A-Z“][^\n]*[a-z]{2,} [^\n]*[.?!…]")
#: Calls whose texts are translated, and those whose texts are for operators and programmers.
_SAID = {"gettext", "gettext_noop", "lazy_gettext", "ngettext", "say", "say_n"}
_NOT_FOR_READERS = {"Check", "ConfigError", "OperationalError", "RuntimeError", "TypeError"} | {
    *("Variable", "debug", "error", "exception", "info", "warning")
}
#: Files whose sentences are for machines, for models or for operators.
_OTHERS = re.compile(
    r"apiary/(cli|sandbox)/|apiary/(readiness|testing|host/environment|host/metrics)\.py"
)


def _unsaid(tree: ast.Module) -> Iterator[str]:
    """Sentences in Python that no call marks for translation."""
    known: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            known.add(id(getattr(node.body[0], "value", None)))
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in _SAID | _NOT_FOR_READERS:
                known |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in known:
            continue
        text = ""
        if isinstance(node, ast.JoinedStr):
            known |= {id(inner) for inner in ast.walk(node)}
            text = "".join(str(getattr(part, "value", "")) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
        if _SENTENCE.fullmatch(text):
            yield text


def test_no_sentence_of_the_sources_is_left_out() -> None:
    found = [
        (name, text)
        for path in sorted((ROOT / "apiary").rglob("*.py"))
        if not _OTHERS.match(name := path.relative_to(ROOT).as_posix())
        for text in _unsaid(ast.parse(path.read_text()))
    ]
    # What a model is told when its answer was cut, and a program without its token.
    assert [text for name, text in found if name not in _TO_MACHINES] == []


_TO_MACHINES = {"apiary/host/turns.py", "apiary/host/views/health.py"}


def test_no_sentence_of_the_scripts_is_left_out() -> None:
    comment = re.compile(r"^\s*(?://|/?\*).*$|\s//\s.*$", re.M)
    text = re.compile(r"""(phraseN?\(\s*(?:"[^"]*",\s*)?)?(["`])((?:(?!\2)[^\\\n]|\\.)*)\2""")
    for path in [*ROOT.glob("static/apiary/*.js"), *ROOT.glob("static/host/*.js")]:
        for found in text.finditer(comment.sub("", path.read_text())):
            assert found[1] or not _SENTENCE.fullmatch(found[3].strip()), (path.name, found[3])


@pytest.mark.parametrize("wing", words.WINGS, ids=["apiary", "host"])
def test_no_text_of_the_templates_is_left_out(wing) -> None:
    """Between tags, and in what is read out or shown."""
    for path in wing.files():
        if path.suffix == ".html":
            plain = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", path.read_text(), flags=re.S)
            left = {text for text in read(plain) if re.search("[A-Za-z]{2}", text)}
            # Attributes that a block puts into a tag.
            left -= {text for text in left if text.startswith("data-")}
            assert left <= {"conversations.json", "UTC", "https://models.example.org/v1"}, path
