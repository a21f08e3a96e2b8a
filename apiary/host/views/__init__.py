"""The pages of the chat app."""

from flask import Flask

from . import (
    accounts,
    attachments,
    chat,
    health,
    imports,
    instructions,
    manifest,
    operator,
    search,
    shelf,
    usage,
)


def register(app: Flask) -> None:
    """Mount all pages."""
    for module in (
        health,
        accounts,
        attachments,
        chat,
        imports,
        instructions,
        operator,
        manifest,
        search,
        shelf,
        usage,
    ):
        app.register_blueprint(module.blueprint)
