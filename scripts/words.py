"""Bring the catalogues up to date with the sources: find texts, keep translations, compile.

make words                      all languages
make words ARGS="fr"            and begin French
make words ARGS="--check"       change nothing, say what is missing; exit 1 if anything is

A catalogue for translators (.po), the one that the app reads (.mo), and what the page's scripts
say (.json) lie side by side and are kept together in the repository.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_file
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
#: What marks a text: in the plug-in, in the host, in scripts.
_PYTHON = {
    **DEFAULT_KEYWORDS,
    "gettext_noop": None,
    "lazy_gettext": None,
    "lazy_ngettext": (1, 2),
    "say": None,
    "say_n": (1, 2),
}
_SCRIPT = {"phrase": None, "phraseN": (1, 2)}
# A date of its own would change the files with each run.
_DATE = datetime(2026, 11, 26, tzinfo=UTC)


@dataclass(frozen=True)
class Wing:
    """One domain: where its catalogues lie and whose texts are in them."""

    domain: str
    folder: Path
    sources: tuple[str, ...]
    without: tuple[str, ...] = ()

    def files(self) -> Iterator[Path]:
        for source in self.sources:
            for path in sorted((ROOT / source).rglob("*")):
                name = path.relative_to(ROOT).as_posix()
                if path.is_file() and not name.startswith(self.without or ("\0",)):
                    yield path

    def catalogue(self, tag: str, suffix: str) -> Path:
        return self.folder / tag / "LC_MESSAGES" / f"{self.domain}.{suffix}"

    def tags(self) -> list[str]:
        return sorted(path.parent.parent.name for path in self.folder.glob("*/LC_MESSAGES/*.po"))


WINGS = (
    Wing(
        "apiary",
        ROOT / "apiary" / "translations",
        ("apiary", "templates/apiary", "static/apiary"),
        ("apiary/host/", "apiary/sandbox/", "apiary/translations/"),
    ),
    Wing(
        "messages",
        ROOT / "apiary" / "host" / "translations",
        ("apiary/host", "templates/host", "static/host"),
        ("apiary/host/translations/",),
    ),
)


def template(wing: Wing) -> Catalog:
    """All texts of a wing, without any translation."""
    with (ROOT / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    ways = {pattern.rpartition("*")[2]: (way, options.get(pattern, {})) for pattern, way in methods}
    found = Catalog(project="Apiary", creation_date=_DATE, fuzzy=False)
    for path in wing.files():
        if path.suffix not in ways:
            continue
        way, more = ways[path.suffix]
        keywords = _SCRIPT if path.suffix == ".js" else _PYTHON
        name = path.relative_to(ROOT).as_posix()
        for _, text, comments, _ in extract_from_file(
            way, str(path), keywords, ("Translators:",), more, strip_comment_tags=True
        ):
            # Lines are left out: they would change with every edit of the file.
            found.add(text, None, [(name, 0)], auto_comments=comments)
    return found


def read(wing: Wing, tag: str) -> Catalog:
    """What is translated so far; empty for a language that begins."""
    path = wing.catalogue(tag, "po")
    if not path.exists():
        return Catalog(locale=tag, project="Apiary", creation_date=_DATE, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=tag)


def texts(catalogue: Catalog) -> Iterator[Message]:
    return (message for message in catalogue if message.id)


def for_scripts(catalogue: Catalog) -> str:
    """What scripts say, as JSON that may stand inside HTML."""
    said = {}
    for message in texts(catalogue):
        if any(place.endswith(".js") for place, _ in message.locations):
            name = message.id if isinstance(message.id, str) else message.id[0]
            said[name] = message.string
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    for sign in "<>&'\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def forms(message: Message) -> list[str]:
    """The translation, each of its plural forms."""
    return list(message.string) if isinstance(message.string, tuple) else [message.string or ""]


def missing(catalogue: Catalog) -> list[str]:
    """The texts that have no translation yet."""
    return [
        str(message.id) for message in texts(catalogue) if message.fuzzy or not all(forms(message))
    ]


def update(wing: Wing, tag: str) -> Catalog:
    """The catalogue as it should be: every text of the sources and no other."""
    catalogue = read(wing, tag)
    catalogue.update(template(wing), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.header_comment = f"# What Apiary says, in {catalogue.locale.english_name}."
    catalogue.version, catalogue.msgid_bugs_address = "", ""
    catalogue.revision_date = _DATE
    catalogue.last_translator = "Apiary"
    catalogue.language_team = tag
    return catalogue


def write(wing: Wing, tag: str, catalogue: Catalog) -> None:
    wing.catalogue(tag, "po").parent.mkdir(parents=True, exist_ok=True)
    with wing.catalogue(tag, "po").open("wb") as file:
        write_po(file, catalogue, width=96, include_lineno=False, sort_by_file=True)
    with wing.catalogue(tag, "mo").open("wb") as file:
        write_mo(file, catalogue)
    wing.catalogue(tag, "json").write_text(for_scripts(catalogue), encoding="utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("tags", nargs="*", help="languages to begin, such as fr")
    chosen = parser.parse_args(arguments)
    wrong = False
    for wing in WINGS:
        for tag in sorted({*wing.tags(), *chosen.tags}):
            before = {str(message.id) for message in texts(read(wing, tag))}
            catalogue = update(wing, tag)
            now = {str(message.id) for message in texts(catalogue)}
            left = missing(catalogue)
            print(f"{wing.domain} {tag}: {len(now)} texts, {len(left)} not translated")
            for text in sorted((now ^ before) | set(left)) if chosen.check else left:
                print(f"  {text}")
            wrong |= bool(left) or now != before
            if not chosen.check:
                write(wing, tag, catalogue)
    return int(chosen.check and wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
