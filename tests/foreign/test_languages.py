"""Other languages: sentences, and the plug-in's pages in hosts of every kind."""

import json
import pickle
import re
from functools import partial
from pathlib import Path

import flask_babel
import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from flask import Flask, render_template_string, request, session
from flask.testing import FlaskClient

from apiary import Apiary, ConfigError, Facts, NotConnected, Secret, database, localized
from apiary.sandbox import PASTE_KEY
from apiary.translation import Sentence, say, say_n
from tests.foreign.hosts import MakeHost
from tests.reading import language, left_in_english, read

JSON = {"Accept": "application/json"}


# Sentences


@pytest.fixture
def german(make_host: MakeHost) -> Flask:
    app = make_host()
    Apiary(app, owner=lambda: session.get("who", "ann"), locale=lambda: "de")
    return app


@pytest.fixture
def make_host(make_host: MakeHost) -> MakeHost:
    """The same hosts with every kind of card, and no tokens to send along."""
    return partial(
        make_host,
        WTF_CSRF_ENABLED=False,
        APIARY_PUBLIC_URL="http://localhost",
        APIARY_CUSTOM_ENDPOINTS="public",
        APIARY_ENDPOINTS="ollama=http://127.0.0.1:9/v1",
    )


def test_a_sentence_is_english_to_programs() -> None:
    sentence = say("{label} is not connected.", label=say("Your own endpoint"))
    assert sentence == "Your own endpoint is not connected." == str(sentence) == f"{sentence}"
    assert type(str(sentence)) is str and json.dumps(sentence) == f'"{sentence}"'
    assert localized(sentence) == sentence
    again = pickle.loads(pickle.dumps(sentence))
    assert again == sentence and isinstance(again, Sentence)


def test_a_sentence_in_a_language_says_what_is_inside_it_too(german: Flask) -> None:
    sentence = say("{label} is not connected.", label=say("Your own endpoint"))
    with german.app_context():
        assert localized(sentence) == "Eigener Endpunkt ist nicht verbunden."
        assert localized(sentence, "en") == localized(sentence, "fr") == sentence
        assert localized("Not ours.") == "Not ours."
    with german.test_request_context():
        assert render_template_string("{{ it }}", it=sentence).startswith("Eigener Endpunkt")
    assert localized(pickle.loads(pickle.dumps(sentence))) == sentence


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 Sekunde"), (0, "0 Sekunden"), (7, "7 Sekunden")]
)
def test_numbers_have_their_own_forms(german: Flask, count: int, said: str) -> None:
    sentence = say_n("{count} second", "{count} seconds", count)
    assert sentence == f"{count} second{'s' if count != 1 else ''}"
    with german.app_context():
        assert localized(sentence) == said


def test_what_is_put_into_a_sentence_stays_text(german: Flask) -> None:
    sentence = say("Connected as {name}", name='<b title="x">{label.__class__}</b>')
    with german.test_request_context():
        shown = render_template_string("<p>{{ it }}", it=sentence)
        template = (
            "{% set say = apiary_language().say %}<p>{{ say('Connected as {name}', name=it) }}"
        )
        through_template = render_template_string(template, it='<b>"{label}')
    assert shown == ("<p>Verbunden als &lt;b title=&#34;x&#34;&gt;{label.__class__}&lt;/b&gt;")
    assert through_template == "<p>Verbunden als &lt;b&gt;&#34;{label}"


def test_errors_are_english_until_they_are_shown(german: Flask) -> None:
    apiary: Apiary = Apiary()
    with german.test_request_context(), pytest.raises(NotConnected) as caught:
        apiary.complete("ann", "openai", model="x", messages=[])
    assert str(caught.value) == "OpenAI is not connected. Connect it in the settings."
    with german.test_request_context():
        assert localized(caught.value.message).startswith("OpenAI ist nicht verbunden.")


# Hosts


