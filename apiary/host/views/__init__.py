"""The pages of the chat app."""

from flask import Flask

from . import accounts, chat, health, imports, instructions, operator, search, shelf, usage


def register(app: Flask) -> None:
    """Mount all pages."""
    for module in (health, accounts, chat, imports, instructions, operator, search, shelf, usage):
        app.register_blueprint(module.blueprint)
