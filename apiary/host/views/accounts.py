"""Sign in, sign up, sign out, and all that one may do with an account."""

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from apiary import database

from .. import (
    accounts,
    activity,
    allowance,
    conversations,
    devices,
    exports,
    imports,
    limits,
    turns,
)
from ..accounts import Person
from ..language import LANGUAGES, gettext
from ..state import here
from ..tables import scrub
from ..visitors import NEXT, language_cookie, person, unauthorized
from .forms import DeleteForm, PasswordForm, PlainForm, SignInForm, SignUpForm

blueprint = Blueprint("accounts", __name__)
_YEAR = 365 * 24 * 3600


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> AnyResponse | str:
    form = SignInForm()
    error = None
    if form.validate_on_submit():
        name, password = form.name.data or "", form.password.data or ""
        found = accounts.sign_in(name, password)
        if found:
            limits.forgive()
            _leave_guest(person(), found if form.bring.data else None)
            return _enter(found, form.next.data)
        error = gettext("This name and this password do not go together.")
    return _page("sign_in", form, error, brings=_has_conversations(person()))


@blueprint.route("/sign-up", methods=["GET", "POST"])
def sign_up() -> AnyResponse | str:
    form = SignUpForm()
    if request.method == "GET" and (known := person()) and known.member:
        return redirect(url_for("accounts.account"), 303)
    if not here().settings.signup:
        return _page(
            "sign_up", form, gettext("This site takes no new members. Ask who runs it."), shut=True
        )
    error, wrong = None, "name"
    guest = person()
    brings = guest is not None and not guest.transient
    if form.validate_on_submit():
        try:
            found = accounts.sign_up(guest, form.name.data or "", form.password.data or "")
        except accounts.Refused as refused:
            error, wrong = refused.message, refused.field
        else:
            activity.note(found.id, "sign-up")
            response = _enter(found, form.next.data)
            sentence = (
                gettext(
                    "Welcome, %(name)s. All that you did as a guest is still here.",
                    name=found.name,
                )
                if brings
                else gettext("Welcome, %(name)s.", name=found.name)
            )
            flash(sentence, "notice")
            return response
    return _page("sign_up", form, error, wrong=wrong, brings=brings)


@blueprint.post("/sign-out")
def sign_out() -> AnyResponse:
    found = person()
    if found is not None and not found.member:
        # Nobody could ever come back to it.
        _leave_guest(found, None)
    return _gone(gettext("You are signed out."))


@blueprint.get("/account")
def account() -> AnyResponse | str:
    found = person()
    if found is None:
        return unauthorized()
    return _account(found, PasswordForm(formdata=None))


@blueprint.post("/account/password")
def password() -> AnyResponse | str:
    found = _member()
    if not isinstance(found, Person):
        return found
    form = PasswordForm()
    if not form.validate_on_submit():
        return _account(found, form, gettext("Fill in both fields."), 400)
    if not accounts.verify(found, form.password.data or ""):
        activity.note(found.id, "password-failed")
        return _account(found, form, gettext("This is not your current password."), 400)
    try:
        renewed = accounts.change_password(found, form.new_password.data or "")
    except accounts.Refused as refused:
        return _account(found, form, refused.message, 400, refused.field)
    here().readers.send_away(renewed.id)
    response = _enter(renewed, "account")
    activity.note(found.id, "password")
    flash(gettext("Your password is changed. All other sessions are signed out."), "notice")
    return response


@blueprint.post("/account/language")
def choose_language() -> AnyResponse:
    """Keep the language that is named; empty for the one that the browser asks for."""
    found = person()
    if found is None:
        return unauthorized()
    tag = request.form.get("language", "")
    if tag and tag not in LANGUAGES:
        abort(400, gettext("This language is not one that exists. Pick another."))
    accounts.choose_language(found, tag or None)
    response = redirect(url_for("accounts.account", _anchor="language"), 303)
    # For this browser's door too, which does not know who is coming.
    response.set_cookie(
        language_cookie(),
        tag,
        max_age=_YEAR if tag else 0,
        secure=here().settings.https,
        httponly=True,
        samesite="Lax",
    )
    return response


