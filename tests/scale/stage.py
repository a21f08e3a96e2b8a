"""A whole site on machines of its own: PostgreSQL, Redis, three app machines, nginx, OpenRouter.

The app runs as ``make run`` runs it, nginx with ``deploy/nginx.conf``, and OpenRouter is our
sandbox behind the real name with TLS.
"""

import base64
import importlib.util
import os
import re
import secrets
import shutil
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import httpx
import psycopg
import redis

from tests import certificates
from tests.scale import machines
from tests.scale.machines import DISK, Machine, Program, program_at

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "chat.example.org"
URL = f"https://{NAME}"
ADDRESSES = {
    "db": "10.77.0.2",
    "cache": "10.77.0.3",
    "app1": "10.77.0.11",
    "app2": "10.77.0.12",
    "app3": "10.77.0.13",
    "edge": "10.77.0.20",
    "client": "10.77.0.30",
    # What the app takes for OpenRouter has to have a public address.
    "openrouter": "8.77.0.1",
}
APPS = ("app1", "app2", "app3")
#: Addresses at which one app machine is asked past nginx. Ports are nothing to cookies.
AT = {name: f"{URL}:{1001 + number}" for number, name in enumerate(APPS)}
DATABASE = f"postgresql://postgres@{ADDRESSES['db']}/postgres"
#: Messages of the built-in model for each guest.
DAILY = 5
REDIS = f"redis://{ADDRESSES['cache']}:6379/0"


def missing() -> str:
    """Why there can be no stage here, as a sentence; empty where there can."""
    for program, package in (("nginx", "nginx-light"), ("redis-server", "redis-server")):
        if program_at(program) is None:
            return f"There is no {program}. On Debian: apt install {package}."
    if _postgres("initdb") is None:
        return "There is no initdb of PostgreSQL. On Debian: apt install postgresql."
    return machines.missing()


