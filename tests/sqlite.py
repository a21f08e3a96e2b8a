"""SQLite databases for tests: the tables are made once by each worker, then copied."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from apiary.secret import private_folder


class Sqlite:
    """Databases of chat apps as they are at their first start.

    :param folder: where one is kept to be copied.
    """

    def __init__(self, folder: Path) -> None:
        self._kept = folder / "kept.sqlite3"

    @contextmanager
    def laid(self, settings: Mapping[str, object]) -> Iterator[None]:
        """Have the tables where an app with these settings, which is made meanwhile, has none."""
        path = _path(settings)
        if path is None or path.exists():
            yield
            return
        if not self._kept.exists():
            yield
            _copy(path, self._kept)
            return
        private_folder(path.parent)
        # As private as the app itself makes it.
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(self._kept.read_bytes())
        yield


def _path(settings: Mapping[str, object]) -> Path | None:
    url = str(settings.get("APIARY_DATABASE_URL") or "")
    if not url:
        return Path(str(settings["APIARY_INSTANCE_PATH"])) / "apiary.sqlite3"
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _copy(from_: Path, to: Path) -> None:
    source, target = sqlite3.connect(from_), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()
