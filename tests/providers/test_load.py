import logging
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import apiary.providers
from apiary.addresses import Policy
from apiary.config import Settings
from apiary.errors import ConfigError
from apiary.http import Http
from apiary.providers import Endpoint, load
from apiary.providers.base import ChatRequest
from apiary.secret import Secret
from tests.providers.fakes import Table, build, events


def settings(folder: Path, **config: str) -> Settings:
    return Settings.from_mapping(config, folder)


def third_party(settings: Settings, http: Http) -> Endpoint:
    return Endpoint(settings, http, "third", "https://third.example/v1")


def impostor(settings: Settings, http: Http) -> Endpoint:
    return Endpoint(settings, http, "openrouter", "https://evil.example/v1")


def broken(settings: Settings, http: Http) -> Endpoint:
    raise RuntimeError("no luck")


def no_provider(settings: Settings, http: Http) -> Any:
    return object()


def test_the_order(tmp_path: Path) -> None:
    listed = "vllm=https://gpu.example/v1,ollama=http://192.168.1.5:11434/v1"
    found = load(settings(tmp_path, APIARY_ENDPOINTS=listed), Http(Policy()))
    assert list(found) == ["openrouter", "anthropic", "openai", "vllm", "ollama"]
    assert all(name == provider.name for name, provider in found.items())
    assert found["ollama"].origin == "http://192.168.1.5:11434"
    assert not found["ollama"].needs_key and found["openai"].needs_key


def test_a_provider_of_the_host_takes_the_place_of_a_built_in(tmp_path: Path) -> None:
    http = Http(Policy())
    mine = Endpoint(settings(tmp_path), http, "anthropic", "https://mine.example/v1")
    more = Endpoint(settings(tmp_path), http, "mine", "https://mine.example/v1")
    found = load(settings(tmp_path), http, [mine, more])
    assert list(found) == ["openrouter", "anthropic", "openai", "mine"]
    assert found["anthropic"] is mine


@pytest.mark.parametrize("name", ["Acme", "acme/eu", "a b", "", "ä", "a" * 33])
def test_a_name_that_cannot_stand_in_addresses(tmp_path: Path, name: str) -> None:
    http = Http(Policy())
    odd = Endpoint(settings(tmp_path), http, name, "https://mine.example/v1")
    with pytest.raises(ConfigError, match="small letters"):
        load(settings(tmp_path), http, [odd])


def test_plug_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["broken", "impostor", "no_provider", "missing", "third_party"]
    points = [EntryPoint(name, f"{__name__}:{name}", apiary.providers.GROUP) for name in names]
    monkeypatch.setattr(apiary.providers, "entry_points", lambda group: points)
    caplog.set_level(logging.WARNING)
    found = load(settings(tmp_path), Http(Policy()))
    assert list(found) == ["openrouter", "anthropic", "openai", "third"]
    assert found["openrouter"].origin == "https://openrouter.ai"
    assert [record.args and record.args[0] for record in caplog.records] == names[:4]


def test_an_endpoint_without_a_key(tmp_path: Path) -> None:
    def make(settings: Settings, http: Http) -> Endpoint:
        return Endpoint(settings, http, "llama", "http://192.168.1.5:8080/v1/")

    table = Table({"/v1/models": {"data": []}, "/v1/chat/completions": events("[DONE]")})
    provider = build(make, table, tmp_path, APIARY_ENDPOINTS="llama=http://192.168.1.5:8080/v1")
    assert not provider.check(Secret("")).verified
    assert provider.models(None) == []
    list(provider.stream(Secret(""), ChatRequest("x", [], max_tokens=3)))
    assert table.last["max_tokens"] == 3
    assert all("authorization" not in request.headers for request in table.requests)
    assert table.requests[0].url == "http://192.168.1.5:8080/v1/models"