@blueprint.post("/account/sign-out-everywhere")
def sign_out_everywhere() -> AnyResponse:
    found = _member()
    if not isinstance(found, Person):
        return found
    accounts.end_sessions(found)
    activity.note(found.id, "sign-out-everywhere")
    here().readers.send_away(found.id)
    return _gone(gettext("You are signed out everywhere."))


@blueprint.route("/account/delete", methods=["GET", "POST"])
def delete() -> AnyResponse | str:
    found = person()
    if found is None:
        return unauthorized()
    form = DeleteForm()
    error = None
    if form.validate_on_submit():
        if found.member and not accounts.verify(found, form.password.data or ""):
            error = gettext("This is not your password. Nothing was deleted.")
        elif not form.sure.data:
            error = gettext("Tick the box to say that you mean it. Nothing was deleted.")
        else:
            _erase(found)
            response = _gone(gettext("Your account and all that belonged to it is deleted."))
            devices.forget(response)
            return response
    return _page("delete", form, error)


@blueprint.get("/account/export")
def export() -> AnyResponse:
    found = person()
    if found is None:
        return unauthorized()
    activity.note(found.id, "export")
    return exports.attachment(exports.everything(found), "application/json", "apiary-export.json")


def _member() -> Person | AnyResponse:
    found = person()
    if found is None or not found.member:
        return redirect(url_for("accounts.sign_in", next="account"), 303)
    return found


def _page(name: str, form: object, error: str | None, **more: object) -> Response:
    wanted = request.values.get("next", "")
    response = make_response(
        render_template(
            f"accounts/{name}.html",
            form=form,
            error=error,
            next=wanted if wanted in NEXT else "chat",
            **more,
        )
    )
    # A refused form is no success: browsers and scripts can tell by the status.
    response.status_code = 400 if error and request.method == "POST" else 200
    return response


def _account(
    found: Person,
    form: PasswordForm,
    error: str | None = None,
    status: int = 200,
    wrong: str = "password",
) -> Response:
    page = render_template(
        "accounts/account.html",
        person=found,
        languages=LANGUAGES,
        form=form,
        plain=PlainForm(formdata=None),
        error=error,
        wrong=wrong,
        largest_import={
            "bytes": imports.LARGEST_FILE,
            "words": imports.LARGEST_WORDS,
            "refusal": imports.too_large(),
        },
        happened=activity.shown(found.id),
        connections=here().apiary.connections(found.id),
        labels={provider.name: provider.label for provider in here().apiary.providers()},
    )
    return make_response(page, status)


def _enter(found: Person, wanted: str | None) -> AnyResponse:
    """Begin the session of a member, in a browser that is known from now on."""
    accounts.enter(found)
    response = redirect(url_for(NEXT.get(wanted or "", "chat.home")), 303)
    devices.mark(response, found)
    return response


def _gone(message: str) -> AnyResponse:
    accounts.leave()
    flash(message, "notice")
    door = "chat.home" if here().settings.guests else "accounts.sign_in"
    response = redirect(url_for(door), 303)
    # What the browser kept of the pages must not come back with its Back button.
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def _has_conversations(found: Person | None) -> bool:
    return bool(found and not found.member and conversations.listed(found.id))


def _leave_guest(guest: Person | None, heir: Person | None) -> None:
    """Clear up behind a guest whose session ends: afterwards nobody could reach it again.

    Its connections are deleted in any case; those of the account that is entered stay.
    """
    if guest is None or guest.member or guest.transient:
        return
    with database.atomic():
        if heir is not None:
            conversations.move(guest.id, heir.id)
    _erase(guest)


def _erase(found: Person) -> None:
    for answer in here().answers.all_running(found.id):
        turns.stop_answer(answer)
    # All or nothing: a server that dies in the middle leaves no half of an account.
    with database.atomic():
        # First: who connects at this moment waits for it, and finds no account (leftovers.py).
        accounts.delete(found)
        conversations.delete_all(found.id)
        allowance.forget(found.id)
        here().apiary.forget_owner(found.id)
    scrub()
