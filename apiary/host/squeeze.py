"""Files go compressed: scripts and styles are a quarter of their size on the wire.

Files only. A page holds a token; what is compressed beside a secret can be guessed by its length.
"""

import gzip

from flask import Flask, request
from werkzeug.wrappers import Response

from .edge import STATIC_ENDPOINTS

_KINDS = frozenset({"text/css", "text/javascript", "application/javascript", "image/svg+xml"})
_LEAST = 500  # bytes; below it a response is one packet either way


def register(app: Flask) -> None:
    """Each file is compressed once in a process and kept: 100 kB for all of them."""
    kept: dict[str, tuple[str | None, bytes]] = {}

    @app.after_request
    def _squeeze(response: Response) -> Response:
        if request.endpoint not in STATIC_ENDPOINTS or response.mimetype not in _KINDS:
            return response
        response.vary.add("Accept-Encoding")
        if request.method != "GET" or response.status_code != 200:
            return response
        if not request.accept_encodings.quality("gzip") or "Content-Encoding" in response.headers:
            return response
        tag = response.get_etag()[0]
        if kept.get(request.path, ("", b""))[0] != tag:
            response.direct_passthrough = False
            kept[request.path] = (tag, gzip.compress(response.get_data(), mtime=0))
        packed = kept[request.path][1]
        if (response.content_length or 0) < max(_LEAST, len(packed)):
            return response
        response.close()  # the file
        response.direct_passthrough = False
        response.set_data(packed)
        response.headers["Content-Encoding"] = "gzip"
        response.headers.pop("Accept-Ranges", None)
        if tag:
            response.set_etag(tag, weak=True)  # the same file, other bytes
        return response
