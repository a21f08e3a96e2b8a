"""Our cards in the host's pages, and the host's templates in place of ours."""

import re
from pathlib import Path

from flask import Flask, session

from apiary import Apiary
from tests.foreign.hosts import (
    CARD,
    MakeHost,
    mount,
)


def write(app: Flask, name: str, text: str) -> None:
    path = Path(app.root_path) / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_card_in_a_page_of_the_hosts_own(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app, owner=lambda: session.get("who"), home="profile")
    write(app, "profile.html", "<h1>Me</h1>{{ apiary_card('openrouter', back='home') }}")

    @app.get("/profile")
    def profile() -> str:
        session["who"] = "ann"
        from flask import render_template

        return render_template("profile.html")

    client = app.test_client()
    page = client.get("/profile").text
    assert page.count("<section") == 1 and CARD in page and "&lt;" not in page
    assert 'name="back" value="home"' in page and "<html" not in page
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    data = {"csrf_token": found[1], "back": "home"}
    answer = client.post("/settings/openrouter/disconnect", data=data)
    assert answer.headers["Location"] == "/profile"


def test_templates_page_by_page_and_block_by_block(make_host: MakeHost) -> None:
    plain, framed, own, part = (make_host() for _ in range(4))
    write(framed, "layout.html", "<nav>Shop</nav>{% block content %}{% endblock %}")
    write(
        framed,
        "apiary/base.html",
        '{% extends "layout.html" %}{% block content %}<title>{% block title %}{% endblock %}'
        "</title>{% block head %}{% endblock %}{% block main %}{% endblock %}{% endblock %}",
    )
    write(own, "apiary/settings/index.html", "{% for c in cards %}{{ c.name }} {% endfor %}")
    write(
        part,
        "apiary/settings/index.html",
        '{% extends "apiary/settings/_index.html" %}{% block intro %}<p>Ours</p>{% endblock %}',
    )
    pages = []
    for app in (plain, framed, own, part):
        mount(app)
        pages.append(app.test_client().get("/settings/").text)
    assert "<nav>" not in pages[0] and "<title>Your models</title>" in pages[0]
    assert pages[1].startswith("<nav>Shop</nav><title>Your models</title>") and CARD in pages[1]
    assert pages[2] == "openrouter anthropic openai "
    assert "<p>Ours</p>" in pages[3] and CARD in pages[3] and "Keys are kept" not in pages[3]
    assert "Keys are kept encrypted" in pages[0]
