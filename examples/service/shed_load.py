"""
A WSGI middleware that refuses work while memory is short, instead of being killed in the middle.

    python shed_load.py [PORT]    # a small service on wsgiref; any WSGI server will do

Requests get 503 and Retry-After at CRITICAL and worse. A cached check takes tens of nanoseconds, so
it is made for each request. /health always answers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import make_server

import pyarrow as pa

import floodwall

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class ShedLoad:
    """Wraps a WSGI application."""

    def __init__(
        self,
        application: Application,
        monitor: floodwall.MemoryMonitor,
        at: floodwall.MemoryPressureLevel = floodwall.MemoryPressureLevel.CRITICAL,
    ) -> None:
        """Refuse from level ``at`` on."""
        self._application = application
        self._monitor = monitor
        self._at = at
        self.shed = 0
        """Requests refused so far."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, pass on or refuse."""
        if environ.get("PATH_INFO") == "/health":
            verdict = self._monitor.verdict()
            body = {"level": verdict.level.value, "why": verdict.sentence, "shed": self.shed}
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(body).encode()]
        if self._monitor.check_memory_pressure() >= self._at:
            self.shed += 1
            headers = [("Content-Type", "text/plain"), ("Retry-After", "2")]
            start_response("503 Service Unavailable", headers)
            return [b"memory is short, try again\n"]
        return self._application(environ, start_response)


def report(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Do some work whose memory is bounded and whose refusal is an answer."""
    try:
        with floodwall.limit("64MiB", name="report"):
            total = pa.array(range(100_000)).sum().as_py()
    except floodwall.MemoryLimitExceeded as error:
        start_response("507 Insufficient Storage", [("Content-Type", "text/plain")])
        return [str(error).encode()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{total}\n".encode()]


def main() -> None:
    """Serve until interrupted."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    monitor = floodwall.MemoryMonitor(max_pyarrow_mb=1024, min_system_available_mb=64)
    with make_server("127.0.0.1", port, ShedLoad(report, monitor)) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
