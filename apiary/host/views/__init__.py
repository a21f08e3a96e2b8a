"""The pages of the chat app."""

from flask import Flask

from . import accounts, chat, health


def register(app: Flask) -> None:
    """Mount all pages."""
    for module in (health, accounts, chat):
        app.register_blueprint(module.blueprint)