class Stage:
    """The machines and what runs on them.

    :param settings: of the app, beside those that the stage needs.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        #: Where the code lies that an app machine runs.
        self.code = dict.fromkeys(APPS, ROOT)
        self.programs: dict[str, Program] = {}
        self.machines: dict[str, Machine] = {}
        self._switch = machines.switch(folder)
        self._settings = settings
        self._keys = secrets.token_hex(20), base64.urlsafe_b64encode(secrets.token_bytes(32))
        try:
            self._plug()
            self._certificates()
            self._start()
        except BaseException:
            self.end()
            raise

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def end(self) -> None:
        for machine in (*self.machines.values(), self._switch):
            machine.end()

    def _plug(self) -> None:
        for name, address in ADDRESSES.items():
            made = self.machines[name] = Machine(name, self.folder)
            made.plug(self._switch, f"{address}/24")
        ip = program_at("ip") or "ip"
        for name in (*APPS, "client"):
            self[name].do(ip, "route", "add", f"{ADDRESSES['openrouter']}/32", "dev", "eth0")
        self["openrouter"].do(ip, "route", "add", "10.77.0.0/24", "dev", "eth0")
        names = dict.fromkeys(("localhost",), "127.0.0.1") | ADDRESSES
        names |= {"openrouter.ai": ADDRESSES["openrouter"], NAME: ADDRESSES["edge"]}
        hosts = self.folder / "hosts"
        hosts.write_text("".join(f"{address} {name}\n" for name, address in names.items()))
        for machine in self.machines.values():
            machine.do("mount", "--bind", str(hosts), "/etc/hosts")

    def _certificates(self) -> None:
        self._files: dict[str, tuple[Path, Path]] = {}
        for name in (NAME, "openrouter.ai"):
            folder = self.folder / name
            folder.mkdir()
            self._files[name] = certificates.write(folder, name)
        self.authorities = self.folder / "authorities.pem"
        self.authorities.write_bytes(b"".join(c.read_bytes() for c, _ in self._files.values()))

    def _start(self) -> None:
        database = self["db"]
        database.do("install", "-d", "-o", "postgres", "-m", "700", f"{DISK}/data")
        options = ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        database.do(*_AS_POSTGRES, str(_postgres("initdb")), "-D", f"{DISK}/data", *options)
        database.do("sh", "-c", f"echo host all all 10.77.0.0/24 trust >>{DISK}/data/pg_hba.conf")
        self.start_database()
        self.start_cache()
        cert, key = map(str, self._files["openrouter.ai"])
        command = _serve()._server("apiary.sandbox:create_app()", ["0.0.0.0:443"])
        self.programs["openrouter"] = self["openrouter"].start(
            *(*command, "--threads=400", f"--certfile={cert}", f"--keyfile={key}"),
            env=_clean(),
            at=ROOT,
        )
        self.start_edge()
        with self["client"].inside():
            self.wait_for_database()
            self["app1"].do(*self.flask("app1", "upgrade"), env=self.environ("app1"))
            for name in APPS:
                self.start_app(name)
            for name in APPS:
                self.wait_for_app(name)
            with self.client() as http:
                _until(lambda: http.get("https://openrouter.ai/api/v1/models").is_success)

    def start_database(self) -> None:
        words = ["-D", f"{DISK}/data", "-h", "*", "-k", DISK]
        # A shared memory of the machine's own, and room for three pools.
        given = {"dynamic_shared_memory_type": "mmap", "max_connections": "200"}
        words += [f"-c{name}={value}" for name, value in given.items()]
        self["db"].do("chmod", "777", DISK)
        self.programs["db"] = self["db"].start(*_AS_POSTGRES, str(_postgres("postgres")), *words)

    def restore(self) -> None:
        """Plug in what is unplugged, start what does not run; only on the client."""
        self.code = dict.fromkeys(APPS, ROOT)
        mended = [name for name, machine in self.machines.items() if machine.mend()]
        if "cache" in mended:
            # The apps ask it again after a while that grows: half a minute is too long for us.
            for name in APPS:
                self[name].kill_all()
                self.programs[name].wait()
        for name, start in (("db", self.start_database), ("cache", self.start_cache)):
            if not self.programs[name].runs:
                start()
        self.wait_for_database()
        for name in APPS:
            if not self.programs[name].runs:
                self.start_app(name)
        for name in APPS:
            self.wait_for_app(name)
        if mended and "cache" not in mended:
            # So long nobody asks Redis again that did not answer.
            time.sleep(2.5)

    def wait_for_database(self) -> None:
        """Until it takes statements; only on the client."""

        def asks() -> bool:
            with psycopg.connect(DATABASE, connect_timeout=2):
                return True

        _until(asks)

    def start_cache(self) -> None:
        words = ["--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", DISK]
        self.programs["cache"] = self["cache"].start(str(program_at("redis-server")), *words)

    def start_edge(self) -> None:
        text = (ROOT / "deploy" / "nginx.conf").read_text()
        [line] = re.findall(r"    server 127\.0\.0\.1:3000.*\n", text)
        lines = "".join(line.replace("127.0.0.1", ADDRESSES[name]) for name in APPS)
        text = text.replace(line, lines).replace("/var/log/nginx/", f"{self.folder}/")
        cert, key = self._files[NAME]
        text = re.sub(r"(ssl_certificate +)[^;]+", rf"\1{cert}", text)
        text = re.sub(r"(ssl_certificate_key +)[^;]+", rf"\1{key}", text)
        site, whole = self.folder / "apiary.conf", self.folder / "nginx.conf"
        site.write_text(text)
        whole.write_text(
            f"daemon off; pid {DISK}/pid; error_log {self.folder}/edge.log; user root;"
            f" events {{ worker_connections 4096; }} http {{ include {site}; }}"
        )
        self.programs["edge"] = self["edge"].start(
            str(program_at("nginx")), "-p", DISK, "-c", str(whole)
        )

    def start_app(self, name: str) -> None:
        """As ``make run``, at an address that the others reach; what it runs is in ``code``."""
        command = _serve()._server("wsgi:app", ["0.0.0.0:3000"], "apiary.host.gunicorn.Worker")
        self.programs[name] = self[name].start(*command, env=self.environ(name), at=self.code[name])

    def wait_for_app(self, name: str) -> None:
        """Until it may be asked; only on the client."""
        with self.client() as http:
            _until(lambda: http.get(f"{AT[name]}/readyz").is_success)

    def flask(self, name: str, *words: str) -> list[str]:
        """An operator's command, with the code of that machine."""
        where = ["env", f"--chdir={self.code[name]}", sys.executable, "-m", "flask"]
        return [*where, "--app", "wsgi", "apiary", *words]

    def environ(self, name: str) -> dict[str, str]:
        secret, key = self._keys
        return _clean() | {
            **_serve()._MEMORY,
            "PYTHONPATH": str(self.code[name]),
            "SSL_CERT_FILE": str(self.authorities),
            "APIARY_INSTANCE_PATH": f"{DISK}/instance",
            "APIARY_PUBLIC_URL": URL,
            "APIARY_PROXY_HOPS": "1",
            "APIARY_DATABASE_URL": DATABASE,
            "APIARY_REDIS_URL": REDIS,
            "APIARY_SECRET_KEY": secret,
            "APIARY_ENCRYPTION_KEYS": f"k1:{key.decode().rstrip('=')}",
            "OPENROUTER_OAUTH": "1",
            **self._settings,
        }

    def client(self) -> httpx.Client:
        """A browser without a window; use it on the client only."""
        context = ssl.create_default_context(cafile=str(self.authorities))
        headers = {"Referer": f"{URL}/", "Origin": URL}
        transport = _Way(verify=context, limits=httpx.Limits(max_connections=None))
        return httpx.Client(transport=transport, headers=headers, timeout=60)

    def sandbox(self, **switches: object) -> None:
        """Set switches of the sandbox; only on the client."""
        with self.client() as http:
            assert http.post("https://openrouter.ai/sandbox", data=switches).status_code == 303

    def sql(self, statement: str, *values: object) -> list[tuple]:
        """What the database says; only on the client."""
        with psycopg.connect(DATABASE, connect_timeout=5) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(REDIS, socket_timeout=5)

    def copy_code(self) -> Path:
        """A copy of what the app is made of, to be changed."""
        copy = self.folder / f"code-{secrets.token_hex(4)}"
        for name in ("apiary", "static", "templates"):
            shutil.copytree(ROOT / name, copy / name)
        shutil.copy(ROOT / "wsgi.py", copy)
        return copy


