"""Who pays for the next message, and with which model. Never silently somebody else."""

from dataclasses import dataclass
from typing import Any

from apiary import ApiaryError, Connection, database, localized

from . import allowance
from .language import gettext
from .state import here
from .tables import Conversation

#: The name under which pages and rows know the operator's model.
BUILT_IN = "built-in"
#: What one request may ask the operator's model for, whatever it says.
BUILT_IN_TOKENS = 8192
_AUTO = "openrouter/auto"
_last_model = database.prepare(
    lambda owner, provider: (
        Conversation.select(Conversation.model)
        .where(
            Conversation.owner == owner,
            Conversation.provider == provider,
            Conversation.model.is_null(False),
        )
        .order_by(Conversation.updated.desc())
        .limit(1)
    )
)


@dataclass(frozen=True, slots=True)
class Payer:
    """Who answers and pays.

    ``kind`` is ``oauth`` or ``key`` (the owner's account at the provider), ``endpoint`` (a
    server without a key), ``builtin`` (the operator) or ``none``; then ``code`` and ``action``
    say why, and the sentence is what to tell. ``left`` and ``limit`` count today's messages of
    the built-in model. ``model`` is what would be asked, None while it is not known.
    """

    kind: str
    provider: str | None
    label: str
    sentence: str
    left: int | None = None
    limit: int | None = None
    model: str | None = None
    code: str = ""
    action: str = ""


def resolve(
    owner: str | None, provider: str | None = None, conversation: Conversation | None = None
) -> Payer:
    """Find the payer of the next message.

    :param provider: what the request names; then it is that one or none.
    """
    if owner is None:
        return _nobody()
    if provider:
        found = _builtin(owner) if provider == BUILT_IN else _own(owner, provider)
        return found or _nobody(
            gettext("%(provider)s is not connected. Pick a provider.", provider=label_of(provider))
        )
    wanted = conversation.provider if conversation else None
    if wanted and wanted != BUILT_IN and (found := _own(owner, wanted)):
        return found
    if wanted == BUILT_IN and (found := _builtin(owner)) and found.kind != "none":
        return found
    mine = here().apiary.connections(owner)
    # A usable one first; else the newest that needs mending. A dead key of the owner's is not
    # quietly replaced by the operator's money.
    if mine:
        return _paid_by(min(mine, key=lambda c: c.state != "connected"))
    return _builtin(owner) or _nobody()


def options(owner: str) -> list[Payer]:
    """All that could pay for the next message, and what would have to be mended first."""
    found = [_paid_by(connection) for connection in here().apiary.connections(owner)]
    return [*found, *filter(None, [_builtin(owner)])]


def _own(owner: str, name: str) -> Payer | None:
    connection = here().apiary.connection(owner, name)
    return _paid_by(connection) if connection else None


def _paid_by(connection: Connection) -> Payer:
    name = connection.provider
    label = label_of(name)
    if connection.state == "rejected":
        return Payer(
            "none",
            name,
            label,
            gettext("%(provider)s no longer accepts your key. Connect again.", provider=label),
            code="key_rejected",
            action="reconnect",
        )
    if connection.state != "connected":
        return Payer(
            "none",
            name,
            label,
            gettext(
                "Your %(provider)s key cannot be read any more. Connect again.", provider=label
            ),
            code="key_unreadable",
            action="reconnect",
        )
    if not next((p.needs_key for p in here().apiary.providers() if p.name == name), True):
        return Payer("endpoint", name, label, gettext("%(provider)s answers", provider=label))
    if connection.source == "oauth":
        return Payer(
            "oauth", name, label, gettext("Your %(provider)s account pays", provider=label)
        )
    return Payer("key", name, label, gettext("Your %(provider)s key pays", provider=label))


def _builtin(owner: str) -> Payer | None:
    settings = here().settings
    if not settings.builtin_provider:
        return None
    limit = settings.builtin_daily_messages
    left = max(0, limit - allowance.used(owner))
    if not left:
        return used_up()
    return Payer(
        "builtin",
        BUILT_IN,
        gettext("Built-in model"),
        gettext(
            "Built-in model, %(left)s of %(limit)s messages left today", left=left, limit=limit
        ),
        left=left,
        limit=limit,
        model=settings.builtin_model,
    )


def used_up() -> Payer:
    """The built-in model on a day when nothing is left of it."""
    limit = here().settings.builtin_daily_messages
    hours, minutes = divmod(allowance.renews_in() // 60, 60)
    if hours:
        wait = gettext("%(hours)s h %(minutes)s min", hours=hours, minutes=minutes)
    else:
        wait = gettext("%(minutes)s min", minutes=minutes)
    return Payer(
        "none",
        BUILT_IN,
        gettext("Built-in model"),
        gettext(
            "Today's %(limit)s messages of the built-in model are used up. They renew at midnight"
            " UTC, in %(wait)s. Connect a provider to go on now.",
            limit=limit,
            wait=wait,
        ),
        left=0,
        limit=limit,
        code="daily_limit",
        action="connect",
    )


def _nobody(sentence: str = "") -> Payer:
    sentence = sentence or gettext("No brain connected yet. Pick a provider.")
    return Payer("none", None, "", sentence, code="not_connected", action="connect")


def label_of(name: str) -> str:
    """A provider's name for people."""
    if name == BUILT_IN:
        return gettext("The built-in model")
    label = next((p.label for p in here().apiary.providers() if p.name == name), name)
    return str(localized(label))


def known_model(owner: str, payer: Payer, conversation: Conversation | None) -> str | None:
    """The model to ask as far as it is known without asking a provider."""
    if payer.kind in ("builtin", "none"):
        return payer.model
    if conversation and conversation.model and conversation.provider == payer.provider:
        return conversation.model
    last = _last_model.first(owner=owner, provider=payer.provider)
    return last.model if last else None


def choose_model(owner: str, payer: Payer, conversation: Conversation, wanted: str | None) -> str:
    """The model to ask: the request's, the conversation's, the last one, a sensible first one.

    :raises ApiaryError: the provider's list is needed and cannot be had.
    """
    if payer.kind == "builtin":
        builtin = here().settings.builtin_model
        if wanted not in (None, builtin):
            raise WrongModel(builtin)
        return builtin
    if found := wanted or known_model(owner, payer, conversation):
        return found
    catalogue = here().apiary.catalogue(owner, str(payer.provider))
    ids = [model.id for model in catalogue.models]
    if _AUTO in ids:
        return _AUTO
    if ids:
        return ids[0]
    raise NoModels(
        localized(catalogue.problem)
        or gettext("%(provider)s lists no models. Type the name of one.", provider=payer.label),
        provider=str(payer.provider),
    )


class NoModels(ApiaryError):
    code = "no_models"
    action = "pick_model"


class WrongModel(ApiaryError):
    """A model was named that the built-in provider is not set up for."""

    code = "not_connected"
    action = "connect"

    def __init__(self, builtin: str) -> None:
        super().__init__(
            gettext(
                "Without a connection of your own only %(model)s answers here. Choose it, or"
                " connect a provider.",
                model=builtin,
            )
        )


def as_json(payer: Payer) -> dict[str, Any]:
    return {
        "kind": payer.kind,
        "provider": payer.provider,
        "label": payer.label,
        "sentence": payer.sentence,
        "left": payer.left,
        "limit": payer.limit,
        "model": payer.model,
        "code": payer.code,
        "action": payer.action,
    }
