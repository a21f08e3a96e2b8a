"""Each dependency has a lower bound that is tested, and the audit never calls silence success."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_each_dependency_has_a_lower_bound() -> None:
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec and spec.loader
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    pins = noxfile.pins()
    assert "flask==3.1.3" in pins and "httpx==0.28.1" in pins
    assert {pin.split("==")[0] for pin in pins} >= {"peewee", "cryptography", "gunicorn", "psycopg"}
    assert all((ROOT / test).exists() for test in noxfile.FAST)


GOOD, NONE = (
    "No known vulnerabilities found",
    "flask  Dependency not found and could not be audited",
)
FOUND = "Found 1 known vulnerability in 1 package\nflask 0.1 CVE-1"
AWAY = "requests.exceptions.ConnectionError"
#: What the index and OSV say of one package and of all, how the audit ends, what it tells.
SAID = [
    ((GOOD, GOOD), (AWAY, AWAY), 0, "No known advisories for 2 packages."),
    ((GOOD, FOUND), (AWAY, AWAY), 1, "CVE-1"),
    ((FOUND, FOUND), (AWAY, AWAY), 1, "CVE-1"),
    ((GOOD, NONE), (AWAY, AWAY), 0, "NOT AUDITED: 1 of 2 packages"),
    ((GOOD, AWAY), (GOOD, GOOD), 0, "NOT AUDITED: pypi stopped"),
    ((NONE, NONE), (GOOD, GOOD), 0, "No known advisories for 2 packages."),
    ((AWAY, AWAY), (GOOD, FOUND), 1, "CVE-1"),
    ((NONE, NONE), (AWAY, AWAY), 0, "NOT AUDITED: advisories can be read neither"),
]
TOOL = """#!/bin/sh
[ "$3" = --version ] && exit 0
for file; do :; done
said="$4-$(wc -l <"$file" | tr -d ' ')"
cat "$said"
grep -Eq "Found|Error" "$said" && exit 1
exit 0
"""


@pytest.mark.parametrize(("pypi", "osv", "status", "told"), SAID)
def test_the_audit_says_what_it_could_not_ask(
    tmp_path: Path, pypi: tuple[str, str], osv: tuple[str, str], status: int, told: str
) -> None:
    (tmp_path / ".venv-audit" / "bin").mkdir(parents=True)
    for service, words in (("pypi", pypi), ("osv", osv)):
        for count, said in enumerate(words, 1):
            (tmp_path / f"{service}-{count}").write_text(said + "\n")
    python, tool = tmp_path / "python", tmp_path / ".venv-audit" / "bin" / "python"
    python.write_text("#!/bin/sh\necho flask==1\necho httpx==1\n")
    tool.write_text(TOOL)
    for program in (python, tool):
        os.chmod(program, 0o755)
    done = subprocess.run(
        ["sh", str(ROOT / "scripts" / "audit.sh"), str(python)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status and told in done.stdout, done.stdout + done.stderr