class _Way(httpx.HTTPTransport):
    """Leads to the machines whatever name stands in the address, as nginx would ask them."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url, headers = request.url, request.headers.copy()
        extensions = dict(request.extensions)
        if url.port is None or url.port < 1000:
            machine = "openrouter" if url.host == "openrouter.ai" else "edge"
            extensions["sni_hostname"] = url.host
            url = url.copy_with(host=ADDRESSES[machine])
        else:
            name = APPS[url.port - 1001]
            url = url.copy_with(scheme="http", host=ADDRESSES[name], port=3000)
            headers.update({"Host": NAME, "X-Forwarded-Host": NAME, "X-Forwarded-Proto": "https"})
            headers.setdefault("X-Forwarded-For", ADDRESSES["client"])
        way = httpx.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=extensions
        )
        return super().handle_request(way)


_AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")


def _postgres(name: str) -> Path | None:
    """A program of the newest PostgreSQL server here; Debian keeps them out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    there = shutil.which(name)
    return found[-1] if found else Path(there) if there else None


def _serve() -> ModuleType:
    """What ``make run`` runs: scripts/serve.py."""
    spec = importlib.util.spec_from_file_location("serve", ROOT / "scripts" / "serve.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _clean() -> Mapping[str, str]:
    ours = ("APIARY_", "OPENROUTER", "SANDBOX_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _until(asks: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if asks():  # type: ignore[operator]
                return
        except (httpx.HTTPError, psycopg.Error):
            pass
        assert time.monotonic() < end, "it does not answer"
        time.sleep(0.05)
