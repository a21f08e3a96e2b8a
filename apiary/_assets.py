"""Where the pages and the static files lie: inside a wheel, or at the top of a checkout."""

from pathlib import Path

from .errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def _find(folder: str) -> Path:
    for root in (_PACKAGE, _PACKAGE.parent):
        # The sub-folder is what makes it ours: site-packages may hold some other
        # distribution's templates/.
        if (root / folder / "apiary").is_dir():
            return root / folder
    raise ConfigError(f"This install of flask-apiary has no {folder}/apiary folder. Reinstall it.")


TEMPLATES = _find("templates")
STATIC = _find("static")
