"""The chat app that self-hosters run: a host of the plug-in like any other."""

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from flask import Flask, send_from_directory
from flask.wrappers import Response

try:
    import flask_babel  # noqa: F401
    import limits as _limits  # noqa: F401
except ImportError as error:
    # The plug-in does without, so an app that only mounts it need not install them.
    raise ImportError(
        "The chat app needs further packages. Run: pip install 'flask-apiary[server]'"
    ) from error

from apiary import STATIC, TEMPLATES, Apiary, ConfigError, generated_secret

from . import (
    edge,
    environment,
    language,
    logs,
    metrics,
    moments,
    problems,
    squeeze,
    views,
    visitors,
)
from .answers import Answers
from .broadcast import Broadcast
from .keeper import Keeper
from .leftovers import Leftovers
from .metrics import Metrics
from .readers import Readers
from .settings import HOST_VARIABLES, HostSettings
from .shared import Shared
from .state import Host
from .threads import Threads
from .tries import Tries

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"

__all__ = ["create_app"]


def create_app(config: Mapping[str, Any] | None = None, providers: Any = ()) -> Flask:
    """Build the app.

    :param config: the settings by name, with anything else for ``app.config`` among them.
        Left out, flags.env and the environment are read.
    :param providers: further providers, as :class:`apiary.Apiary` takes them.
    :raises apiary.ConfigError: settings that cannot be read or contradict each other.
    """
    try:
        return _made(config, providers)
    except ConfigError as error:
        if config is None and os.environ.get("FLASK_RUN_FROM_CLI") == "true":
            # The command `flask` would show our code first, and the sentence at its end.
            raise click.ClickException(error.message) from None
        raise


def _made(config: Mapping[str, Any] | None, providers: Any) -> Flask:
    values: Mapping[str, Any] = environment.read() if config is None else config
    environment.check_names(set(values) - environment.FOR_TESTS, "the settings")
    instance = Path(values.get("APIARY_INSTANCE_PATH") or "instance").absolute()
    settings = HostSettings.from_mapping(values, instance)
    # They would write every address that is asked, and every row: texts, hashes and all.
    for name in ("httpx", "peewee"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    if config is None:
        # The settings are the operator's, so the process is ours and its log too.
        logs.to_stderr(settings.log_format)
    app = Flask(
        "apiary.host",
        instance_path=str(instance),
        template_folder=str(TEMPLATES / "host"),
        static_folder=str(STATIC / "host"),
        static_url_path="/static",
    )
    app.config.from_mapping(values)
    app.secret_key = values.get("APIARY_SECRET_KEY") or generated_secret(
        instance / "secret_key", edge.new_secret
    )
    language.register(app, visitors.wanted_language)
    logs.register(app, settings)
    metrics.register(app)
    edge.protect(app, settings)
    squeeze.register(app)
    # Before the plug-in refuses pages while the tables are old: whether they are is the question.
    app.before_request(views.health.early)
    apiary = Apiary(
        migrations={"host": _MIGRATIONS},
        home="chat.home",
        providers=providers,
        variables=HOST_VARIABLES,
        # A guest costs nothing to become; dialling for strangers is for members only.
        may_add_endpoint=lambda owner: bool((found := visitors.person()) and found.member),
    )
    apiary.init_app(app)
    answers = Answers(settings.most_answers)
    counted = not (app.testing and app.config.get("APIARY_LIMITS") is False)
    broadcast = None
    if url := values.get("APIARY_REDIS_URL"):
        # All processes of a site sign with one secret; another site's is another one.
        digest = hashlib.sha256(str(app.secret_key).encode()).hexdigest()
        broadcast = Broadcast(Shared(url, f"apiary:{digest[:12]}:"), answers, settings.most_answers)
    app.extensions["apiary.host"] = Host(
        settings,
        apiary,
        answers,
        Readers(answers),
        Threads("apiary-answer"),
        Tries(broadcast.shared if broadcast else None) if counted else None,
        Keeper(answers, broadcast),
        Metrics(),
        Leftovers(),
        broadcast,
    )
    with app.app_context():
        settings.check_provider([provider.name for provider in apiary.providers()])
    moments.register(app)
    visitors.register(app)
    problems.register(app)
    views.register(app)
    app.add_url_rule("/vendor/<path:filename>", "vendor", _vendor)
    return app


def _vendor(filename: str) -> Response:
    """Third-party files, unmodified, each with its licence."""
    return send_from_directory(STATIC / "vendor", filename)
