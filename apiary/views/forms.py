"""The forms of the plug-in's pages."""

from flask import request
from flask_wtf import FlaskForm
from wtforms import BooleanField, PasswordField, StringField
from wtforms.validators import Length, Optional, Regexp


class Form(FlaskForm):  # type: ignore[misc]
    """Reads forms only. Left alone it would take JSON too, of any shape."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        def wrap_formdata(self, form: object, formdata: object) -> object:
            return None if request.is_json else super().wrap_formdata(form, formdata)


class KeyForm(Form):
    """A pasted key. It is never filled in again: what was typed does not come back."""

    api_key = PasswordField("API key", [Length(max=4096)])
    base_url = StringField("Address", [Length(max=2048)])
    #: Store the key although the provider could not be asked.
    unchecked = BooleanField()


class ConnectForm(Form):
    """The start of a flow."""

    display = StringField(validators=[Optional(), Regexp(r"popup\Z|page\Z|code\Z")], default="page")
    attempt = StringField(validators=[Optional(), Regexp(r"[A-Za-z0-9_-]{16,64}\Z")])
    back = StringField(validators=[Optional(), Regexp(r"settings\Z|home\Z")], default="settings")
    limit = StringField(validators=[Length(max=32)])


class CodeForm(Form):
    """A code, or the whole address that holds it, copied by hand."""

    code = StringField(validators=[Length(max=4096)])
