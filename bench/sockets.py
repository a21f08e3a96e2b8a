"""Asks Open WebUI as its own page does: answers come by a web socket, and are kept.

Prints what loadgen prints, and takes the same letters. One socket follows all answers of one
user, which costs the server less than one for each reader would.
"""

import argparse
import base64
import http.client
import json
import os
import re
import resource
import socket
import struct
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

_FOR = re.compile(rb'"message_id":"([0-9a-f-]{36})"')
_TOKEN = re.compile(rb"~([0-9a-f]{16})~")


@dataclass
class Asked:
    begun: int
    tokens: int = 0
    first: int = 0
    failed: bool = False
    over: threading.Event = field(default_factory=threading.Event)


class Follower:
    """The socket, read by one thread. Engine.IO 4 and Socket.IO 5, as far as they are needed."""

    def __init__(self, port: int, token: str) -> None:
        self.asked: dict[bytes, Asked] = {}
        self.late: list[float] = []  # seconds between the upstream's write and our read
        self.window = (0, 1 << 63)  # of the upstream's clock, in ns
        self._buffer = b""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            "GET /ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(f"no web socket: {head[:200]!r}")
        self._send(b"40" + json.dumps({"token": token}).encode())
        while not (frame := self._frame()).startswith(b"40"):
            if frame.startswith(b"44"):
                raise RuntimeError(f"refused: {frame[:200]!r}")
        self.id = json.loads(frame[2:])["sid"]
        self._socket.settimeout(None)
        threading.Thread(target=self._read, daemon=True).start()

    def _fill(self) -> None:
        more = self._socket.recv(1 << 18)
        if not more:
            raise ConnectionError("the web socket was closed")
        self._buffer += more

    def _frame(self) -> bytes:
        """One message of the server, which never masks."""
        while True:
            buffer = self._buffer
            if len(buffer) >= 2:
                size, at = buffer[1] & 127, 2
                if size == 126 and len(buffer) >= 4:
                    size, at = struct.unpack(">H", buffer[2:4])[0], 4
                elif size == 127 and len(buffer) >= 10:
                    size, at = struct.unpack(">Q", buffer[2:10])[0], 10
                elif size > 125:
                    size = 1 << 62
                if len(buffer) >= at + size:
                    self._buffer = buffer[at + size :]
                    return buffer[at : at + size]
            self._fill()

    def _send(self, text: bytes) -> None:
        mask = os.urandom(4)
        size = struct.pack(">BB", 129, 128 | len(text)) if len(text) < 126 else (
            struct.pack(">BBH", 129, 254, len(text))
        )  # fmt: skip
        self._socket.sendall(size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text)))

    def _read(self) -> None:
        while True:
            frame = self._frame()
            now = time.monotonic_ns()
            if frame == b"2":
                self._send(b"3")
                continue
            found = _FOR.search(frame)
            asked = self.asked.get(found[1]) if found else None
            if asked is None:
                continue
            if b'"delta":' in frame:
                for match in _TOKEN.finditer(frame):
                    asked.tokens += 1
                    asked.first = asked.first or now
                    sent = int(match[1], 16)
                    if self.window[0] <= sent <= self.window[1]:
                        self.late.append((now - sent) / 1e9)
            elif b'"done":true' in frame or b'"chat:message:error"' in frame:
                asked.failed = b'"done":true' not in frame
                asked.over.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for letter, kind, default in (
        ("p", int, 0), ("h", str, ""), ("b", str, ""), ("n", int, 1), ("t", int, 0),
        ("r", float, 0), ("w", str, ""), ("T", float, 60), ("W", int, 0),
    ):  # fmt: skip
        if letter != "h":
            parser.add_argument(f"-{letter}", type=kind, default=default)
    parser.add_argument("--token", required=True)
    chosen = parser.parse_args()
    ask = json.loads(chosen.b)
    follower = Follower(chosen.p, chosen.token)
    began = time.monotonic_ns()
    if chosen.w:
        window = [began + int(float(ms) * 1e6) for ms in chosen.w.split(",")]
        follower.window = (window[0], window[1])
    left = iter(range(chosen.t or chosen.n))
    lock, ended, bad = threading.Lock(), [], [0]

    def one() -> None:
        number, answer = str(uuid.uuid4()), str(uuid.uuid4())
        user = {"id": number, "parentId": None, "childrenIds": [answer], "role": "user"}
        user |= {"content": ask["messages"][-1]["content"], "timestamp": int(time.time())}
        body: dict[str, Any] = ask | {"session_id": follower.id, "id": answer, "parent_id": None}
        body |= {"user_message": user | {"models": [ask["model"]]}, "background_tasks": {}}
        asked = follower.asked[answer.encode()] = Asked(time.monotonic_ns())
        connection = http.client.HTTPConnection("127.0.0.1", chosen.p, timeout=chosen.T)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {chosen.token}"}
        try:
            connection.request("POST", "/api/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            told = response.read()
            if response.status != 200:
                bad[0] += 1
                if bad[0] == 1:
                    print(f"Open WebUI answered {response.status}: {told!r}"[:300], file=sys.stderr)
                return
        finally:
            connection.close()
        rest = chosen.T - (time.monotonic_ns() - began) / 1e9
        if asked.over.wait(max(0.0, rest)) and not asked.failed:
            ended.append((time.monotonic_ns(), asked))

    def worker(number: int) -> None:
        time.sleep(chosen.r / 1000 * number / chosen.n)
        while (time.monotonic_ns() - began) / 1e9 < chosen.T:
            with lock:
                if next(left, None) is None:
                    return
            try:
                one()
            except OSError:
                bad[0] += 1

    threading.stack_size(256 * 1024)
    threads = [threading.Thread(target=worker, args=(n,)) for n in range(chosen.n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = list(follower.asked.values())
    tokens = sum(asked.tokens for asked in every)
    wall = (max((at for at, _ in ended), default=time.monotonic_ns()) - began) / 1e9
    whole = sum(asked.tokens >= chosen.W for _, asked in ended)
    used = resource.getrusage(resource.RUSAGE_SELF)
    first = [(asked.first - asked.begun) / 1e6 for asked in every if asked.first]
    result = {
        "ok": whole, "bad_status": bad[0], "bad_early": 0, "bad_conn": 0,
        "bad_short": len(ended) - whole, "timeouts": len(every) - len(ended) - bad[0],
        "tokens": tokens, "wall_s": wall, "tok_per_s": tokens / wall if wall else 0,
        "client_cpu_s": used.ru_utime + used.ru_stime,
        "ttft_ms": _spread(first), "lat_ms": _spread([late * 1000 for late in follower.late]),
    }  # fmt: skip
    print(json.dumps(result))


def _spread(values: list[float]) -> dict[str, float]:
    values.sort()

    def at(part: float) -> float:
        return values[int(part * (len(values) - 1) + 0.5)] if values else -1.0

    return {"n": len(values), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1)}


if __name__ == "__main__":
    main()
