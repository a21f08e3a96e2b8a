"""Places for running answers, with the Redis that counts them."""

import secrets

import pytest

from apiary.host import broadcast
from tests.host.browsing import Browser


@pytest.fixture
def chatter(make_host, redis_url, paste_key):
    """A person on a site with Redis, whose keys die with it."""
    redis = pytest.importorskip("redis")
    secret = secrets.token_hex(20)
    app = make_host(APIARY_REDIS_URL=redis_url, APIARY_SECRET_KEY=secret)
    browser = Browser(app)
    browser.connect(paste_key)
    yield browser
    prefix = app.extensions["apiary.host"].broadcast.shared.prefix
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{prefix}*", count=1000):
            client.delete(key)


def test_who_has_read_the_end_of_an_answer_may_ask_at_once(chatter, monkeypatch):
    # However late the thread is that tells other processes.
    monkeypatch.setattr(broadcast, "_EVERY", 3600.0)
    for n in range(5):
        events = chatter.ask(f"{n}", model="sandbox/echo")
        assert events[-1].kind == "done"
