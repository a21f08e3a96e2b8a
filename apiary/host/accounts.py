"""Guests and members: names, passwords and what a session must prove to stand for one."""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import peewee
from flask import session
from flask_login import UserMixin, login_user, logout_user
from werkzeug.security import check_password_hash, generate_password_hash

from apiary import database

from . import activity
from .language import gettext
from .tables import Account, clean, new_id

NAME_LENGTH = 64
# What is looked at of a name that is far too long: normalising it could take long.
_LONGEST_NAME = 4 * NAME_LENGTH
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 200


_SEEN = (Account.id, Account.name, Account.epoch, Account.language)
_account = database.prepare(lambda owner: Account.select(*_SEEN).where(Account.id == owner))


class Refused(Exception):
    """A form cannot be accepted; ``field`` is where, the text says why, for people."""

    def __init__(self, message: str, field: str = "name") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


@dataclass(frozen=True, slots=True, eq=False)
class Person(UserMixin):  # type: ignore[misc]
    """Who sits before the browser. ``transient``: a guest that no row exists for yet."""

    id: str
    name: str | None = None
    epoch: int = 0
    transient: bool = False
    #: The tag of the language that was chosen, None where the browser says it.
    language: str | None = None

    @property
    def member(self) -> bool:
        return self.name is not None


def load(owner: str) -> Person | None:
    """The person of the current session; None when the session no longer stands for anybody.

    A session carries the epoch of its account. Signing out everywhere, a new password and
    becoming a member raise the epoch, and every session made before it is dead.
    """
    row = _account.first(owner=owner)
    epoch = session.get("epoch")
    if row is None:
        return Person(owner, transient=True) if session.get("guest") and epoch == 0 else None
    return _person(row) if epoch == row.epoch else None


def _person(row: Account) -> Person:
    return Person(row.id, row.name, row.epoch, language=row.language)


def new_guest() -> None:
    """Make this browser a guest. Nothing is written but its session cookie."""
    session.permanent = True
    session["guest"], session["epoch"] = True, 0
    login_user(Person(new_id(), transient=True))


def persist(person: Person) -> None:
    """Write the row of a transient guest; it is about to change something."""
    Account.insert(id=person.id, epoch=0).on_conflict_ignore().execute()


def enter(person: Person) -> None:
    """Begin a new session for a person. All that the old one held is gone."""
    session.clear()
    session.permanent = True
    session["epoch"] = person.epoch
    login_user(person)


def leave() -> None:
    """End this browser's session."""
    logout_user()
    session.clear()


def sign_up(guest: Person | None, name: str, password: str) -> Person:
    """Open an account, or turn a guest's into a member's: the id stays, so nothing is lost.

    :raises Refused: the name or the password cannot be used, or the name is taken.
    """
    shown, key = check_name(name)
    values: dict[str, Any] = {
        "name": shown,
        "name_key": key,
        "password": hash_password(check_password(password)),
    }
    try:
        with database.atomic():
            if guest is None:
                owner, epoch = new_id(), 0
                Account.insert(id=owner, epoch=epoch, **values).execute()
            else:
                # The epoch grows: a cookie that somebody else may have planted is dead now.
                owner = guest.id
                Account.insert(id=owner, epoch=0).on_conflict_ignore().execute()
                changed = (
                    Account.update(epoch=Account.epoch + 1, **values)
                    .where(Account.id == owner, Account.name.is_null())
                    .execute()
                )
                if not changed:
                    raise Refused(gettext("You have an account already. Sign out first."))
    except peewee.IntegrityError:
        raise Refused(gettext("That name is taken. Choose another one.")) from None
    return _person(Account.get_by_id(owner))


def sign_in(name: str, password: str) -> Person | None:
    """The member of that name and password; None for a wrong one, after the same time."""
    row = Account.get_or_none(Account.name_key == fold(clean(name)))
    stored = row.password if row and row.password else _dummy_hash()
    good = check_password_hash(stored, password[: LONGEST_PASSWORD + 1])
    activity.note(row.id if row else "nobody", "sign-in" if row and good else "sign-in-failed")
    return _person(row) if row and good else None


def verify(person: Person, password: str) -> bool:
    """Whether this is the member's password."""
    row = Account.get_or_none(Account.id == person.id)
    return bool(row and row.password and check_password_hash(row.password, password))


def change_password(person: Person, password: str) -> Person:
    """Set a new password and end all other sessions.

    :raises Refused: the password cannot be used.
    """
    check_password(password, field="new_password")
    return _raise_epoch(person, password=hash_password(password))


def choose_language(person: Person, tag: str | None) -> None:
    """Keep the language that somebody chose; None for the browser's."""
    Account.update(language=tag).where(Account.id == person.id).execute()


def end_sessions(person: Person) -> Person:
    """End every session of the person, this one included unless it is entered anew."""
    return _raise_epoch(person)


def _raise_epoch(person: Person, **values: Any) -> Person:
    Account.update(epoch=Account.epoch + 1, **values).where(Account.id == person.id).execute()
    return _person(Account.get_by_id(person.id))


def delete(person: Person) -> None:
    Account.delete().where(Account.id == person.id).execute()


def fold(name: str) -> str:
    """A name as it is compared: NFKC and casefolded, so that look-alikes of case are one."""
    folded = unicodedata.normalize("NFKC", name[:_LONGEST_NAME]).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def check_name(name: str) -> tuple[str, str]:
    """The name as it is shown and as it is compared.

    :raises Refused: it is empty, too long, or holds something that cannot be seen.
    """
    shown = " ".join(unicodedata.normalize("NFKC", name[:_LONGEST_NAME]).split())
    if not 1 <= len(shown) <= NAME_LENGTH:
        raise Refused(gettext("A name has 1 to %(most)s characters.", most=NAME_LENGTH))
    if not shown.isprintable():
        raise Refused(gettext("A name can only hold characters that can be seen."))
    return shown, fold(shown)


def check_password(password: str, field: str = "password") -> str:
    """The password itself.

    :raises Refused: it is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Refused(
            gettext(
                "A password has %(least)s to %(most)s characters.",
                least=SHORTEST_PASSWORD,
                most=LONGEST_PASSWORD,
            ),
            field,
        )
    return password


def hash_password(password: str) -> str:
    return generate_password_hash(password, method="scrypt")


@cache
def _dummy_hash() -> str:
    """Checked for unknown names, so that the time tells nothing about who has an account."""
    return hash_password("nobody has this password")
