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


#: What a pip-audit says and how it ends, and what becomes of that.
SAID = [
    ("No known vulnerabilities found", 0, 0, "No known advisories for 2 packages."),
    ("Found 1 known vulnerability in 1 package\nflask 0.1 CVE-1", 1, 1, "CVE-1"),
    (
        "No known vulnerabilities found\nflask  Dependency not found and could not be audited",
        0,
        0,
        "NOT AUDITED: 1 of 2 packages",
    ),
    ("requests.exceptions.ConnectionError", 1, 0, "NOT AUDITED: the advisories cannot be read"),
]


@pytest.mark.parametrize(("said", "ends", "status", "told"), SAID)
def test_the_audit_says_what_it_could_not_ask(
    tmp_path: Path, said: str, ends: int, status: int, told: str
) -> None:
    (tmp_path / ".venv-audit" / "bin").mkdir(parents=True)
    (tmp_path / "said").write_text(said + "\n")
    python, tool = tmp_path / "python", tmp_path / ".venv-audit" / "bin" / "python"
    python.write_text("#!/bin/sh\necho flask==1\necho httpx==1\n")
    tool.write_text(f'#!/bin/sh\n[ "$3" = --version ] || {{ cat said; exit {ends}; }}\n')
    for program in (python, tool):
        os.chmod(program, 0o755)
    done = subprocess.run(
        ["sh", str(ROOT / "scripts" / "audit.sh"), str(python)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status and told in done.stdout, done.stdout + done.stderr
