"""Sphinx, over the same Markdown that people read in the checkout."""

from pathlib import Path

from sphinx.application import Sphinx

project = "Apiary"
html_title = "Apiary"
html_theme = "furo"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
# Diagrams stay text here; the forge draws them.
suppress_warnings = ["misc.highlighting_failure"]

_DOCS = Path(__file__).resolve().parent
_ORDER = ["configuration", "connect", "deploy", "operations", "integrating", "api", "providers"]


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    """What only Sphinx needs: the list of pages, and the changes from the top of the checkout."""
    if name == "index":
        rest = sorted(page.stem for page in _DOCS.glob("*.md"))
        pages = [*_ORDER, *(page for page in rest if page not in {*_ORDER, "index"})]
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"
    if name == "changes":
        changes = (_DOCS.parent / "CHANGES.md").read_text(encoding="utf-8")
        source[0] = changes.replace("](docs/", "](")


def setup(app: Sphinx) -> None:
    app.connect("source-read", _fill)
