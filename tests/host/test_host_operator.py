"""The operator's page: there with the token only, and remembered by nothing."""

import pytest

from tests.host.browsing import Browser

TOKEN = "the operator's token"


def test_it_is_not_there_without_a_token(make_host):
    browser = Browser(make_host())
    for token in ("", "None", TOKEN):
        with browser.form("/operator", token=token) as page:
            assert page.status_code == 404
    with browser.get("/operator", headers={"Authorization": "Bearer "}) as page:
        assert page.status_code == 404


@pytest.mark.parametrize("guests", ["1", "0"])
def test_with_the_form(make_host, database_url, paste_key, guests):
    app = make_host(
        APIARY_DATABASE_URL=database_url, APIARY_OPERATOR_TOKEN=TOKEN, APIARY_GUESTS=guests
    )
    if guests == "1":
        Browser(app).connect(paste_key)
    browser = Browser(app)
    with browser.get("/operator") as page:
        assert page.status_code == 200
        assert "Doctor" not in page.get_data(as_text=True)
    with browser.form("/operator", token="wrong") as page:
        assert page.status_code == 403
        assert "Doctor" not in page.get_data(as_text=True)
    with browser.form("/operator", token=TOKEN) as page:
        text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert "The database is up to date." in text and "OPENROUTER_OAUTH is off" in text
    assert f"guests: {guests}" in text and "peewee 4" in text
    assert TOKEN not in text and paste_key not in text
    with browser.get("/operator") as page:
        assert "Doctor" not in page.get_data(as_text=True), "nothing remembers the operator"


def test_by_a_program(make_host):
    client = make_host(APIARY_OPERATOR_TOKEN=TOKEN).test_client()
    with client.get("/operator", headers={"Authorization": f"Bearer {TOKEN}"}) as page:
        assert page.status_code == 200 and "Doctor" in page.get_data(as_text=True)
    with client.get("/operator", headers={"Authorization": "Bearer wrong"}) as page:
        assert page.status_code == 403


def test_the_way_back_is_looked_at_in_the_midst_of_a_page(make_host):
    told = {"OPENROUTER_OAUTH": "1", "APIARY_PUBLIC_URL": "http://localhost:3000"}
    client = make_host(APIARY_OPERATOR_TOKEN=TOKEN, **told).test_client()
    with client.get("/operator", headers={"Authorization": f"Bearer {TOKEN}"}) as page:
        assert page.status_code == 200
        text = page.get_data(as_text=True)
    assert "OpenRouter leads users back to http://localhost:3000/settings/openrouter/" in text


def test_the_token_cannot_be_tried_out(make_host):
    browser = Browser(make_host(APIARY_OPERATOR_TOKEN=TOKEN, APIARY_LIMITS=True))
    seen = []
    for _ in range(12):
        with browser.form("/operator", token="wrong") as page:
            seen.append(page.status_code)
    assert seen == [403] * 10 + [429] * 2


def test_it_dials_when_asked(make_host, sandbox):
    browser = Browser(make_host(APIARY_OPERATOR_TOKEN=TOKEN))
    with browser.form("/operator", token=TOKEN) as page:
        assert "answers at" not in page.get_data(as_text=True)
    with browser.form("/operator", token=TOKEN, dial="y") as page:
        assert f"OpenRouter answers at {sandbox.url}" in page.get_data(as_text=True)
