"""A user who connects: presses the button, approves at the sandbox, comes back."""

import re
from html import unescape
from urllib.parse import urlsplit

import httpx
from flask import Flask
from flask.testing import FlaskClient

from apiary import database
from apiary.models import StoredConnection
from apiary.sandbox import ACCOUNTS

ATTEMPT = "attempt-0123456789"


def sign_in(app: Flask, who: str = "ann") -> FlaskClient:
    client = app.test_client()
    client.post(f"/in/{who}")
    return client


def begin(client: FlaskClient, attempt: str = ATTEMPT, **fields: str) -> str:
    """Press Connect; returns the authorize URL from the hop page."""
    response = client.post(
        "/settings/openrouter/connect", data={"display": "popup", "attempt": attempt} | fields
    )
    assert response.status_code == 200, response.text
    found = re.search(r'content="0;url=([^"]+)"', response.text)
    assert found
    return unescape(found[1])


def approve(url: str, account: int = 0, decision: str = "approve") -> str:
    """Be the user at the sandbox's consent page; returns the way back, path and query."""
    with httpx.Client(verify=False) as browser:
        page = browser.get(url).text
        ticket = re.search(r'name="ticket" value="([^"]+)"', page)
        assert ticket, page
        answer = browser.post(
            url,
            data={"ticket": ticket[1], "account": ACCOUNTS[account].id, "decision": decision},
        )
        assert answer.status_code in {302, 303}, answer.text
    back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


def state(client: FlaskClient, attempt: str = ATTEMPT) -> dict:
    return client.get(f"/settings/openrouter/flows/{attempt}").get_json()


def state_or_404(client: FlaskClient) -> int:
    return client.get(f"/settings/openrouter/flows/{ATTEMPT}").status_code


def stored(app: Flask) -> list[tuple[str, str]]:
    with app.app_context(), database.connection_context():
        return [(r.owner, r.state) for r in StoredConnection.select()]
