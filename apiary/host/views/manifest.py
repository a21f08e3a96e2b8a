"""What a browser needs to install the app. Nothing private is ever kept for offline use."""

from flask import Blueprint, Response, json, request, url_for

from ..language import ENGLISH, LANGUAGES, gettext, speaking
from ..state import here

blueprint = Blueprint("manifest", __name__)
#: The ground of a page, as in the stylesheet.
_LIGHT = "#fbfaf8"


@blueprint.get("/manifest.webmanifest")
def index() -> Response:
    """In the language that the address names: it is kept by browsers, and sent no cookies."""
    tag = request.args.get("language", ENGLISH)
    with speaking(tag if tag in LANGUAGES else ENGLISH):
        return _manifest()


def _manifest() -> Response:
    home = url_for("chat.home")
    name = here().settings.site_name
    icons = [("icon-192.png", "192x192", "any"), ("icon-512.png", "512x512", "any")]
    icons += [("icon-maskable.png", "512x512", "maskable"), ("hive.svg", "any", "any")]
    manifest = {
        "id": home,
        "name": name,
        "short_name": name[:12],
        "description": gettext("Chat with the model that you bring."),
        "start_url": home,
        "scope": home,
        "display": "standalone",
        "background_color": _LIGHT,
        "theme_color": _LIGHT,
        "icons": [
            {
                "src": url_for("static", filename=file),
                "sizes": sizes,
                "type": "image/svg+xml" if file.endswith(".svg") else "image/png",
                "purpose": purpose,
            }
            for file, sizes, purpose in icons
        ],
        "shortcuts": [
            {"name": gettext("New chat"), "url": home},
            {"name": gettext("Usage"), "url": url_for("usage.index")},
        ],
    }
    response = Response(json.dumps(manifest), mimetype="application/manifest+json")
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response
