"""Counters of this process, as Prometheus reads them."""

import os
import threading
from typing import Any

from flask import Flask, Response, request

from apiary import attempt_ended, connected, database, disconnected, rejected

from . import logs
from .state import here

_HELP = {
    "requests": ("counter", "Requests by route and status."),
    "request_seconds": ("counter", "Seconds from requests to the headers of their answers."),
    "answers": ("counter", "Answers of models by the state they ended in."),
    "upstream_errors": ("counter", "Answers that ended in an error, by its code."),
    "connections": ("counter", "Connections that were made, lost and ended."),
    "connect_attempts": ("counter", "Attempts to connect by OAuth, by how they ended."),
    "answers_running": ("gauge", "Answers that are being written."),
    "database_connections": ("gauge", "Database connections of the pool."),
}
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What one process has counted since it began. Every line says which process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], float] = {}

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        key = name, tuple(sorted(labels.items()))
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + by

    def text(self, **gauges: dict[Labels, float]) -> str:
        """All of it in Prometheus' text format."""
        with self._lock:
            found = dict(self._counts)
        for name, values in gauges.items():
            found |= {(name, labels): value for labels, value in values.items()}
        lines = []
        for name, (kind, told) in _HELP.items():
            full = f"apiary_{name}" + ("_total" if kind == "counter" else "")
            lines += [f"# HELP {full} {told}", f"# TYPE {full} {kind}"]
            lines += [
                f"{full}{_labels(labels)} {value:.3f}".removesuffix(".000")
                for (of, labels), value in sorted(found.items())
                if of == name
            ]
        return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    # Asked now and not at the start: a server may fork between.
    parts = (*labels, ("process", str(os.getpid())))
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in parts) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def register(app: Flask) -> None:
    """Count the requests of an app; signals find it by themselves."""

    @app.after_request
    def _count(response: Response) -> Response:
        metrics = here().metrics
        route = request.url_rule.rule if request.url_rule else "-"
        method = request.method if request.method in _METHODS else "other"
        metrics.count("requests", method=method, route=route, status=str(response.status_code))
        metrics.count("request_seconds", by=logs.elapsed(), route=route)
        return response


def gauges() -> dict[str, dict[Labels, float]]:
    """What is so at this moment."""
    pool = database.obj
    lent, idle = getattr(pool, "_in_use", None), getattr(pool, "_connections", None)
    found: dict[str, dict[Labels, float]] = {
        "answers_running": {(): float(len(here().answers.all_running()))}
    }
    if lent is not None and idle is not None:
        found["database_connections"] = {
            (("state", "in use"),): float(len(lent)),
            (("state", "idle"),): float(len(idle)),
        }
    return found


def _tell(sender: Flask, name: str, by: float = 1, **labels: str) -> None:
    # One process may hold other apps too that Apiary is mounted in.
    host = sender.extensions.get("apiary.host")
    if host is not None:
        host.metrics.count(name, by, **labels)


@connected.connect
def _connected(sender: Flask, source: str, **_: Any) -> None:
    _tell(sender, "connections", outcome="connected", source=source)


@rejected.connect
def _rejected(sender: Flask, **_: Any) -> None:
    _tell(sender, "connections", outcome="rejected", source="")


@disconnected.connect
def _disconnected(sender: Flask, **_: Any) -> None:
    _tell(sender, "connections", outcome="disconnected", source="")


@attempt_ended.connect
def _ended(sender: Flask, outcome: str, count: int, **_: Any) -> None:
    _tell(sender, "connect_attempts", by=count, outcome=outcome)
