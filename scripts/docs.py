"""Writes the tables of settings, commands, signals and routes into docs/, from the code itself,
and PACKAGE.md, what a package index shows, from README.md.

python scripts/docs.py            write them
python scripts/docs.py --check    say what is out of date, and fail
"""

import re
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import click  # noqa: E402
from blinker import NamedSignal  # noqa: E402
from flask import Flask  # noqa: E402

import apiary  # noqa: E402
from apiary.cli import commands  # noqa: E402
from apiary.host.settings import HOST_VARIABLES  # noqa: E402

DOCS = ROOT / "docs"


def settings(variables: Iterable[apiary.Variable]) -> str:
    rows = ((f"`{v.name}`", f"`{v.default}`" if v.default else "", v.meaning) for v in variables)
    return table(("name", "default", "meaning"), rows)


def command_table() -> str:
    rows = ((f"`flask apiary {path}`", summary(command.help)) for path, command in walk(commands()))
    return table(("command", "what it does"), sorted(rows))


def walk(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from walk(command, f"{above}{name} ")
        else:
            arguments = [p for p in command.params if isinstance(p, click.Argument)]
            shown = (
                f"{p.name}".upper() if p.required else f"[{p.name}]".upper() for p in arguments
            )
            yield above + " ".join([name, *shown]), command


def route_table() -> str:
    """The plug-in's routes; those that come with the flag are marked."""
    on, off = routes("1"), routes("0")
    rows = (
        (f"`{rule}`", summary(told) + ("" if rule in off else " *Flag on.*"))
        for rule, told in on.items()
    )
    return table(("route", "what it is"), rows)


def routes(flag: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        app = Flask("docs", instance_path=folder)
        app.config.update(SECRET_KEY="docs", OPENROUTER_OAUTH=flag)
        app.config["APIARY_ENCRYPTION_KEYS"] = f"k1:{secrets.token_urlsafe(32)}"
        apiary.Apiary(app, owner=lambda: None)
        app.extensions["apiary"].database.close()
        found = {}
        for rule in app.url_map.iter_rules():
            if not rule.endpoint.startswith("apiary."):
                continue
            [method] = set(rule.methods or ()) - {"HEAD", "OPTIONS"}
            path = rule.rule.replace('<any("openrouter"):provider>', "openrouter")
            view = app.view_functions[rule.endpoint]
            told = "The plug-in's own files." if rule.endpoint.endswith("static") else view.__doc__
            found[f"{method} {path}"] = told or ""
    return dict(sorted(found.items(), key=lambda pair: pair[0].split(" ")[1]))


def signal_table() -> str:
    """The signals, each with the comment that stands above it."""
    source = (ROOT / "apiary" / "signals.py").read_text(encoding="utf-8")
    told = dict(_above(source))
    public = {n for n in apiary.__all__ if isinstance(getattr(apiary, n), NamedSignal)}
    return table(("signal", "sent when"), ((f"`{name}`", told[name]) for name in sorted(public)))


def _above(source: str) -> Iterator[tuple[str, str]]:
    for comment, name in re.findall(r"((?:^#: .*\n)+)^(\w+) = ", source, re.M):
        yield name, " ".join(comment.replace("#: ", "").split())


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(c.replace('|', chr(92) + '|') for c in line)} |" for line in lines
    )


def summary(text: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())


#: Which table stands in which page, between <!-- name --> and <!-- /name -->.
TABLES = {
    "configuration.md": {
        "plug-in": lambda: settings(apiary.VARIABLES),
        "chat-app": lambda: settings(HOST_VARIABLES),
        "commands": command_table,
    },
    "integrating.md": {"routes": route_table, "signals": signal_table},
}


def filled(text: str, name: str, content: str) -> str:
    """The page with a table anew between its markers."""
    pattern = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
    done, count = re.subn(pattern, lambda m: f"{m[1]}{content}{m[2]}", text, flags=re.S)
    if count != 1:
        raise SystemExit(f"<!-- {name} --> stands {count} times; it must stand once.")
    return done


#: What of README.md is for those who install the package. The rest is about the checkout.
_PACKAGE_PARTS = ("In your own Flask app", "Security")
_PACKAGE_END = """\
## Read on

The archive of the sources holds the rest: the chat app with its `Makefile`, the documentation in
`docs/`, three whole apps in `examples/`.
"""


def package_text(readme: str) -> str:
    """README.md for where nothing lies beside it: without pictures, diagrams and relative links."""
    top, *parts = re.sub(r"(?s)<picture>.*?</picture>\n+", "", readme).split("\n## ")
    by_title = {part.partition("\n")[0]: part for part in parts}
    first = top.strip().split("\n\n")[:2]
    text = "\n\n## ".join(["\n\n".join(first), *(by_title[p].strip() for p in _PACKAGE_PARTS)])
    text = re.sub(r"\[([^\]]+)\]\(\1\)", r"`\1`", text)
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)
    return f"{text}\n\n{_PACKAGE_END}"


def main(check: bool) -> None:
    stale = []
    package = ROOT / "PACKAGE.md"
    text = package_text((ROOT / "README.md").read_text(encoding="utf-8"))
    if not package.exists() or package.read_text(encoding="utf-8") != text:
        stale.append(package.name)
        if not check:
            package.write_text(text, encoding="utf-8")
    for page, tables in TABLES.items():
        path = DOCS / page
        before = text = path.read_text(encoding="utf-8")
        for name, make in tables.items():
            text = filled(text, name, make())
        if text != before:
            stale.append(page)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        raise SystemExit(f"Out of date: {', '.join(stale)}. Run: python scripts/docs.py")


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
