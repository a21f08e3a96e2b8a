"""flags.env, the environment, and settings that are refused with a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apiary import ConfigError
from apiary.host import environment
from apiary.host.settings import HOST_VARIABLES, HostSettings

ROOT = Path(__file__).resolve().parent.parent.parent
BUILTIN = {
    "APIARY_BUILTIN_PROVIDER": "openrouter",
    "APIARY_BUILTIN_MODEL": "sandbox/echo",
    "APIARY_BUILTIN_KEY": "sk-or-v1-builtin",
}


def read(tmp_path: Path, text: str = "", **environ: str) -> dict[str, str]:
    (tmp_path / "flags.env").write_text(text)
    return environment.read(environ, [tmp_path])


def test_the_environment_wins_even_where_it_is_empty(tmp_path):
    text = "# a comment\n\nOPENROUTER_OAUTH = 1\nAPIARY_SITE_NAME=Bees & Co = #1\nAPIARY_GUESTS=0\n"
    assert read(tmp_path, text, APIARY_GUESTS="", HOME="/root") == {
        "OPENROUTER_OAUTH": "1",
        "APIARY_SITE_NAME": "Bees & Co = #1",
        "APIARY_GUESTS": "",
    }


def test_without_a_file(tmp_path):
    assert environment.read({"OPENROUTER_OAUTH": "1"}, [tmp_path]) == {"OPENROUTER_OAUTH": "1"}


def test_the_first_folder_counts(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flags.env").write_text(f"APIARY_SITE_NAME={name}")
    found = environment.read({}, [tmp_path / "none", tmp_path / "a", tmp_path / "b"])
    assert found == {"APIARY_SITE_NAME": "a"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("APIARY_GEUSTS=1", ["APIARY_GEUSTS", "flags.env", "Did you mean APIARY_GUESTS?"]),
        ("APIARY_LIMITS=0", ["APIARY_LIMITS", "not a setting"]),
        ("nonsense", ["Line 1", "NAME=value"]),
        ("export A=b", ["Line 1"]),
    ],
)
def test_lines_that_are_refused(tmp_path, text, words):
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    for word in words:
        assert word in refused.value.message


def test_an_unknown_name_in_the_environment(tmp_path):
    with pytest.raises(
        ConfigError, match=r"APIARY_PUBLIC_URI in the environment.*APIARY_PUBLIC_URL"
    ):
        read(tmp_path, APIARY_PUBLIC_URI="x")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"OPENROUTER_OAUTH": "maybe"}, ["OPENROUTER_OAUTH", "'maybe'", "on/off"]),
        ({"APIARY_GUESTS": "sometimes"}, ["APIARY_GUESTS", "'sometimes'"]),
        ({"APIARY_SIGNUP": "2"}, ["APIARY_SIGNUP", "'2'"]),
        ({"APIARY_SECRET_KEY": "short-and-secret"[:15]}, ["APIARY_SECRET_KEY", "16"]),
        ({"APIARY_PROXY_HOPS": "-1"}, ["APIARY_PROXY_HOPS", "'-1'"]),
        ({"APIARY_PROXY_HOPS": "1.5"}, ["APIARY_PROXY_HOPS"]),
        ({"APIARY_PROXY_HOPS": "٣"}, ["APIARY_PROXY_HOPS"]),
        ({**BUILTIN, "APIARY_BUILTIN_DAILY_MESSAGES": "-5"}, ["DAILY_MESSAGES", "'-5'"]),
        ({**BUILTIN, "APIARY_BUILTIN_DAILY_MESSAGES": "0"}, ["DAILY_MESSAGES"]),
        ({**BUILTIN, "APIARY_BUILTIN_DAILY_MESSAGES": "many"}, ["DAILY_MESSAGES", "'many'"]),
        ({**BUILTIN, "APIARY_BUILTIN_MODEL": ""}, ["APIARY_BUILTIN_MODEL"]),
        ({**BUILTIN, "APIARY_BUILTIN_KEY": ""}, ["APIARY_BUILTIN_KEY"]),
        ({**BUILTIN, "APIARY_BUILTIN_PROVIDER": ""}, ["APIARY_BUILTIN_PROVIDER"]),
        ({"APIARY_BUILTIN_KEY": "sk-or-v1-builtin"}, ["APIARY_BUILTIN_PROVIDER"]),
        ({"APIARY_PUBLIC_URL": "chat.example.org"}, ["APIARY_PUBLIC_URL"]),
    ],
)
def test_settings_that_are_refused(tmp_path, changed, words):
    with pytest.raises(ConfigError) as refused:
        HostSettings.from_mapping(changed, tmp_path)
    for word in words:
        assert word in refused.value.message
    assert refused.value.message.endswith(".")
    assert "sk-or-v1" not in refused.value.message
    assert "short-and-secre" not in refused.value.message


def test_a_built_in_provider_that_does_not_exist(make_host):
    with pytest.raises(ConfigError, match=r"'openruter'.*openrouter"):
        make_host(**{**BUILTIN, "APIARY_BUILTIN_PROVIDER": "openruter"})


def test_an_unknown_setting_in_a_mapping(make_host):
    with pytest.raises(ConfigError, match="APIARY_NONSENSE"):
        make_host(APIARY_NONSENSE="1")


def test_the_defaults_say_what_is_read(tmp_path):
    written = {variable.name: variable.default for variable in HOST_VARIABLES}
    assert HostSettings.from_mapping(written, tmp_path) == HostSettings.from_mapping({}, tmp_path)


def test_secrets_are_not_shown(tmp_path):
    settings = HostSettings.from_mapping(BUILTIN, tmp_path)
    assert "sk-or-v1-builtin" not in repr(settings)
    assert {v.name for v in HOST_VARIABLES if v.secret} == {
        "APIARY_SECRET_KEY",
        "APIARY_BUILTIN_KEY",
        "APIARY_OPERATOR_TOKEN",
        "APIARY_REDIS_URL",
    }


def test_the_secret_key_is_made_once_and_kept_from_others(make_host, tmp_path):
    first = make_host(APIARY_SECRET_KEY="", APIARY_INSTANCE_PATH=str(tmp_path / "one"))
    again = make_host(APIARY_SECRET_KEY="", APIARY_INSTANCE_PATH=str(tmp_path / "one"))
    other = make_host(APIARY_SECRET_KEY="", APIARY_INSTANCE_PATH=str(tmp_path / "two"))
    assert first.secret_key == again.secret_key != other.secret_key
    assert len(first.secret_key) >= 32
    assert (tmp_path / "one" / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("server", [["-c", "import wsgi"], ["-m", "gunicorn", "wsgi:app"]])
def test_a_server_stops_with_the_sentence(tmp_path, server):
    (tmp_path / "flags.env").write_text("OPENROUTER_OAUTH=maybe\n")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("APIARY_", "OPENROUTER"))}
    port = ["-b", "127.0.0.1:0"] if "gunicorn" in server else []
    done = subprocess.run(
        [sys.executable, *server, *port],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(ROOT), "APIARY_INSTANCE_PATH": str(tmp_path / "i")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "OPENROUTER_OAUTH is 'maybe'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OPENROUTER_OAUHT", "OPENROUTER_OAUTH"),
        ("OPEN_ROUTER_OAUTH", "OPENROUTER_OAUTH"),
        ("APIARY_GEUSTS", "APIARY_GUESTS"),
        ("APIARY_DATABSE_URL", "APIARY_DATABASE_URL"),
    ],
)
def test_a_slip_of_the_pen_is_refused_with_what_was_meant(
    tmp_path: Path, name: str, meant: str
) -> None:
    (tmp_path / "flags.env").write_text(f"{name}=1\n")
    with pytest.raises(ConfigError, match=f"Did you mean {meant}"):
        environment.read({}, [tmp_path])
    with pytest.raises(ConfigError, match=f"Did you mean {meant}"):
        environment.read({name: "1"}, [])


def test_other_names_are_refused_in_the_file_and_let_be_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "flags.env").write_text("FOO=1\n")
    with pytest.raises(ConfigError, match=r"FOO in flags\.env"):
        environment.read({}, [tmp_path])
    assert (
        environment.read({"FOO": "1", "OPENAI_API_KEY": "x", "OPENROUTER_API_KEY": "x"}, []) == {}
    )
