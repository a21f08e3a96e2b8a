"""The forms of the account pages."""

from flask import request
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, PasswordField, StringField

# Lengths are checked where accounts are made, with sentences of their own; these only keep a
# wrong field from being missing altogether.


class Form(FlaskForm):  # type: ignore[misc]
    """Reads forms only. Left alone it would take JSON too, of any shape."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        def wrap_formdata(self, form: object, formdata: object) -> object:
            return None if request.is_json else super().wrap_formdata(form, formdata)


class SignInForm(Form):
    name = StringField("Name")
    password = PasswordField("Password")
    bring = BooleanField("Bring the conversations of this browser into the account", default=True)
    next = HiddenField()


class SignUpForm(Form):
    name = StringField("Name")
    password = PasswordField("Password")
    next = HiddenField()


class PasswordForm(Form):
    password = PasswordField("Current password")
    new_password = PasswordField("New password")


class DeleteForm(Form):
    password = PasswordField("Password")
    sure = BooleanField("Yes, delete everything")


class OperatorForm(Form):
    token = PasswordField("Operator's token")
    dial = BooleanField("Also ask each provider whether it answers")


class PlainForm(Form):
    """A button and its token."""
