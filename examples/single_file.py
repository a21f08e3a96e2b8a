"""One file, no accounts: each browser brings its own model, and one card stands in the only page.

pip install flask-apiary
flask --app examples/single_file run
"""

from uuid import uuid4

from flask import Flask, Response, render_template_string, request, session

from apiary import Apiary, ApiaryError, Delta

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Ask</title>
<link rel="stylesheet" href="{{ url_for('apiary.static', filename='apiary.css') }}">
<link rel="modulepreload" href="{{ url_for('apiary.static', filename='connect.js') }}">
<script type="module" src="{{ url_for('apiary.static', filename='settings.js') }}"></script>
<body class="apiary-page">
<main class="apiary column">
  <form class="card" method="post" action="ask">
    <label class="field"><span>Question</span><input name="question" required></label>
    <button class="button primary">Ask</button>
  </form>
  {{ apiary_card("openrouter", back="home") }}
</main>
"""


def visitor() -> str:
    """Who is asking: whoever holds this browser's cookie."""
    return session.setdefault("visitor", uuid4().hex)


app = Flask(__name__)
# Lax: what another site makes a browser send comes without the cookie, so it spends nothing.
app.config.update(
    SECRET_KEY="change me",
    SESSION_COOKIE_SAMESITE="Lax",
    MODEL="openai/gpt-4o-mini",
    OPENROUTER_OAUTH=True,
)
app.config.from_prefixed_env()
apiary = Apiary(app, owner=visitor, home="home")


@app.get("/")
def home() -> str:
    return render_template_string(PAGE)


@app.post("/ask")
def ask() -> Response | tuple[str, int]:
    question = [{"role": "user", "content": request.form["question"]}]
    try:
        stream = apiary.stream(
            visitor(), "openrouter", model=app.config["MODEL"], messages=question
        )
    except ApiaryError as error:
        return error.message, 409
    # It comes piece by piece, after this function has returned.
    pieces = (event.text for event in stream if isinstance(event, Delta))
    return Response(pieces, mimetype="text/plain")
