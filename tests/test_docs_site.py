"""The documentation builds as a site, and a warning is an error."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    site = tmp_path / "site"
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-E", "-W", "-q", "-d", tmp_path / "trees", "docs", site],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    index = (site / "index.html").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").exists()
        assert f'href="{page.stem}.html"' in index or page.stem == "index"
    pictures = re.findall(r'(?:src|srcset)="(_static/connected[^"]*)"', index)
    assert len(pictures) == 2 and all((site / picture).exists() for picture in pictures)
    assert "Unreleased" in (site / "changes.html").read_text("utf-8")
