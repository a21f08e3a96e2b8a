"""The files of deploy/ for nginx and Caddy, each before a real server: the story goes through.

Only what differs from one machine to the next is put in: name, ports, certificate, folders.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import certificates
from tests.browser.conftest import free_port
from tests.conftest import LiveSandbox
from tests.faults.story import Server, Visitor
from tests.test_deploy import CADDY, NGINX

#: Caddy is not on every machine that tests; where it is, it is tried.
PROXIES = ["nginx", *(["caddy"] if shutil.which("caddy") else [])]


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("there is no nginx; on Debian: apt install nginx-light")
    cert, key = certificates.write(folder, "localhost")
    text = NGINX.replace("chat.example.org", "localhost")
    text = text.replace("127.0.0.1:3000", f"127.0.0.1:{upstream}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    text = re.sub(r"(ssl_certificate +)[^;]+", rf"\1{cert}", text)
    text = re.sub(r"(ssl_certificate_key +)[^;]+", rf"\1{key}", text)
    text = text.replace("/var/log/nginx/apiary.log", f"{folder}/access.log")
    temporary = "".join(
        f" {name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "apiary.conf").write_text(text)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
        f" events {{}} http {{ {temporary} include {folder}/apiary.conf; }}"
    )
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, upstream: int) -> list[str]:
    cert, key = certificates.write(folder, "localhost")
    text = CADDY.replace("127.0.0.1:3000", f"127.0.0.1:{upstream}")
    text = text.replace(
        "chat.example.org {",
        f"{{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n"
        f"\thttps_port {port}\n}}\n"
        f"localhost {{\n\tbind 127.0.0.1\n\ttls {cert} {key}",
    )
    text = text.replace("\tlog {", f"\tlog {{\n\t\toutput file {folder}/access.log")
    (folder / "Caddyfile").write_text(text)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@pytest.fixture(params=PROXIES)
def visitor(
    request: pytest.FixtureRequest, tmp_path: Path, sandbox: LiveSandbox
) -> Iterator[Visitor]:
    """Somebody on the other side of the proxy, for whom the site is https://localhost."""
    settings = {"APIARY_PUBLIC_URL": "https://localhost", "APIARY_PROXY_HOPS": "1"}
    database = f"sqlite:///{tmp_path / 'apiary.sqlite3'}"
    server, port = Server(tmp_path, sandbox, database, **settings), free_port()
    command = {"nginx": nginx, "caddy": caddy}[request.param](tmp_path, port, server.port)
    with (tmp_path / "proxy.log").open("wb") as log:
        proxy = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=tmp_path, env={"HOME": str(tmp_path)}
        )
    try:
        server.start()
        end = time.monotonic() + 20
        while True:
            try:
                made = Visitor(f"https://localhost:{port}", headers={"Host": "localhost"})
                break
            except httpx.ConnectError:
                assert time.monotonic() < end, (tmp_path / "proxy.log").read_text()
                time.sleep(0.1)
        yield made
        made.http.close()
    finally:
        proxy.terminate()
        proxy.wait(10)
        server.kill()


def test_the_story_goes_through(visitor: Visitor, sandbox: LiveSandbox, tmp_path: Path) -> None:
    back = visitor.begin(sandbox)
    assert visitor.http.get(back).headers["Location"].startswith("/settings/")
    assert visitor.card()["state"] == "connected"
    assert all(cookie.name.startswith("__Host-") for cookie in visitor.http.cookies.jar)

    sandbox.state.switches.pace = 0.4
    with visitor.ask("Tell me") as answer:
        began = time.monotonic()
        answer.read(until=0.0)
        first = time.monotonic() - began
        answer.read()
        whole = time.monotonic() - began
    assert answer.kind == "done" and visitor.messages(answer.talk)[1]["text"] == answer.text
    # It came as it was written, not all at once at the end.
    assert first < whole / 2 and whole > 2, (first, whole)

    assert visitor.http.get("/metrics").status_code == 404
    hostile = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}
    page = visitor.http.get("/settings/", headers={"Accept": "text/html", **hostile})
    assert page.status_code == 200 and "evil" not in page.text
    log = (tmp_path / "access.log").read_text()
    assert "/settings/openrouter/callback/" in log
    assert back.partition("?code=")[2] not in log and "code=" not in log
