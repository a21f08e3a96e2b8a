"""Sphinx, over the same Markdown that people read in the checkout."""

import re
from collections.abc import Iterator
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

html_show_copyright = False
# Pictures stand in HTML, for the dark ones among them; Sphinx does not see them there.
html_static_path = ["pictures"]

_DOCS = Path(__file__).resolve().parent


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    """What only Sphinx needs: the list of pages, and the changes from the top of the checkout."""
    if name == "index":
        source[0] = source[0].replace('"pictures/', '"_static/') + "".join(_trees(source[0]))
    if name == "changes":
        changes = (_DOCS.parent / "CHANGES.md").read_text(encoding="utf-8")
        source[0] = changes.replace("](docs/", "](")


def _trees(index: str) -> Iterator[str]:
    """The pages of each heading, for the list at the side."""
    for part in index.split("\n## ")[1:]:
        caption = part.partition("\n")[0]
        if pages := re.findall(r"^- .*?\((\w+)\.md\)", part, re.M):
            listed = "\n".join(pages)
            yield f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def setup(app: Sphinx) -> None:
    app.connect("source-read", _fill)
