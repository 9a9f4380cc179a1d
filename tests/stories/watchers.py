"""Those who watch an endpoint: Prometheus and Alertmanager as processes, and who listens on loopback in others' stead."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import urllib.parse
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.parts import part

from .conftest import free_port, wait_until


class Watcher:
    """A process with a web page on a free port of loopback, ended by its id."""

    def __init__(self, folder: Path, port: int, words: list[str]) -> None:
        self.port, self.log = port, folder / f"{Path(words[0]).name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
        wait_until(lambda: self.get("/-/ready")[0] == 200, 60, self.log)

    def get(self, path: str) -> tuple[int, bytes]:
        with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read()
        return 0, b""

    def ask(self, expr: str) -> list[Any]:
        """An instant query: labels, time and value of what it finds. Fails where Prometheus refuses it."""
        status, raw = self.get(f"/api/v1/query?query={urllib.parse.quote(expr)}")
        assert status == 200, (expr, raw)
        found: list[Any] = json.loads(raw)["data"]["result"]
        return found

    def value(self, expr: str) -> float:
        """Of a query that finds one thing; 0 where it finds none."""
        found = self.ask(expr)
        return float(found[0]["value"][1]) if found else 0.0

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def prometheus(folder: Path, port: int) -> Watcher:
    """Over ``prometheus.yml`` in the folder."""
    words = [part("prometheus"), "--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'series'}"]
    return Watcher(
        folder, port, [*words, f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"]
    )


def alertmanager(folder: Path, port: int) -> Watcher:
    """Over ``alertmanager.yml`` in the folder."""
    words = [part("prometheus-alertmanager", "alertmanager"), "--config.file=alertmanager.yml"]
    words += [f"--storage.path={folder / 'alerts'}", "--cluster.listen-address="]
    return Watcher(folder, port, [*words, f"--web.listen-address=127.0.0.1:{port}"])


class Listener:
    """Takes whatever is posted to it: a webhook, a collector of traces."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Takes(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Agent:
    """Listens as Datadog's agent does."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._link.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def counted(self, name: str) -> float:
        """What all counts of a metric add up to."""
        counts = [one.split("|")[0].rsplit(":", 1) for one in list(self.lines) if "|c|" in one]
        return sum(float(value) for one, value in counts if one == name)

    def stop(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.sendto(b"", self._link.getsockname())
        self._thread.join()
        self._link.close()

    def _listen(self) -> None:
        while raw := self._link.recv(65_536):
            self.lines += raw.decode().split("\n")


__all__ = ["Agent", "Listener", "Watcher", "alertmanager", "free_port", "prometheus"]
