"""The cards: list, paste, check, disconnect."""

from flask import Response, abort, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from ..errors import ApiaryError, EndpointRefused, KeyRejected, KeyUnreadable
from ..providers.base import Facts, Provider
from ..secret import Secret, is_key, trim
from ..state import current
from ..translation import Sentence, localized, say, spoken
from .cards import MEMBERS_ONLY, Card, card, cards
from .forms import KeyForm
from .guards import browser, owner, wants_json


def index() -> ResponseReturnValue:
    """The page with all cards. With ``?back=home`` its forms lead back to the host's page."""
    back = "home" if request.args.get("back") == "home" and current().home else "settings"
    shown = cards(owner(), browser())
    return render_template("apiary/settings/index.html", cards=shown, back=back)


def show(provider: str) -> ResponseReturnValue:
    """One card, as HTML or as JSON."""
    return _answer(card(owner(), _known(provider), browser()))


def save_key(provider: str) -> ResponseReturnValue:
    """Check a pasted key and keep it.

    422 when it was rejected or is no key; 503 with ``can_store`` when the provider could not be
    asked, then the same again with ``unchecked`` stores it. Nothing is changed by either.
    """
    me, found, form = owner(), _known(provider), KeyForm()
    if not form.validate():
        return _refuse(found, 422, say("That is too long for a key. Nothing was saved."))
    base_url = ""
    if found.takes_address:
        if not current().may_add_endpoint(me):
            return _refuse(found, 403, MEMBERS_ONLY)
        try:
            http = current().http
            base_url = http.policy.admit((form.base_url.data or "").strip(), http.resolver)
        except EndpointRefused as error:
            return _refuse(found, 422, _unsaved(error), field="base_url")
        found = found.at(base_url)
    text = trim(form.api_key.data or "")
    if not text and found.needs_key:
        return _refuse(found, 422, say("Paste a key first. Nothing was saved."))
    if text and not is_key(text):
        return _refuse(
            found,
            422,
            say(
                "That is not a key: it holds blanks, line breaks or other odd characters, or is too"
                " short or too long. Nothing was saved."
            ),
        )
    other = _meant_for(text, found)
    if other:
        return _refuse(
            found,
            422,
            say(
                "This looks like a key of {label}. Paste it into the {label} field."
                " Nothing was saved.",
                label=other.label,
            ),
        )
    key = Secret(text)
    try:
        facts = found.check(key)
    except KeyRejected:
        sentence = say("{label} does not accept this key. Nothing was saved.", label=found.label)
        return _refuse(found, 422, sentence)
    except ApiaryError as error:
        if error.code != "provider_down" and error.code != "rate_limited":
            return _refuse(found, 422, _unsaved(error))
        if not form.unchecked.data:
            return _refuse(
                found,
                503,
                say(
                    "The key could not be checked: {problem} It was not saved; you may store"
                    " it without the check.",
                    problem=error.message,
                ),
                can_store=True,
            )
        facts = Facts(verified=False)
    # Another address is another origin: the old key is dropped with it.
    current().vault.put(me, found, key, source="key", facts=facts, base_url=base_url)
    return _done(me, found)


def check(provider: str) -> ResponseReturnValue:
    """Ask the provider about the stored key again."""
    me, found = owner(), _known(provider)
    vault = current().vault
    connection = vault.get(me, found.name)
    if connection is None:
        return _refuse(found, 409, say("{label} is not connected.", label=found.label))
    bound = current().client.bound(me, found.name)
    try:
        facts = bound.check(vault.reveal(me, bound))
    except KeyRejected:
        vault.reject(me, found.name, connection.version)
    except KeyUnreadable as error:
        return _refuse(found, 409, error.message)
    except ApiaryError as error:
        return _done(me, found, error.message, failed=True)
    else:
        vault.note(me, found.name, connection.version, facts)
    return _done(me, found)


def disconnect(provider: str) -> ResponseReturnValue:
    """Delete our copy of the key. Conversations are not touched.

    With ``ask``, which a card's form sends, a page asks first: a browser without scripts has no
    dialog that did.
    """
    me, found = owner(), _known(provider)
    if request.form.get("ask") and not wants_json():
        shown = card(me, found)
        if shown.state != "none":
            return _ask(shown)
    left = current().vault.forget(me, found.name)
    sentence = say("Disconnected. The key stored here was deleted.")
    if left and left.refused:
        sentence = say(
            "Disconnected. The key stored here was deleted. {label} had refused it before, so"
            " nothing is left to delete there.",
            label=found.label,
        )
    return _done(me, found, sentence)


def _ask(shown: Card) -> str:
    return render_template(
        "apiary/settings/disconnect.html",
        card=shown,
        label=localized(shown.provider.label),
        back=request.form.get("back", ""),
        stay=_way_back(shown.name),
    )


def _known(name: str) -> Provider:
    found = current().providers.get(name)
    if found is None:
        abort(404, localized(say("There is no such provider here.")))
    return found


def _unsaved(error: ApiaryError) -> Sentence:
    return say("{problem} Nothing was saved.", problem=error.message)


def _meant_for(key: str, provider: Provider) -> Provider | None:
    """The provider whose keys begin like this one, if it is another than the one given.

    The longest prefix decides: keys of OpenRouter begin like old ones of OpenAI.
    """
    prefixes = [
        (len(prefix), other)
        for other in current().providers.values()
        for prefix in other.key_prefixes
        if key.startswith(prefix)
    ]
    if not prefixes or not provider.key_prefixes:
        return None
    _, best = max(prefixes, key=lambda pair: pair[0])
    return best if best.name != provider.name else None


def _answer(shown: Card, status: int = 200, **more: object) -> ResponseReturnValue:
    if wants_json():
        return jsonify(spoken(shown.json() | more)), status
    return render_template("apiary/settings/card_alone.html", card=shown), status


def _refuse(provider: Provider, status: int, sentence: str, **more: object) -> Response:
    me = owner()
    if wants_json():
        told = card(me, provider, notice=sentence, failed=True).json()
        response = jsonify(spoken(told | more | {"message": sentence}))
        response.status_code = status
        return response
    all_cards = [
        card(me, other, browser(), sentence, True)
        if other.name == provider.name
        else card(me, other, browser())
        for other in current().providers.values()
    ]
    page = render_template(
        "apiary/settings/index.html",
        cards=all_cards,
        can_store=provider.name if more.get("can_store") else None,
    )
    return Response(page, status)


def _done(
    me: str, provider: Provider, notice: str = "", failed: bool = False
) -> ResponseReturnValue:
    if wants_json():
        return _answer(card(me, provider, notice=notice, failed=failed))
    return redirect(_way_back(provider.name), 303)


def _way_back(name: str) -> str:
    home = current().home
    if request.form.get("back") == "home" and home:
        return url_for(home)
    return url_for("apiary.index", _anchor=name)
