"""The suite's own rule about skipped tests, tried on a suite of three."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import ROOT

_SUITE = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="no server today")
def test_is_skipped():
    pass

@pytest.mark.xfail(strict=True, reason="known")
def test_is_known_to_fail():
    assert False
"""

#: Plug-ins that this suite of three does not need take longer to load than it takes to run.
_ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _run(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_suite.py").write_text(_SUITE)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.plugins.no_skips", "test_suite.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CI": ci, "PYTEST_ADDOPTS": ""} | _ALONE,
        capture_output=True,
        text=True,
    )


def test_a_skip_is_said_loudly(tmp_path):
    done = _run(tmp_path, "")
    assert done.returncode == 0
    assert "NOT TESTED" in done.stdout
    assert "test_suite.py::test_is_skipped: no server today" in done.stdout


def test_a_skip_fails_in_ci(tmp_path):
    done = _run(tmp_path, "true")
    assert done.returncode == 1
    assert "with CI=true nothing may be: no server today" in done.stdout
    assert "1 passed, 1 xfailed, 1 error" in done.stdout


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_module_that_skips_itself(tmp_path, ci):
    (tmp_path / "test_gone.py").write_text("import pytest\npytest.importorskip('not_here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.plugins.no_skips", "test_gone.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "CI": ci, "PYTEST_ADDOPTS": ""} | _ALONE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == (2 if ci else 5)
    assert "could not import 'not_here'" in done.stdout
