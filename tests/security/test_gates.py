"""What must not stand in the code at all, and where the few exceptions are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What is sought, in which files, and the files that may have it.
GATES: dict[str, tuple[str, list[str], set[str]]] = {
    "markup from text": (
        r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write(?:ln)?|setHTMLUnsafe"
        r"|createContextualFragment|parseFromString|srcdoc)\b",
        ["static/apiary/*.js", "static/host/*.js"],
        set(),
    ),
    "code from text": (
        r"\beval\(|new Function\(|setTimeout\(\s*[\"'`]|\bimport\([^\"']",
        ["static/apiary/*.js", "static/host/*.js"],
        # One of a fixed list of languages.
        {"static/host/code.js"},
    ),
    "messages to anybody": (
        r"postMessage\([^)]*[\"']\*[\"']",
        ["static/apiary/*.js", "static/host/*.js"],
        set(),
    ),
    "inline code and style": (
        # A script of data is not run.
        r"<script(?![^>]*(?:\bsrc=|type=\"application/json\"))|\son\w+=[\"']|\sstyle=[\"']|<style|javascript:",
        ["templates/**/*.html"],
        set(),
    ),
    "text that is not escaped": (
        r"\|\s*safe\b|autoescape\s+false",
        ["templates/**/*.html"],
        set(),
    ),
    "things from elsewhere": (
        r"<(?:script|link|img|iframe|form)[^>]+(?:src|href|action)=[\"'](?:https?:)?//",
        ["templates/**/*.html"],
        set(),
    ),
    "markup from Python": (
        r"\bMarkup\(",
        ["apiary/**/*.py"],
        # A page made already; texts of ours and of a catalogue; a <time>. Values are escaped.
        {
            "apiary/views/__init__.py", "apiary/translation.py",
            "apiary/host/language.py", "apiary/host/moments.py",
        },
    ),
    "who is signed in": (r"\blogin_user\(", ["apiary/**/*.py"], {"apiary/host/accounts.py"}),
    "certificates not checked": (
        r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False",
        ["apiary/**/*.py"],
        set(),
    ),
    "SQL put together": (
        r"execute_sql\(\s*f[\"']|\.execute\(\s*f[\"']|SQL\(\s*f[\"']",
        ["apiary/**/*.py"],
        set(),
    ),
    "objects from bytes, shells": (
        r"\bpickle\.|\bmarshal\.|yaml\.load\(|shell\s*=\s*True|os\.system\(|\beval\(|\bexec\(",
        ["apiary/**/*.py"],
        # A script of ours that Redis runs.
        {"apiary/host/places.py"},
    ),
    "chance that is no secret": (r"^\s*(?:import|from) random\b", ["apiary/**/*.py"], set()),
    "challenges in clear": (r"code_challenge_method[\"']?\s*[:=]\s*[\"']plain", ["apiary/**/*.py"],
                            set()),
    "another origin let in": (r"Access-Control-Allow", ["apiary/**/*.py"], set()),
    "debuggers": (r"debug\s*=\s*True|use_debugger|breakpoint\(", ["apiary/**/*.py", "wsgi.py"],
                  set()),
}  # fmt: skip


@pytest.mark.parametrize("name", GATES)
def test_gate(name: str) -> None:
    pattern, globs, allowed = GATES[name]
    files = [path for glob in globs for path in ROOT.glob(glob)]
    assert files
    found = {
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        if str(path.relative_to(ROOT)) not in allowed
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line) and "sandbox" not in str(path.relative_to(ROOT))
    }
    assert not found


def test_the_table_of_docs_names_tests_that_exist() -> None:
    """docs/security.md says which test covers what: each of them is there."""
    text = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.(?:py|toml|txt|md))(?:::(\w+))?`", text)
    assert len(named) > 30
    for path, test in named:
        source = (ROOT / path).read_text()
        assert not test or f"def {test}(" in source, (path, test)
