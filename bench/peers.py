"""What users would run instead: LiteLLM's proxy and Open WebUI, each in a venv of its own.

    python bench/peers.py install     four minutes and 4 GB, into ~/.cache/apiary-bench
    python bench/peers.py show        what is there
    python bench/peers.py remove

BENCH_PEERS names another folder. Both run as their makers' quick start has it: one process,
SQLite or nothing. What would look something up on the internet is off, and so is what would
ask the model more than the user did (titles, tags, follow-up questions): all of it makes the
neighbours lighter. Open WebUI loads no local embedding model.
"""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streams
import world

FOLDER = Path(os.environ.get("BENCH_PEERS") or Path.home() / ".cache" / "apiary-bench")
PATIENCE = 180  # seconds until a neighbour must answer for the first time
LITELLM = "1.106.12"
OPEN_WEBUI = "0.12.4"
EMAIL, PASSWORD = "bench@example.com", "only for measuring"
_OUTSIDE = ("PATH", "LANG", "LC_ALL", "TMPDIR")


@dataclass(frozen=True)
class Peer:
    """``requirements`` are installed one after the other, in their order."""

    name: str
    version: str
    requirements: tuple[str, ...]
    serve: "Callable[[Path, int], contextlib.AbstractContextManager[Running]]"

    @property
    def place(self) -> Path:
        return FOLDER / self.name

    @property
    def ready(self) -> bool:
        return (self.place / "installed").is_file() and self._stamp() == self.version

    def _stamp(self) -> str:
        return (self.place / "installed").read_text().strip()

    def size(self) -> float:
        """MB on the disk."""
        files = (f for f in self.place.rglob("*") if f.is_file() and not f.is_symlink())
        return sum(f.stat().st_size for f in files) / 1e6


@dataclass(frozen=True)
class Running:
    """A neighbour that answers, and the ways in which it can be asked, each by its name."""

    server: world.Server
    ways: dict[str, streams.Client]
    token: str = ""


@contextlib.contextmanager
def litellm(folder: Path, mock: int) -> Iterator[Running]:
    """LiteLLM's proxy with a master key and no database, which is its quick start."""
    port, config = world.free_port(), folder / "litellm.yaml"
    where = {"model": "openai/*", "api_base": f"http://127.0.0.1:{mock}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "*", "litellm_params": where}],
        "general_settings": {"master_key": "sk-bench"},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML.
    command = [str(PEERS["litellm"].place / "bin" / "litellm"), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    environ = _environ(folder) | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    ready = "/health/liveliness"
    with world.serve(command, port, ready, folder / "log", environ, folder, PATIENCE) as server:
        people = _headers(folder / "litellm.people", "sk-bench")
        how = ("/v1/chat/completions", streams.OPENAI[1])
        client = streams.Target(folder, port, how, server.pids, people, light=True)
        yield Running(server, {"litellm": client})


@contextlib.contextmanager
def open_webui(folder: Path, mock: int) -> Iterator[Running]:
    """Open WebUI on SQLite, with one administrator, for whom it checks the least."""
    port, home = world.free_port(), folder / "open-webui"
    home.mkdir(exist_ok=True)
    command = [str(PEERS["open-webui"].place / "bin" / "open-webui"), "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environ = _environ(home) | {
        "DATA_DIR": str(home / "data"),
        "STATIC_DIR": str(home / "static"),
        "WEBUI_SECRET_KEY": "only for measuring, only for measuring",
        "WEBUI_ADMIN_EMAIL": EMAIL,
        "WEBUI_ADMIN_PASSWORD": PASSWORD,
        "OPENAI_API_BASE_URL": f"http://127.0.0.1:{mock}/v1",
        "OPENAI_API_KEY": "none",
        "ENABLE_OLLAMA_API": "False",
        "OFFLINE_MODE": "True",
        "HF_HUB_OFFLINE": "1",
        "RAG_EMBEDDING_ENGINE": "openai",
        "ENABLE_VERSION_UPDATE_CHECK": "False",
        "ANONYMIZED_TELEMETRY": "False",
        "DO_NOT_TRACK": "true",
        "ENABLE_TITLE_GENERATION": "False",
        "ENABLE_TAGS_GENERATION": "False",
        "ENABLE_FOLLOW_UP_GENERATION": "False",
        "GLOBAL_LOG_LEVEL": "WARNING",
    }
    with world.serve(command, port, "/health", folder / "log", environ, home, PATIENCE) as server:
        token = ask(port, "/api/v1/auths/signin", {"email": EMAIL, "password": PASSWORD})["token"]
        # Else its news of this version lies over the page.
        quiet = {"ui": {"version": OPEN_WEBUI, "showChangelog": False, "showUpdateToast": False}}
        ask(port, "/api/v1/users/user/settings/update", quiet, token)
        ask(port, "/api/models", None, token)
        people = _headers(folder / "open-webui.people", token)
        how = ("/api/chat/completions", streams.OPENAI[1])
        ways: dict[str, streams.Client] = {
            "open-webui": streams.Target(folder, port, how, server.pids, people, light=True),
            "open-webui, kept": streams.Sockets(port, server.pids, token),
        }
        yield Running(server, ways, token)


PEERS = {
    peer.name: peer
    for peer in (
        Peer("litellm", LITELLM, (f"litellm[proxy]=={LITELLM}",), litellm),
        # With PyTorch's CPU build on the disk or in pip's settings it stays at 3 GB.
        Peer("open-webui", OPEN_WEBUI, ("torch==2.13.0", f"open-webui=={OPEN_WEBUI}"), open_webui),
    )
}


def installed() -> list[Peer]:
    return [peer for peer in PEERS.values() if peer.ready]


def ask(port: int, path: str, body: Any = None, token: str = "") -> Any:
    """Asks Open WebUI for JSON; POST where there is a body.

    :raises RuntimeError: it said no.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    payload = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, payload, headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"{path} answered {response.status}: {text[:200]!r}")
    return json.loads(text)


def _environ(home: Path) -> dict[str, str]:
    """As little as possible of what is set here, and no home of anybody's."""
    kept = {name: os.environ[name] for name in _OUTSIDE if name in os.environ}
    return kept | {"HOME": str(home)}


def _headers(path: Path, token: str) -> Path:
    path.write_text(f"Authorization: Bearer {token}\n")
    return path


def install() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for peer in PEERS.values():
        if peer.ready:
            print(f"{peer.name} {peer.version} is there.")
            continue
        print(f"Installing {peer.name} {peer.version} into {peer.place} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", peer.place], check=True)
        python = str(peer.place / "bin" / "python")
        for wanted in (("-U", "pip"), *((one,) for one in peer.requirements)):
            done = subprocess.run([python, "-m", "pip", "install", "-q", *wanted])
            if done.returncode:
                print(f"{peer.name} could not be installed: see above.", file=sys.stderr)
                return 1
        (peer.place / "installed").write_text(peer.version)
    return 0


def main() -> int:
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    if what == "install":
        return install()
    if what == "show":
        for peer in PEERS.values():
            state = f"{peer.size():,.0f} MB" if peer.ready else "not installed"
            print(f"{peer.name} {peer.version}: {state}, {peer.place}")
        return 0
    if what == "remove":
        for peer in PEERS.values():
            shutil.rmtree(peer.place, ignore_errors=True)
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
