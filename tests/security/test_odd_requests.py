"""Bodies and headers that no browser sends: refused in a sentence, or taken, and never an error."""

import re

import pytest

from tests.conftest import MakeApp
from tests.host.browsing import Browser
from tests.host.conftest import MakeHost
from tests.security.edge import PUBLIC, Safe
from tests.security.world import ATTEMPT, PASSWORD


@pytest.fixture
def sober(make_host: MakeHost) -> Browser:
    """A member of a site that shows no traceback, with all its doors open."""
    app = make_host(
        OPENROUTER_OAUTH="1", APIARY_PUBLIC_URL="http://localhost", APIARY_OPERATOR_TOKEN="x" * 20
    )
    app.testing = app.config["PROPAGATE_EXCEPTIONS"] = False
    ada = Browser(app)
    ada.sign_up("Ada Hive", PASSWORD)
    return ada


ODD_BODIES = {
    "deep list": ("application/json", b'{"text":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep object": ("application/json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "list": ("application/json", b"[1, 2]"),
    "string": ("application/json", b'"x"'),
    "null": ("application/json", b"null"),
    "nothing": ("application/json", b""),
    "number": ("application/json", b'{"text":"x","max_tokens":' + b"9" * 9_000 + b"}"),
    "not a number": ("application/json", b'{"text":"x","max_tokens":NaN,"title":1e999}'),
    "types": (
        "application/json",
        b'{"text":["x"],"title":{"a":1},"instructions":5,"model":[],"provider":{},"name":7,'
        b'"message_id":1,"attachments":"abc","max_tokens":true,"api_key":[],"token":{}}',
    ),
    "surrogates": (
        "application/json",
        b'{"text":"a\\ud800b\\u0000","title":"a\\ud800b\\u0000","instructions":"\\ud800\\u0000",'
        b'"model":"sandbox/echo","id":"\\ud800","name":"\\ud800","password":"\\u0000"}',
    ),
    "utf-7": ("application/json; charset=utf-7", b'{"text":"+AGE-"}'),
    "bytes": ("application/json", b'{"text":"\xff\xfe"}'),
    "form": ("application/x-www-form-urlencoded", b"text=%ff%00&title=%ed%a0%80&name=%00"),
    "many": ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(5_000))),
    "twice": ("application/x-www-form-urlencoded", b"text=a&text=b&title=a&title=b&name=a&name=b"),
    "no boundary": ("multipart/form-data", b"--x\r\n"),
    "half a part": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; n'),
    "parts": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\nhi\r\n' * 2_000 + b"--x--",
    ),
    "no type": ("\xff\xfe/\x01", b"x"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_BODIES)
def test_odd_bodies_are_refused_or_taken(sober: Browser, kind: str) -> None:
    """Whatever a body holds, it is no error of ours."""
    content_type, body = ODD_BODIES[kind]
    conversation, token = sober.conversation(), sober.token()
    ends = {"accounts.sign_out", "accounts.sign_out_everywhere"}
    for rule in sober.app.url_map.iter_rules():
        if "POST" not in (rule.methods or set()) or rule.endpoint in ends:
            continue
        path = re.sub(r"<any\(\w+\):provider>|<provider>", "openrouter", rule.rule)
        path = re.sub(r"<[^>]+>", ATTEMPT, path.replace("<id>", conversation))
        for accept in ("application/json", "text/html"):
            with sober.client.post(
                path,
                data=body,
                content_type=content_type,
                headers={"X-CSRFToken": token, "Accept": accept},
            ) as answer:
                assert answer.status_code < 500, (rule.rule, accept)


@pytest.mark.parametrize(
    ("public", "origin", "status"),
    [
        ("http://localhost", "http://[evil", 403),
        ("http://localhost", "//localhost", 403),
        ("http://localhost", "ftp://localhost", 403),
        ("http://localhost", "http://localhost@evil.example", 403),
        ("http://localhost", "http://localhost", 201),
        # A page of our name that somebody in between has made.
        (PUBLIC, PUBLIC.replace("https", "http"), 403),
        (PUBLIC, PUBLIC, 201),
        (PUBLIC, f"{PUBLIC}.", 403),
    ],
)
def test_origins(make_host: MakeHost, public: str, origin: str, status: int) -> None:
    app = make_host(APIARY_PUBLIC_URL=public)
    app.testing = app.config["PROPAGATE_EXCEPTIONS"] = False
    browser = Safe(app, public)
    with browser.send("/c", Origin=origin) as answer:
        assert answer.status_code == status


def test_a_broken_origin_at_the_plug_in(make_app: MakeApp) -> None:
    client = make_app().test_client()
    client.post("/in/ann")
    answer = client.post("/settings/openai/check", headers={"Origin": "http://[evil"})
    assert answer.status_code == 403
    for body in (b"[1]", b'"x"', b"[" * 100_000):
        answer = client.post("/settings/openai/key", data=body, content_type="application/json")
        assert answer.status_code < 500


def test_json_is_no_second_door_to_forms(make_host: MakeHost) -> None:
    """What is counted by a form's fields is read from a form alone."""
    app = make_host()
    Browser(app).sign_up("Ada Hive", PASSWORD)
    with Browser(app).send("/sign-in", {"name": "Ada Hive", "password": PASSWORD}) as answer:
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "/\\evil.example", "https://evil.example", "/a/../..", "/evil x"]
)
def test_a_prefix_that_is_none(make_host: MakeHost, prefix: str) -> None:
    """A proxy that passes on what a client says of itself leads nobody away."""
    app = make_host(APIARY_PROXY_HOPS="1", APIARY_GUESTS="0")
    headers = {"X-Forwarded-Prefix": prefix, "Accept": "text/html"}
    for path, status in (("/", 303), ("/sign-in", 200), ("/nowhere", 404)):
        answer = app.test_client().get(path, headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("Location", "/sign-in?next=chat") == "/sign-in?next=chat"
        assert "evil" not in answer.text and "/a/" not in answer.text
    headers["X-Forwarded-Prefix"] = "/apiary-2/x.y"
    answer = app.test_client().get("/", headers=headers)
    assert answer.headers["Location"] == "/apiary-2/x.y/sign-in?next=chat"
