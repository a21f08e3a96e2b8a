"""flags.env and the environment: where an operator's settings come from."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from apiary import VARIABLES, ConfigError

from .settings import HOST_VARIABLES

NAMES = frozenset(v.name for v in (*VARIABLES, *HOST_VARIABLES))
#: Heard only in an app under test, and never read from the environment.
FOR_TESTS = frozenset({"APIARY_LIMITS"})

_FLAG = "OPENROUTER_OAUTH"
_CHECKOUT = Path(__file__).resolve().parent.parent.parent


def read(
    environ: Mapping[str, str] = os.environ, folders: Iterable[Path] | None = None
) -> dict[str, str]:
    """The settings by name. The real environment wins over flags.env, even where it is empty.

    :param folders: where flags.env is looked for; the first one found counts. The current
        folder and the one that holds the package by default.
    :raises ConfigError: for a name that does not exist, or a line that cannot be read.
    """
    found: dict[str, str] = {}
    for folder in folders if folders is not None else (Path.cwd(), _CHECKOUT):
        path = folder / "flags.env"
        if path.is_file():
            found = parse(path.read_text(encoding="utf-8"), str(path))
            break
    check_names(found, "flags.env", strict=True)
    check_names(environ, "the environment")
    for name in NAMES & environ.keys():
        found[name] = environ[name]
    return found


def parse(text: str, source: str = "flags.env") -> dict[str, str]:
    """Read ``NAME=value`` lines; blank lines and lines that begin with # are skipped.

    Nothing is unquoted or expanded: shells, Docker and dotenv readers do not agree on that.

    :raises ConfigError: with the number of the line that is none of these.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        name = name.strip()
        if not separator or not name.isidentifier():
            raise ConfigError(f"Line {number} of {source} is not NAME=value. Mend or remove it.")
        found[name] = value.strip()
    return found


def check_names(names: Iterable[str], source: str, *, strict: bool = False) -> None:
    """Refuse names that nothing reads: most likely a slip of the pen.

    :param strict: every unknown name; else those that begin with APIARY_, and those that are
        nearly the flag's: the environment holds many others' names too.
    :raises ConfigError: with the nearest name that exists.
    """
    for name in sorted(names):
        # Settings of the test-suite share the prefix and may stand in the environment.
        if name in NAMES or name.startswith("APIARY_TEST_"):
            continue
        slip = difflib.SequenceMatcher(None, name, _FLAG).ratio() > 0.85
        if strict or slip or name.startswith("APIARY_"):
            near = _FLAG if slip else _nearest(name)
            hint = f" Did you mean {near}?" if near else " Remove it."
            raise ConfigError(f"{name} in {source} is not a setting of Apiary.{hint}")


def _nearest(name: str) -> str | None:
    """The name that was most likely meant. The prefix, which all share, says nothing."""
    rest = {known.removeprefix("APIARY_"): known for known in NAMES}
    near = difflib.get_close_matches(name.removeprefix("APIARY_"), rest, n=1, cutoff=0.6)
    return rest[near[0]] if near else None