def speaks(client: FlaskClient, **headers: str) -> str:
    page = client.get("/settings/", headers=headers).text
    heading = {"en": "<h1>Your models</h1>", "de": "<h1>Deine Modelle</h1>"}
    assert heading[language(page)] in page
    assert ("data-apiary-words" in page) is (language(page) != "en")
    return language(page)


def test_a_host_without_babel_is_english(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app, owner=lambda: "ann")
    assert speaks(app.test_client(), **{"Accept-Language": "de"}) == "en"


def test_flask_babel_is_asked_where_a_host_has_it(make_host: MakeHost) -> None:
    app = make_host()
    flask_babel.Babel(
        app, locale_selector=lambda: request.accept_languages.best_match(["en", "de"])
    )
    Apiary(app, owner=lambda: "ann")
    client = app.test_client()
    assert speaks(client, **{"Accept-Language": "de-AT"}) == "de"
    assert speaks(client, **{"Accept-Language": "en"}) == "en"
    # The selector looks at the request, and a thread of the host's has none.
    with app.app_context():
        assert localized(say("Not connected.")) == "Not connected."
        with flask_babel.force_locale("de"):
            assert localized(say("Not connected.")) == "Nicht verbunden."


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("de_CH", "de"),
        ("de-Latn-AT", "de"),
        ("DE", "en"),
        ("xx", "en"),
        ("../../de", "en"),
        ("de/../de", "en"),
    ],
)
def test_a_host_may_say_the_language_itself(
    make_host: MakeHost, tag: str | None, said: str
) -> None:
    app = make_host()
    flask_babel.Babel(app, default_locale="en")
    Apiary(app, owner=lambda: "ann", locale=lambda: tag)
    assert speaks(app.test_client()) == said


def test_a_host_may_bring_a_language_and_other_words(make_host: MakeHost, tmp_path: Path) -> None:
    """Its folder lies beside its code, wherever it is started."""
    app = make_host({"root_path": str(tmp_path / "app")})
    own = {"fr": {"Your models": "Vos modèles"}, "de": {"Your models": "Eure Modelle"}}
    for tag, texts in own.items():
        catalogue = Catalog(locale=tag)
        for text, said in texts.items():
            catalogue.add(text, said)
        folder = tmp_path / "app" / "words" / tag / "LC_MESSAGES"
        folder.mkdir(parents=True)
        with (folder / "apiary.mo").open("wb") as file:
            write_mo(file, catalogue)
    asked = lambda: request.args["in"]  # noqa: E731
    Apiary(app, owner=lambda: "ann", locale=asked, translations=["words"])
    client = app.test_client()
    french = client.get("/settings/?in=fr").text
    # What it does not translate is English.
    assert "<h1>Vos modèles</h1>" in french and "Save key" in french and language(french) == "fr"
    german = client.get("/settings/?in=de").text
    assert "<h1>Eure Modelle</h1>" in german and "Schlüssel speichern" in german
    assert json.loads(re.search(r"data-apiary-words>(.*?)</script>", german)[1])


def test_a_folder_that_is_not_there_is_said(make_host: MakeHost) -> None:
    with pytest.raises(ConfigError, match=r"translations.*wrods, which is no folder"):
        Apiary(make_host(), translations=["wrods"])


def test_a_card_in_a_page_of_the_hosts_brings_its_words(german: Flask) -> None:
    german.add_url_rule("/", "home", lambda: render_template_string("{{ apiary_card('openai') }}"))
    page = german.test_client().get("/").text
    assert "Schlüssel speichern" in page and page.count("data-apiary-words") == 1


# Pages

#: What has no other form in German.
SAME = {
    "OpenAI",
    "OpenRouter",
    "Anthropic",
    "ollama",
    "endpoint",
    "Limit",
    "https://models.example.org/v1",
}


def _page(app: Flask, tag: str, path: str, **data: str) -> str:
    """A page as somebody sees it who reads that language."""
    client = app.test_client()
    with client.session_transaction() as kept:
        kept["tag"] = tag
    answer = client.post(path, data=data) if data else client.get(path)
    assert language(answer.text) == tag
    return answer.text


