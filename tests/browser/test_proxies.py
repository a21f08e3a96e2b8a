"""Behind a real nginx that ends TLS: odd port, path prefix stripped or not, hostile headers."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests import certificates
from tests.browser.conftest import MakeSite, free_port
from tests.browser.popup import CONNECT, STATUS, answer, gone, press

# Debian keeps it where only root's PATH looks.
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location {location} {{
      proxy_pass http://127.0.0.1:{upstream}{tail};
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
    }}
  }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starts an nginx that ends TLS in front of a port; returns its own port."""
    if NGINX is None:
        pytest.skip("there is no nginx; on Debian: apt install nginx-light")
    running: list[subprocess.Popen[bytes]] = []

    def start(port: int, upstream: str, prefix: str, strip: bool) -> None:
        certificates.write(tmp_path, "localhost", "127.0.0.1")
        config = tmp_path / "nginx.conf"
        config.write_text(
            CONFIG.format(
                folder=tmp_path,
                port=port,
                upstream=upstream.rpartition(":")[2],
                location=f"{prefix}/",
                tail="/" if strip else "",
            )
        )
        # As root the workers would become another user, who may not read the test's folder.
        extra = ["-g", "user root;"] if os.geteuid() == 0 else []
        running.append(subprocess.Popen([NGINX, "-c", str(config), "-p", str(tmp_path), *extra]))
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((tmp_path / "error.log").read_text())

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize(
    ("prefix", "strip"), [("", False), ("/team", False), ("/team", True)], ids=str
)
def test_connect_and_chat_behind_nginx(
    browser: Browser, make_site: MakeSite, nginx: Callable, prefix: str, strip: bool
) -> None:
    port = free_port()
    public = f"https://localhost:{port}{prefix}"
    site = make_site(APIARY_PUBLIC_URL=public, APIARY_PROXY_HOPS="1")
    nginx(port, site.url, prefix, strip)
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(f"{public}/settings/")
    window = press(page, CONNECT)
    expect(window.locator("body")).to_contain_text(f"localhost:{port}")
    answer(window)
    gone(window)
    expect(page.locator(STATUS)).to_contain_text("Connected as")
    cookies = {cookie["name"]: cookie for cookie in context.cookies(public)}
    assert "__Host-apiary" in cookies and all(cookie["secure"] for cookie in cookies.values())
    page.goto(f"{public}/")
    page.fill("textarea", "Through the proxy")
    page.keyboard.press("Enter")
    expect(page.locator("#turns")).to_contain_text(
        re.compile("Through the proxy.*Through the proxy", re.S)
    )
    assert page.url.startswith(f"{public}/c/")
    context.close()


def test_a_stranger_s_headers_change_nothing(make_site: MakeSite, nginx: Callable) -> None:
    port = free_port()
    public = f"https://localhost:{port}"
    site = make_site(APIARY_PUBLIC_URL=public, APIARY_PROXY_HOPS="1")
    nginx(port, site.url, "", False)
    evil = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example;proto=http",
        "X-Original-URL": "/evil",
    }
    with httpx.Client(base_url=public, verify=False) as client:
        page = client.get("/settings/", headers=evil)
        token = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
        assert page.status_code == 200 and token
        hop = client.post(
            "/settings/openrouter/connect", headers=evil, data={"csrf_token": token[1]}
        )
        assert hop.status_code == 200 and "evil" not in hop.text + page.text
        assert f"callback_url=https%3A%2F%2Flocalhost%3A{port}%2Fsettings%2F" in hop.text
        wrong = client.get("/settings/", headers={"Host": "evil.example"})
        assert wrong.status_code == 400
