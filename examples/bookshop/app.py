"""A bookshop that somebody else designed: SQLAlchemy, Flask-Login, CSRFProtect, Bootstrap.

pip install flask-apiary flask-sqlalchemy bootstrap-flask flask-limiter
flask --app examples/bookshop/app run

For Apiary it has the lines that name it, a card in templates/profile.html, and
templates/apiary/base.html, which puts the settings pages into the shop's frame.
"""

from flask import Flask, flash, redirect, render_template, request
from flask_bootstrap import Bootstrap5
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.wrappers import Response

from apiary import Apiary, ApiaryError

app = Flask(__name__)
app.config.update(
    SECRET_KEY="change me",
    BOOTSTRAP_SERVE_LOCAL=True,
    SQLALCHEMY_DATABASE_URI="sqlite:///bookshop.sqlite3",
    MODEL="openai/gpt-4o-mini",
    OPENROUTER_OAUTH=True,
)
app.config.from_prefixed_env()
db = SQLAlchemy(app)
CSRFProtect(app)
Bootstrap5(app)
login = LoginManager(app)
login.login_view = "shelf"
apiary = Apiary(app)
limiter = Limiter(get_remote_address, app=app, storage_uri="memory://")
limiter.limit("20 per minute", methods=["POST"])(app.blueprints["apiary"])


class User(UserMixin, db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Book(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


@login.user_loader
def load_user(text: str) -> User | None:
    return db.session.get(User, int(text))


@app.get("/")
def shelf() -> str:
    return render_template("shelf.html", books=Book.query.all())


@app.post("/sign-in")
def sign_in() -> Response:
    """A real shop asks for a password."""
    user = User.query.filter_by(name=request.form["name"]).first()
    login_user(user or User.query.first())
    return redirect("/")


@app.get("/profile")
@login_required
def profile() -> str:
    return render_template("profile.html")


@app.post("/books/<int:number>/ask")
@login_required
def ask(number: int) -> Response:
    book = db.get_or_404(Book, number)
    question = [{"role": "user", "content": f"What is {book.title} about?"}]
    try:
        model = app.config["MODEL"]
        flash(apiary.complete(current_user.id, "openrouter", model=model, messages=question).text)
    except ApiaryError as error:
        flash(error.message)
    return redirect("/")


with app.app_context():
    db.create_all()
    if not Book.query.first():
        db.session.add_all([User(name="Ann"), User(name="Bob"), Book(title="The Life of the Bee")])
        db.session.commit()
