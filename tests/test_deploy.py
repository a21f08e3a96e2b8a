"""What lies in deploy/ fits the app: names, commands, options, paths. No image is built here."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apiary.cli import commands
from apiary.host import create_app
from apiary.host.environment import NAMES
from tests import certificates

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
FILES = ("apiary.service", "Dockerfile", "compose.yaml", "nginx.conf", "Caddyfile")
SERVICE, DOCKERFILE, COMPOSE, NGINX, CADDY = ((DEPLOY / name).read_text() for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_only_settings_that_exist(name: str) -> None:
    text = (DEPLOY / name).read_text()
    assert set(re.findall(r"\b(?:APIARY|OPENROUTER)_[A-Z_]+", text)) <= NAMES


def served() -> list[list[str]]:
    """The words behind each gunicorn."""
    found = re.findall(r"gunicorn (wsgi:app [^\"\n]+)", SERVICE + DOCKERFILE)
    assert len(found) == 2
    return [shlex.split(line) for line in found]


@pytest.mark.parametrize("words", served(), ids=["service", "image"])
def test_gunicorn_takes_its_options_and_the_app(words: list[str], tmp_path: Path) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("APIARY_", "OPENROUTER"))}
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", *words],
        cwd=ROOT,
        env={**clean, "APIARY_INSTANCE_PATH": str(tmp_path), "APIARY_LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # An answer and its readers must meet in one process, as make run has it.
    assert {"--workers=1", "--worker-class=apiary.host.gunicorn.Worker"} <= set(words)
    assert not [word for word in words if "access" in word], "callback addresses carry codes"


def test_commands_exist() -> None:
    told = re.findall(r"flask --app (\w+) apiary (\w+)", SERVICE + DOCKERFILE)
    assert told == [("wsgi", "upgrade")] * 2
    assert "upgrade" in commands().commands and (ROOT / "wsgi.py").exists()


def test_the_image_is_made_of_what_is_there() -> None:
    passed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert all((ROOT / name).exists() for name in passed)
    assert {"apiary", "templates", "static", "setup.cfg", "pyproject.toml", "wsgi.py"} <= set(
        passed
    )
    extras = re.findall(r'"\.\[([\w,]+)\]"', DOCKERFILE)[0].split(",")
    setup = (ROOT / "setup.cfg").read_text().split("[options.extras_require]")[1]
    assert set(extras) <= set(re.findall(r"^(\w+) =", setup, re.M))


def test_the_image_runs_as_nobody_special_and_looks_after_itself(tmp_path: Path) -> None:
    assert re.findall(r"^USER (\w+)", DOCKERFILE, re.M) == ["apiary"]
    [path] = set(re.findall(r"127\.0\.0\.1:3000(/\w+)", DOCKERFILE))
    app = create_app({"APIARY_INSTANCE_PATH": str(tmp_path), "APIARY_PUBLIC_URL": "https://a.b"})
    assert app.test_client().get(path, headers={"Host": "127.0.0.1:3000"}).status_code == 200


def test_compose_names_what_there_is() -> None:
    services = re.findall(r"^  (\w+):\n    (?:build|image)", COMPOSE, re.M)
    assert services == ["app", "postgres", "redis"]
    assert "@postgres/apiary" in COMPOSE and "redis://redis:6379" in COMPOSE
    assert re.findall(r"dockerfile: (\S+)", COMPOSE) == ["deploy/Dockerfile"]
    assert 'ports: ["127.0.0.1:3000:3000"]' in COMPOSE, "not open to the world without TLS"
    # A password in the file would be everybody's.
    assert COMPOSE.count("${POSTGRES_PASSWORD:?") == 2
    assert "apiary:${POSTGRES_" in COMPOSE and "POSTGRES_PASSWORD: ${" in COMPOSE


def test_the_unit() -> None:
    sections = re.findall(r"^\[(\w+)\]$", SERVICE, re.M)
    assert sections == ["Unit", "Service", "Install"]
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "UMask=0077", "User=apiary"):
        assert re.search(rf"^{line}$", SERVICE, re.M), line
    if shutil.which("systemd-analyze"):
        told = subprocess.run(
            ["systemd-analyze", "verify", str(DEPLOY / "apiary.service")],
            capture_output=True,
            text=True,
        ).stderr
        # The programs are where it says on the machine that runs it, not here.
        ours = [line for line in told.splitlines() if "apiary.service" in line]
        assert [line for line in ours if "is not executable" not in line] == []


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx here")
    cert, key = certificates.write(tmp_path, "chat.example.org")
    text = re.sub(r"(ssl_certificate +)[^;]+", rf"\1{cert}", NGINX)
    text = re.sub(r"(ssl_certificate_key +)[^;]+", rf"\1{key}", text)
    text = text.replace("/var/log/nginx/", f"{tmp_path}/")
    (tmp_path / "apiary.conf").write_text(text)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}"
        f" http {{ include {tmp_path}/apiary.conf; }}"
    )
    done = subprocess.run(
        [nginx, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", [NGINX, CADDY], ids=["nginx", "caddy"])
def test_proxies_keep_codes_out_of_logs_and_give_one_id(text: str) -> None:
    assert "X-Request-ID" in text and "X-Forwarded-Prefix" in text and "/metrics" in text
    said = re.sub(r"^\s*#.*", "", text, flags=re.M)
    assert "$request " not in said and "$args" not in said and "$http_referer" not in said


def test_the_readme_has_the_same_settings() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for kind, whole in (("nginx", NGINX), ("caddy", CADDY)):
        [block] = re.findall(rf"```{kind}\n(.*?)```", readme, re.S)
        lines = {line.strip() for line in block.splitlines()} - {
            "proxy_pass http://127.0.0.1:3000;"
        }
        assert lines <= {line.strip() for line in whole.splitlines()}, kind
    # Else nginx refuses imports and files.
    assert "client_max_body_size" in readme


def test_caddy_takes_its_file(tmp_path: Path) -> None:
    assert CADDY.count("{") == CADDY.count("}")
    caddy = shutil.which("caddy")
    if caddy:
        done = subprocess.run(
            [caddy, "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")],
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
