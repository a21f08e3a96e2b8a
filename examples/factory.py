"""An app factory, two instances in one process: one with Connect, one with keys that are pasted.

pip install flask-apiary gunicorn
gunicorn 'examples.factory:site()'
"""

from pathlib import Path
from uuid import NAMESPACE_DNS, UUID, uuid5

import peewee
from flask import Flask, redirect, request
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

from apiary import Apiary, ApiaryError

apiary = Apiary()


class User(UserMixin):
    def __init__(self, id: UUID) -> None:
        self.id = id


def create_app(name: str, folder: Path, database: peewee.Database | None = None, **config) -> Flask:
    """One instance. Settings and keys lie in a folder of its own."""
    app = Flask(name, instance_path=str(folder))
    app.config.update(
        SECRET_KEY=f"change me, {name}",
        # Both stand under one name; else their cookies would overwrite each other.
        SESSION_COOKIE_NAME=f"session_{name}",
        MODEL="openai/gpt-4o-mini",
        **config,
    )
    app.config.from_prefixed_env()
    login = LoginManager(app)
    login.user_loader(lambda text: User(UUID(text)))
    (apiary if database is None else Apiary(database=database)).init_app(app)

    @app.get("/")
    def home() -> str:
        who = current_user.get_id() if current_user.is_authenticated else "nobody"
        return (
            f"<!doctype html><title>{name}</title><h1>{name}</h1><p>{who}</p>"
            '<form method="post" action="sign-in"><button id="in">Sign in</button></form>'
            '<form method="post" action="ask"><input name="question" aria-label="Question">'
            '<button id="ask">Ask</button></form><a href="settings/">Your models</a>'
        )

    @app.post("/sign-in")
    def sign_in() -> Response:
        login_user(User(uuid5(NAMESPACE_DNS, f"ann.{name}.example")))
        return redirect(request.script_root + "/")

    @app.post("/ask")
    @login_required
    def ask() -> str:
        question = [{"role": "user", "content": request.form["question"]}]
        model = app.config["MODEL"]
        try:
            return apiary.complete(
                current_user.id, "openrouter", model=model, messages=question
            ).text
        except ApiaryError as error:
            return error.message

    return app


def site() -> DispatcherMiddleware:
    """Bees at /, with a database of its own; wasps at /wasps."""
    folder = Path("instance").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    database = peewee.SqliteDatabase(str(folder / "bees.sqlite3"), lock_type="IMMEDIATE")
    bees = create_app("bees", folder / "bees", database, OPENROUTER_OAUTH=True)
    wasps = create_app("wasps", folder / "wasps", OPENROUTER_OAUTH=False)
    return DispatcherMiddleware(bees, {"/wasps": wasps})
