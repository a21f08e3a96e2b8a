"""The chat page and the streams behind it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    g,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from apiary import database

from .. import (
    attachments,
    branches,
    conversations,
    elsewhere,
    exports,
    instructions,
    orders,
    payers,
    record,
    relay,
    repeats,
    shelf,
    turns,
    wire,
)
from ..afterwards import AFTERWARDS
from ..answers import Answer, Full
from ..language import gettext
from ..problems import wants_json
from ..readers import Seat
from ..state import here
from ..tables import Conversation
from ..visitors import owner, person, unauthorized
from . import listing
from .inputs import continued, draft, message_id, new_id, title, wish

blueprint = Blueprint("chat", __name__)
listing.register(blueprint)
#: Without scripts a page waits this long, in seconds, for the whole answer.
_PATIENCE = 120.0
#: Seconds after which a seat may be free again.
_SOON = 5


@blueprint.before_request
def _only_somebody() -> AnyResponse | None:
    return unauthorized() if person() is None else None


@blueprint.get("/")
def home() -> AnyResponse | str:
    waiting = conversations.waiting(owner())
    if waiting and payers.resolve(owner(), None, waiting).kind != "none":
        return redirect(url_for("chat.show", id=waiting.id), 302)
    return _page(None)


@blueprint.get("/c/<id>")
def show(id: str) -> AnyResponse | str:
    return _page(conversations.find(owner(), id))


@blueprint.post("/c")
def create() -> tuple[Response, int]:
    return jsonify(id=conversations.create(owner()).id), 201


@blueprint.post("/ask")
def first() -> AnyResponse:
    """The first message of a conversation, sent by a form."""
    question, wanted = draft(), wish()
    conversation = conversations.new(owner())
    return _answer(conversation, lambda: turns.ask(owner(), conversation, question, wanted))


@blueprint.post("/c/<id>/messages")
def ask(id: str) -> AnyResponse:
    conversation = conversations.find(owner(), id)
    question, wanted = draft(), wish()
    if (known := repeats.find(conversation, question)) is None:
        return _answer(conversation, lambda: turns.ask(owner(), conversation, question, wanted))
    if _by_form():
        return redirect(url_for("chat.show", id=conversation.id), 303)
    written = repeats.written(conversation, known)
    if written is None:
        # It was kept, and not asked yet.
        return _events(lambda _: _follow(turns.again(owner(), conversation, wanted, known.id)))
    return _written(conversation, written)


@blueprint.post("/c/<id>/retry")
def retry(id: str) -> AnyResponse:
    conversation = conversations.find(owner(), id)
    wanted, about, id_of_answer = wish(), message_id(), new_id()
    if id_of_answer is not None and repeats.begun(conversation, id_of_answer):
        return _written(conversation, id_of_answer)
    return _answer(
        conversation,
        lambda: turns.again(owner(), conversation, wanted, about, id_of_answer),
    )


@blueprint.post("/c/<id>/continue")
def go_on(id: str) -> AnyResponse:
    """Let an answer that was cut go on."""
    conversation = conversations.find(owner(), id)
    wanted, about, known = wish(), message_id(), continued()
    if about is None:
        abort(400, gettext("Name the answer that is to go on."))
    if repeats.went_on(conversation, about, known):
        return _written(conversation, about)
    return _answer(conversation, lambda: turns.go_on(owner(), conversation, wanted, about))


@blueprint.post("/c/<id>/path")
def path(id: str) -> AnyResponse:
    """Show another branch."""
    conversation = conversations.find(owner(), id)
    wanted = message_id()
    if wanted is None:
        abort(400, gettext("Name the message to show."))
    turns.show(conversation, wanted)
    return _changed(conversation, f"m-{wanted}")


@blueprint.get("/c/<id>/stream")
def stream(id: str) -> AnyResponse:
    """Go on reading behind the event that the reader saw last; 204 when nothing runs."""
    conversation = conversations.find(owner(), id)
    text = request.headers.get("Last-Event-ID") or request.args.get("after") or "0"
    seen = wire.read_number(text)
    answer = here().answers.find(conversation.id)
    if answer is not None and answer.has_more(seen) and not record.went_on(answer):
        return _events(lambda _: _follow(answer, seen))
    broadcast = here().broadcast
    if broadcast is not None and (found := broadcast.find(conversation, seen)):
        app = orders.this_app()
        return _events(lambda seat: broadcast.follow(app, found, seen, seat), found)
    if seen == 0 and (row := conversations.running(conversation)):
        return _events(lambda seat: elsewhere.follow(orders.this_app(), row.id, seat), row.id)
    # A page that has seen a part of it, or of an answer that stood here before, reads all from
    # the database.
    return Response(status=204)


@blueprint.post("/c/<id>/stop")
def stop(id: str) -> AnyResponse:
    conversation = conversations.find(owner(), id)
    turns.stop(conversation)
    return _changed(conversation)


@blueprint.post("/c/<id>/rename")
def rename(id: str) -> AnyResponse:
    conversation = conversations.find(owner(), id)
    conversations.rename(conversation, title())
    return _changed(conversation)


@blueprint.post("/c/<id>/delete")
def delete(id: str) -> AnyResponse:
    conversation = conversations.find(owner(), id)
    turns.stop(conversation)
    shelf.discard(conversation)
    if _by_form():
        flash(url_for("shelf.restore", id=conversation.id), "undo")
        return redirect(url_for("chat.home"), 303)
    return Response(status=204)


@blueprint.get("/c/<id>/export.md")
def export_markdown(id: str) -> Response:
    found = conversations.find(owner(), id)
    text = exports.as_markdown(found, conversations.messages(found))
    return exports.attachment(text, "text/markdown", f"conversation-{found.id}.md")


@blueprint.get("/c/<id>/export.json")
def export_json(id: str) -> Response:
    found = conversations.find(owner(), id)
    text = exports.as_json(found, conversations.all_messages(found))
    return exports.attachment(text, "application/json", f"conversation-{found.id}.json")


def _answer(conversation: Conversation, begin: Callable[[], Answer]) -> AnyResponse:
    """Begin an answer: as a stream for the page's script, to its end for a plain form."""
    if not _by_form():
        return _events(lambda _: _follow(begin()))
    try:
        answer = begin()
    except orders.Refusal as refusal:
        # The page shows what waits and offers the way on.
        flash(refusal.message, "error")
        conversations.store(conversation)
    else:
        _wait(answer)
    return redirect(url_for("chat.show", id=conversation.id), 303)


