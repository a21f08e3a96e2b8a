"""The chat app in the language of who reads it: who chooses, and that no English is left."""

import json
import re
import subprocess
import sys
from decimal import Decimal
from gettext import NullTranslations
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from apiary import database
from apiary.host import language as speech
from apiary.host import record
from apiary.host.answers import Answer
from apiary.host.tables import Account, Message
from apiary.translation import Language
from tests.conftest import LiveSandbox
from tests.host.browsing import Browser, events
from tests.host.conftest import BUILTIN, MakeHost
from tests.reading import language, left_in_english, read
from tests.tree import ROOT

DE = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5", "Accept": "text/html"}
EN = {"Accept-Language": "en-GB", "Accept": "text/html"}


def page(browser: Browser, path: str, headers: dict[str, str]) -> str:
    with browser.get(path, headers=headers) as found:
        return found.get_data(as_text=True)


# Who chooses


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("de-CH, fr;q=0.9", "de"),
        ("fr, de;q=0.5", "de"),
        ("fr", "en"),
        ("en, de;q=0.9", "en"),
        ("*", "en"),
        ("x" * 5000, "en"),
    ],
)
def test_the_browser_says_the_language(browser: Browser, asked: str | None, said: str) -> None:
    headers = {} if asked is None else {"Accept-Language": asked}
    for path in ("/", "/sign-in", "/settings/", "/nowhere"):
        found = page(browser, path, headers | {"Accept": "text/html"})
        assert language(found) == said, path
        assert ("data-words" in found) is (said != "en")


def choose(browser: Browser, tag: str) -> int:
    with browser.form("/account/language", language=tag) as done:
        return done.status_code


def test_a_choice_goes_before_the_browser_and_with_the_account(host: Flask) -> None:
    browser = Browser(host)
    browser.sign_up("Ada")
    assert choose(browser, "de") == 303
    for path in ("/account", "/settings/", "/"):
        assert language(page(browser, path, EN)) == "de"
    # Signed out this browser keeps it; elsewhere it comes with the account.
    browser.form("/sign-out").close()
    assert language(page(browser, "/sign-in", EN)) == "de"
    other = Browser(host)
    assert language(page(other, "/sign-in", EN)) == "en"
    other.sign_in("Ada").close()
    assert language(page(other, "/", EN)) == "de"
    assert choose(other, "") == 303
    assert language(page(other, "/", EN)) == "en"
    assert language(page(other, "/", DE)) == "de"


def test_a_guest_may_choose(browser: Browser, host: Flask) -> None:
    assert choose(browser, "de") == 303
    assert language(page(browser, "/", EN)) == "de"
    with host.app_context(), database.connection_context():
        assert Account.select().where(Account.language == "de").count() == 1


@pytest.mark.parametrize("tag", ["fr", "DE", "../de", "de" * 50])
def test_a_language_that_does_not_exist_is_refused(browser: Browser, tag: str) -> None:
    assert choose(browser, tag) == 400
    assert language(page(browser, "/", EN)) == "en"


@pytest.mark.parametrize("tag", ["fr", "../de", "%00", "x" * 4000])
def test_a_cookie_that_somebody_made_up_chooses_nothing(browser: Browser, tag: str) -> None:
    browser.client.set_cookie("apiary_language", tag)
    assert language(page(browser, "/sign-in", EN)) == "en"
    assert language(page(browser, "/sign-in", DE)) == "de"


