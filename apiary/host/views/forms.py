"""The forms of the account pages."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, PasswordField, StringField

# Lengths are checked where accounts are made, with sentences of their own; these only keep a
# wrong field from being missing altogether.


class SignInForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name")
    password = PasswordField("Password")
    bring = BooleanField("Bring the conversations of this browser into the account", default=True)
    next = HiddenField()


class SignUpForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name")
    password = PasswordField("Password")
    next = HiddenField()


class PasswordForm(FlaskForm):  # type: ignore[misc]
    password = PasswordField("Current password")
    new_password = PasswordField("New password")


class DeleteForm(FlaskForm):  # type: ignore[misc]
    password = PasswordField("Password")
    sure = BooleanField("Yes, delete everything")


class OperatorForm(FlaskForm):  # type: ignore[misc]
    token = PasswordField("Operator's token")
    dial = BooleanField("Also ask each provider whether it answers")


class PlainForm(FlaskForm):  # type: ignore[misc]
    """A button and its token."""