def _written(conversation: Conversation, id: str) -> Response:
    """An answer that was begun already, from its beginning."""
    answer = here().answers.find(conversation.id)
    if answer is not None and answer.message_id == id and not record.went_on(answer):
        return _events(lambda _: _follow(answer))
    return _events(lambda seat: elsewhere.follow(orders.this_app(), id, seat), id)


def _wait(answer: Answer) -> None:
    """Wait for the whole answer as one who reads it on a thread; not where there is none left.

    The page then shows what there is so far.
    """
    readers, found = here().readers, person()
    if found is None:
        abort(401)
    try:
        seat = readers.enter(orders.this_app(), found, thread=True)
    except Full:
        return
    database.close()
    try:
        answer.wait(_PATIENCE)
    finally:
        readers.leave(seat)


def _follow(answer: Answer, after: int = 0) -> Iterator[bytes]:
    return here().answers.relay.follow(answer, after, request.environ)


def _events(begin: Callable[[Seat], Iterator[bytes]], message_id: str | None = None) -> Response:
    """A stream for which there is a seat; it is taken before anything begins."""
    readers, found = here().readers, person()
    if found is None:
        abort(401)
    try:
        alone = message_id is None and relay.hands_over(request.environ)
        seat = readers.enter(orders.this_app(), found, message_id, thread=not alone)
    except Full as full:
        raise orders.Refusal(full.code, full.message, "wait", _SOON) from None
    if alone:
        g.afterwards = request.environ.get(AFTERWARDS)
    try:
        events = begin(seat)
    except BaseException:
        readers.leave(seat)
        raise
    # Plain values only: no connection to the database is held while the answer is read.
    database.close()
    response = Response(events, mimetype="text/event-stream")
    response.call_on_close(lambda: readers.leave(seat))
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _changed(conversation: Conversation, place: str | None = None) -> AnyResponse:
    if _by_form():
        return redirect(url_for("chat.show", id=conversation.id, _anchor=place), 303)
    return Response(status=204)


def _by_form() -> bool:
    """Whether a plain form sent this; a script says what it accepts, or sends JSON."""
    return not request.is_json and not wants_json()


def _page(conversation: Conversation | None) -> str:
    mine = owner()
    shelf.purge()
    found = person()
    stored = conversations.all_messages(conversation) if conversation else []
    rows = branches.path(stored, conversation.head) if conversation else []
    payer = payers.resolve(mine, None, conversation)
    payer = replace(payer, model=payers.known_model(mine, payer, conversation))
    listed = conversations.listed(mine)
    return render_template(
        "chat.html",
        conversations=listed,
        older=len(listed) == conversations.LISTED,
        folders=conversations.filed(mine),
        conversation=conversation,
        messages=rows,
        versions=branches.versions(stored),
        files=attachments.of(rows),
        default_instructions=instructions.default(mine),
        payer=payer,
        waiting=conversations.is_waiting(rows),
        running=bool(rows) and rows[-1].state == "streaming",
        signed_in=bool(found and found.member),
        connect_providers=here().apiary.providers(),
    )