def test_the_cookie_is_as_careful_as_the_others(make_host: MakeHost) -> None:
    app = make_host(APIARY_PUBLIC_URL="https://chat.example.org")
    browser = Browser(app)
    base = {"base_url": "https://chat.example.org"}
    found = browser.get("/account", **base).get_data(as_text=True)
    token = re.search(r'name="csrf-token" content="([^"]+)"', found)
    data = {"csrf_token": token[1], "language": "de"}
    headers = {"Origin": "https://chat.example.org"}
    with browser.client.post("/account/language", data=data, headers=headers, **base) as done:
        cookie = done.headers["Set-Cookie"]
    assert cookie.startswith("__Host-apiary-language=de;")
    assert all(f"; {part}" in cookie for part in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax"))


# What is said

#: What has no other form in German, or is the user's.
SAME = {
    *("Apiary", "Chat", "Chat – Apiary", "Name", "Limit", "English", "Deutsch", "UTC"),
    *("OpenRouter", "OpenAI", "Anthropic", "Esc", "Enter", "Shift", "Ctrl", "Shift + Enter"),
    *(
        "Ada",
        "ada",
        "hello bees",
        "hello bees – Apiary",
        "sandbox/echo",
        "conversations.json",
        "Loopback",
    ),
    *("n", "w", "m", "j", "k", "s", "u"),
    *("hello", "bees", "dance", "hello bees – Apiary"),
}
OPERATOR = "only for tests, only for tests"


def test_no_page_has_english_left(make_host: MakeHost, paste_key: str) -> None:
    app = make_host(
        OPENROUTER_OAUTH="1",
        APIARY_PUBLIC_URL="http://localhost",
        APIARY_OPERATOR_TOKEN=OPERATOR,
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_DAILY_MESSAGES="1",
        **BUILTIN,
    )
    stranger, guest, member = Browser(app), Browser(app), Browser(app)
    stranger.form("/sign-out").close()
    member.sign_up("Ada")
    talk = member.conversation()
    member.ask("hello bees", talk)
    with member.send(f"/c/{talk}/messages", {"text": "hello bees"}) as refused:
        assert refused.status_code == 429
    other = member.conversation()
    with member.send(f"/c/{other}/messages", {"text": "hello bees", "provider": "openai"}) as no:
        assert no.status_code == 409
    visits: list[tuple[Browser, str]] = [
        (guest, "/"),
        (guest, "/account"),
        (guest, "/account/delete"),
        (guest, "/usage"),
        (guest, "/settings/"),
        (guest, "/settings/openrouter/ways"),
        (guest, "/sign-up"),
        (guest, "/sign-in?next=account"),
        (guest, "/search"),
        (guest, "/search?q=%21"),
        (guest, "/search?q=nothing+here"),
        (guest, "/nowhere"),
        (guest, "/operator"),
        (member, "/"),
        (member, f"/c/{talk}"),
        (member, f"/c/{other}"),
        (member, "/account"),
        (member, "/account/delete"),
        (member, "/usage"),
        (member, "/usage?days=7"),
        (member, "/search?q=hello"),
        (member, "/search?q=bees+dance"),
    ]
    for browser, path in visits:
        english, german = (page(browser, path, headers) for headers in (EN, DE))
        assert (language(english), language(german)) == ("en", "de")
        # Keys begin alike in every language, and the 25th of the month is a number.
        same = SAME | {text for text in read(english) if re.match(r"sk-|…|\W*\d", text)}
        assert left_in_english(english, german, same) == set(), path
        assert len(read(german)) == len(read(english)), path


def test_the_operators_page_is_german_around_what_the_doctor_says(make_host: MakeHost) -> None:
    browser = Browser(make_host(APIARY_OPERATOR_TOKEN=OPERATOR))
    headers = DE | {"Authorization": f"Bearer {OPERATOR}"}
    found = page(browser, "/operator", headers)
    assert '<h2 id="counts">Zahlen</h2>' in found and "Gespräche: 0" in found


def told(browser: Browser, path: str, body: Any = None) -> dict[str, Any]:
    with browser.send(path, body, **{"Accept-Language": "de", "Accept": "application/json"}) as no:
        found: dict[str, Any] = no.json
        return found


def test_refusals_are_said_in_the_language(browser: Browser) -> None:
    talk = browser.conversation()
    nobody = told(browser, f"/c/{talk}/messages", {"text": "hello"})
    assert nobody["code"] == "not_connected"
    assert nobody["message"] == "Noch kein Gehirn verbunden. Wähl einen Anbieter."
    other = told(browser, f"/c/{talk}/messages", {"text": "hello", "provider": "endpoint"})
    assert other["message"] == "endpoint ist nicht verbunden. Wähl einen Anbieter."
    empty = told(browser, f"/c/{talk}/messages", {"text": " "})
    assert empty["message"] == "Die Nachricht ist leer. Schreib zuerst etwas."
    with browser.get("/c/none", headers={"Accept-Language": "de"}) as gone:
        assert "Hier ist nichts." in gone.get_data(as_text=True)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("sandbox/error-401", "OpenRouter nimmt diesen Schlüssel nicht mehr an."),
        ("sandbox/error-402", "Das Guthaben bei OpenRouter reicht nicht"),
        ("sandbox/error-429", "OpenRouter bittet dich, "),
        ("sandbox/error-500", "OpenRouter hat selbst gerade ein Problem (500)."),
        ("sandbox/cut", "Die Antwort brach ab. Was angekommen ist, bleibt erhalten."),
    ],
)
def test_an_error_in_a_thread_is_said_in_the_language_of_who_asked(
    chatter: Browser, caplog: pytest.LogCaptureFixture, model: str, said: str
) -> None:
    talk = chatter.conversation()
    path, body = f"/c/{talk}/messages", {"text": "hello", "model": model}
    with chatter.send(path, body, **{"Accept-Language": "de"}) as answer:
        last = events(answer)[-1]
    assert last.kind == "error" and last.data["message"].startswith(said)
    # It is kept as it was said, and the log is English.
    with chatter.app.app_context(), database.connection_context():
        row = Message.select().where(Message.role == "assistant").get()
        assert row.error_message == last.data["message"]
    assert "Schlüssel" not in caplog.text and "Antwort" not in caplog.text