def _left(english: str, german: str) -> set[str]:
    keys = {text for text in read(english) if re.match("sk-|…", text)}
    return left_in_english(english, german, SAME | keys)


def test_no_page_has_english_left(make_host: MakeHost) -> None:
    app = make_host()
    Apiary(app, owner=lambda: "ann", locale=lambda: session.get("tag"))
    state = app.extensions["apiary"]
    key = Secret(PASTE_KEY)
    facts = Facts(usage=None, limit=None, free_tier=True, known=True, verified=False)
    with app.app_context(), database.connection_context():
        for name in ("openrouter", "openai", "ollama"):
            pasted = Secret("") if name == "ollama" else key
            state.vault.put("ann", state.providers[name], pasted, source="key", facts=facts)
        connection = state.vault.get("ann", "openai")
        state.vault.reject("ann", "openai", connection.version)
    asked: list[tuple[str, dict[str, str]]] = [
        ("/settings/", {}),
        ("/settings/openrouter/ways", {}),
        ("/settings/openrouter/connect", {"display": "page"}),
        ("/settings/openrouter/connect", {"display": "code"}),
        ("/settings/openrouter/connect", {"limit": "much"}),
        ("/settings/anthropic/key", {"api_key": "no key"}),
        ("/settings/anthropic/key", {"api_key": PASTE_KEY}),
        ("/settings/endpoint/key", {"base_url": "nowhere"}),
    ]
    asked += [
        (f"/settings/openrouter/trouble/{reason}", {})
        for reason in ("unknown", "other-browser", "other-account", "signed-out", "used", "address")
    ]
    for path, data in asked:
        english, german = (_page(app, tag, path, **data) for tag in ("en", "de"))
        assert _left(english, german) == set(), path
        assert len(read(english)) == len(read(german)), path
    with app.app_context(), database.connection_context():
        state.vault.forget("ann", "openrouter")
    english, german = (_page(app, tag, "/settings/") for tag in ("en", "de"))
    assert _left(english, german) == set()


def test_fetches_are_answered_in_the_language(german: Flask) -> None:
    client = german.test_client()
    card = client.get("/settings/openrouter", headers=JSON).get_json()
    assert card["status"] == "Nicht verbunden." and card["facts"]["plan"] == "unbekannt"
    answer = client.post("/settings/openai/key", data={"api_key": ""}, headers=JSON)
    assert answer.get_json()["message"].startswith("Füg zuerst einen Schlüssel ein.")
    attempt = "a" * 20
    unknown = client.get(f"/settings/openrouter/flows/{attempt}", headers=JSON)
    assert unknown.get_json()["message"] == "Dieser Versuch ist noch nicht angekommen."
    ended = client.post(f"/settings/openrouter/flows/{attempt}/cancel", headers=JSON).get_json()
    assert ended["message"] == "Das Verbinden wurde abgebrochen. Es wurde nichts gespeichert."
    assert ended["card"]["notice"] == ended["message"]


def test_money_and_dates_are_written_as_in_the_language(german: Flask) -> None:
    state = german.extensions["apiary"]
    from decimal import Decimal

    facts = Facts(
        usage=Decimal("0.004"),
        limit=Decimal(10),
        limit_remaining=Decimal("9.5"),
        limit_reset="monthly",
        known=True,
    )
    with german.app_context(), database.connection_context():
        state.vault.put(
            "ann", state.providers["openrouter"], Secret(PASTE_KEY), source="oauth", facts=facts
        )
    client = german.test_client()
    card = client.get("/settings/openrouter", headers=JSON).get_json()
    assert card["facts"]["usage"] == "unter 0,01 $"
    assert card["facts"]["limit"] == "10,00 $ im Monat, davon übrig: 9,50 $"
    page = client.get("/settings/").text
    assert re.search(r"\d{1,2}\. [A-Zä-ü][a-zä-ü]+ 20\d\d, \d\d:\d\d UTC", page)
