"""Which models can be asked and who pays, as JSON for the page's script."""

import time
from typing import Any

from flask import Blueprint, Response, jsonify, request

from apiary import ApiaryError, DatabaseDown, Model, localized

from .. import conversations, payers
from ..language import gettext
from ..payers import BUILT_IN
from ..state import here
from ..visitors import owner
from .inputs import provider_of


def register(chat: Blueprint) -> None:
    chat.add_url_rule("/models", "models", models)
    chat.add_url_rule("/payer", "payer", payer)
    chat.add_url_rule("/payers", "payer_options", payer_options)


def models() -> Response:
    """The models of everything that the owner can use now."""
    mine = owner()
    listed = [
        _provider(mine, connection.provider)
        for connection in here().apiary.connections(mine)
        if connection.state == "connected"
    ]
    settings = here().settings
    if settings.builtin_provider:
        own = Model(id=settings.builtin_model, name=settings.builtin_model)
        listed.append(
            {
                "name": BUILT_IN,
                "label": gettext("Built-in model"),
                "fetched_at": time.time(),
                "stale": False,
                "problem": None,
                "models": [_model(own)],
            }
        )
    return jsonify(providers=listed, payer=_payer(mine))


def payer() -> Response:
    """Who pays for the next message: in ``?conversation=``, if it is sent to ``?provider=``."""
    return jsonify(_payer(owner()))


def payer_options() -> Response:
    """All that could pay for the next message, each with the model it would ask."""
    mine = owner()
    wanted = request.args.get("conversation")
    conversation = conversations.find(mine, wanted) if wanted else None
    found = [
        payers.as_json(payer) | {"model": payers.known_model(mine, payer, conversation)}
        for payer in payers.options(mine)
    ]
    return jsonify(options=found)


def _payer(mine: str) -> dict[str, Any]:
    wanted = request.args.get("conversation")
    conversation = conversations.find(mine, wanted) if wanted else None
    found = payers.resolve(mine, provider_of(request.args), conversation)
    return payers.as_json(found) | {"model": payers.known_model(mine, found, conversation)}


def _provider(mine: str, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "label": payers.label_of(name)}
    try:
        catalogue = here().apiary.catalogue(mine, name)
    except DatabaseDown:
        raise
    except ApiaryError as error:
        nothing: dict[str, Any] = {
            "fetched_at": None,
            "stale": True,
            "problem": localized(error.message),
            "models": [],
        }
        return entry | nothing
    return entry | {
        "fetched_at": catalogue.fetched_at or None,
        "stale": catalogue.stale,
        "problem": localized(catalogue.problem),
        "models": [_model(model) for model in catalogue.models],
    }


def _model(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "context": model.context,
        "prompt_price": None if model.prompt_price is None else float(model.prompt_price),
        "completion_price": (
            None if model.completion_price is None else float(model.completion_price)
        ),
        "free": model.free,
        "varies": model.varies,
        "inputs": list(model.inputs),
    }
