"""Tries that the processes of a site count together, and what Redis hears of them."""

import hashlib
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from flask import Flask

from apiary.host.tries import Tries
from tests.cable import Cable
from tests.host.browsing import Browser
from tests.host.conftest import MakeHost
from tests.security.test_limits import one, refused, until_refused


@pytest.fixture
def secret(redis_url: str) -> Iterator[str]:
    """A site of its own; its keys in Redis are named after it."""
    yield (made := secrets.token_hex(20))
    with redis.Redis.from_url(redis_url) as client:
        for key in keys(client, made):
            client.delete(key)


def keys(client: Any, secret: str) -> list[bytes]:
    prefix = hashlib.sha256(secret.encode()).hexdigest()[:12]
    return list(client.scan_iter(f"apiary:{prefix}:*", count=1000))


def processes(make_host: MakeHost, secret: str, url: str) -> list[Flask]:
    return [
        make_host(APIARY_LIMITS=True, APIARY_REDIS_URL=url, APIARY_SECRET_KEY=secret)
        for _ in range(2)
    ]


def test_two_processes_count_together(make_host: MakeHost, redis_url: str, secret: str) -> None:
    apps = processes(make_host, secret, redis_url)

    def guess(n: int) -> Any:
        fields = {"name": "ada-who-is-secret", "password": "x"}
        where = {"REMOTE_ADDR": "198.51.77.1"}
        return one(Browser(apps[n % 2]), "/sign-in", fields, environ_overrides=where)

    assert until_refused(guess, 20) == 10
    with redis.Redis.from_url(redis_url) as client:
        found = keys(client, secret)
        names = {key.split(b"/")[-4].decode() for key in found}
        assert names == {
            "sign-in-address", "sign-in-name", "sign-in-name-day", "sign-in-everywhere"
        }  # fmt: skip
        # More of the name than a hash may hold by chance.
        assert not [key for key in found if b"ada-who" in key or b"198.51" in key]
        assert all(0 < client.ttl(key) <= 24 * 3600 for key in found)


def test_a_sign_in_empties_what_both_have_counted(
    make_host: MakeHost, redis_url: str, secret: str
) -> None:
    apps = processes(make_host, secret, redis_url)
    Browser(apps[0]).sign_up("Ada")
    for n in range(9):
        assert Browser(apps[n % 2]).sign_in("Ada", "wrong").status_code == 400
    with Browser(apps[0]).sign_in("Ada") as done:
        assert done.status_code == 303
    for _ in range(9):
        assert Browser(apps[0]).sign_in("Ada", "wrong").status_code == 400


def test_the_built_in_model_s_address(
    make_host: MakeHost, redis_url: str, secret: str, paste_key: str
) -> None:
    app = make_host(
        APIARY_LIMITS=True,
        APIARY_REDIS_URL=redis_url,
        APIARY_SECRET_KEY=secret,
        APIARY_BUILTIN_PROVIDER="openrouter",
        APIARY_BUILTIN_MODEL="sandbox/echo",
        APIARY_BUILTIN_KEY=paste_key,
        APIARY_BUILTIN_DAILY_MESSAGES="1",
    )
    assert until_refused(lambda _: one(Browser(app), "/ask", {"text": "Bees?"}), 15) == 10


def test_while_redis_is_away_each_counts_for_itself(
    make_host: MakeHost, cable: Cable, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = processes(make_host, secret, f"redis://127.0.0.1:{cable.port}/0")
    browsers = [Browser(app) for app in apps]

    def check(which: int) -> Any:
        return one(browsers[which], "/settings/openai/check", {})

    for n in range(10):
        assert not refused(check(n % 2))
    cable.pull()
    for which in (0, 1):
        assert until_refused(lambda _, which=which: check(which), 40) == 20
    # As bounded as without Redis.
    assert apps[0].extensions["apiary.host"].tries.windows._tries
    cable.pulled = False
    end = time.monotonic() + 30
    while refused(check(0)):
        assert time.monotonic() < end
        time.sleep(0.2)
    # Back: what was counted there before counts again; each browser is a person of its own.
    assert until_refused(lambda _: check(0), 20) < 20


def test_redis_goes_away_behind_a_refusal(
    make_host: MakeHost, cable: Cable, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When to come again cannot be asked any more: then it is the whole window."""
    app = processes(make_host, secret, f"redis://127.0.0.1:{cable.port}/0")[0]
    browser = Browser(app)
    assert until_refused(lambda _: one(browser, "/settings/openai/check", {}), 30) == 20
    true = Tries._wait

    def late(tries: Tries, *names: Any) -> int:
        cable.pull()
        return true(tries, *names)

    monkeypatch.setattr(Tries, "_wait", late)
    answer = one(browser, "/settings/openai/check", {})
    assert refused(answer) and answer.headers["Retry-After"] == "60"
