"""Files go compressed to whom takes it, whole to others; pages never."""

import gzip

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

TAKES = {"Accept-Encoding": "gzip, deflate, br"}


def get(client: FlaskClient, path: str, headers: dict[str, str] | None = None) -> TestResponse:
    response = client.get(path, headers=headers, buffered=True)
    response.close()
    return response


def test_a_script_goes_compressed_and_is_the_same(host: Flask) -> None:
    client = host.test_client()
    plain = get(client, "/static/chat.css")
    for _ in range(2):  # compressed, then from what was kept
        packed = get(client, "/static/chat.css", headers=TAKES)
        assert packed.status_code == 200
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.mimetype == "text/css"
        assert gzip.decompress(packed.data) == plain.data
        assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 3
    assert "Content-Encoding" not in plain.headers
    assert "Accept-Encoding" in plain.vary and "Accept-Encoding" in packed.vary


def test_a_known_file_is_not_sent_again(host: Flask) -> None:
    client = host.test_client()
    first = get(client, "/static/chat.css", headers=TAKES)
    known = {"If-None-Match": first.headers["ETag"]}
    again = get(client, "/static/chat.css", headers=TAKES | known)
    assert again.status_code == 304
    assert again.data == b""
    plain = get(client, "/static/chat.css", headers=known)
    assert plain.status_code == 304


def test_a_part_of_a_file_is_the_part_that_was_asked_for(host: Flask) -> None:
    client = host.test_client()
    whole = get(client, "/static/chat.css").data
    part = get(client, "/static/chat.css", headers=TAKES | {"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.data == whole[10:20]


def test_pictures_pages_and_who_refuses_stay_as_they_are(host: Flask) -> None:
    client = host.test_client()
    for path, headers in (
        ("/static/icon-192.png", TAKES),
        ("/static/hive.svg", TAKES),  # smaller than a packet
        ("/", TAKES),
        ("/static/nothing.css", TAKES),
        ("/static/chat.css", {"Accept-Encoding": "gzip;q=0, identity"}),
    ):
        response = get(client, path, headers=headers)
        assert "Content-Encoding" not in response.headers, path


def test_files_of_the_plug_in_and_of_others_go_compressed_too(host: Flask) -> None:
    client = host.test_client()
    for path in ("/settings/static/apiary.css", "/vendor/marked/marked.esm.js"):
        response = get(client, path, headers=TAKES)
        assert response.status_code == 200, path
        assert response.headers["Content-Encoding"] == "gzip", path