def test_the_operators_model_fails_in_the_language_of_who_asked(
    make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_host(APIARY_BUILTIN_KEY="sk-or-v1-" + "0" * 64, **BUILTIN)
    browser = Browser(app)
    path, body = f"/c/{browser.conversation()}/messages", {"text": "hello"}
    with browser.send(path, body, **{"Accept-Language": "de"}) as answer:
        assert "Das eingebaute Modell ist außer Betrieb" in answer.get_data(as_text=True)
    assert "OpenRouter does not accept this key." in caplog.text


def test_the_end_of_an_answer_is_told_where_no_request_is(host: Flask) -> None:
    with host.test_request_context(headers={"Accept-Language": "de"}):
        answer = Answer("m" * 22, "c" * 22, "somebody")
    with host.app_context(), database.connection_context():
        assert speech.gettext("New chat") == "New chat"
        error = record.ApiaryError(speech.lazy_gettext("No such text"))
        record.fail(answer, error)
        assert speech.spoken(speech.lazy_gettext("New chat"), answer.language) == "Neuer Chat"
    assert answer.language == "de"


def test_numbers_amounts_and_days(host: Flask) -> None:
    from datetime import date

    for tag, number, cost, day in (
        ("en", "1,234,567", "under $0.0001", "3 March 2026"),
        ("de", "1.234.567", "unter 0,0001 $", "3. März 2026"),
    ):
        with host.test_request_context(headers={"Accept-Language": tag}):
            assert speech.number(1234567) == number
            assert speech.cost(Decimal("0.00001")) == cost
            assert speech.day(date(2026, 3, 3)) == day
    with host.test_request_context(headers={"Accept-Language": "de"}):
        assert speech.amount(Decimal("1234.5"), 2) == "1.234,50 $"
        assert speech.cost(Decimal("0.01234")) == "0,0123 $"


def test_the_manifest_is_in_the_language_that_its_address_names(browser: Browser) -> None:
    found = page(browser, "/", DE)
    assert 'href="/manifest.webmanifest?language=de"' in found
    assert 'href="/manifest.webmanifest"' in page(browser, "/", EN)
    # It may be kept by anybody for an hour: no header decides what is in it.
    for tag, name in (("", "New chat"), ("de", "Neuer Chat"), ("x", "New chat")):
        with browser.get(f"/manifest.webmanifest?language={tag}", headers=DE) as answer:
            assert answer.json["shortcuts"][0]["name"] == name


def test_the_words_of_scripts_are_data_and_cannot_leave_their_place(browser: Browser) -> None:
    found = page(browser, "/", DE)
    for name in ("data-words", "data-apiary-words"):
        blocks = re.findall(rf'<script type="application/json" {name}>(.*?)</script>', found)
        assert len(blocks) == 1 and "<" not in blocks[0]
        assert len(json.loads(blocks[0])) > 10


def test_what_happened_is_told_in_the_language_of_who_looks(
    browser: Browser, paste_key: str, sandbox: LiveSandbox
) -> None:
    browser.sign_up("Ada")
    browser.connect(paste_key)
    assert "OpenRouter, by a pasted key" in page(browser, "/account", EN)
    assert "OpenRouter, mit eingefügtem Schlüssel" in page(browser, "/account", DE)


def test_every_language_on_offer_has_its_catalogues() -> None:
    for folder in (ROOT / "apiary" / "translations", ROOT / "apiary" / "host" / "translations"):
        assert {path.name for path in folder.iterdir()} | {"en"} == set(speech.LANGUAGES)


@pytest.mark.parametrize("missing", ["flask_babel", "babel", "limits"])
def test_only_the_chat_app_needs_it(missing: str, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None
from flask import Flask
from apiary import Apiary
app = Flask("yours", instance_path={str(tmp_path)!r})
app.config["SECRET_KEY"] = "only for tests"
Apiary(app, owner=lambda: "ann", locale=lambda: "de")
assert "Deine Modelle" in app.test_client().get("/settings/").text
try:
    import apiary.host
except ImportError as error:
    assert "flask-apiary[server]" in str(error), error
else:
    raise SystemExit("the chat app was imported")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("made", [speech.Tongue, Language])
def test_nothing_a_translator_writes_ends_the_element_of_the_scripts_words(made: type) -> None:
    words = {"Copy": "</script><script>alert('bees & <!-- honey')</script>"}
    shown = made("de", NullTranslations(), json.dumps(words)).words
    assert not re.search(r"[<>&]", shown) and json.loads(shown) == words
