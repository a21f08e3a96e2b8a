"""The chat app for a WSGI server: ``gunicorn wsgi:app``, ``flask --app wsgi run``."""

import sys

from apiary import ConfigError
from apiary.host import create_app

try:
    app = create_app()
except ConfigError as error:
    print(f"Apiary does not start: {error.message}", file=sys.stderr, flush=True)
    raise SystemExit(3) from None
