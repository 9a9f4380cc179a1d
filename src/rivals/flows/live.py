"""An endpoint of this session: started beside it, asked from it, gone with it."""

from __future__ import annotations

import atexit
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from rivals.errors import RivalsError
from rivals.tables import Facts, html

if TYPE_CHECKING:
    from rivals.flows.project import Project

PATIENCE = 60.0  # seconds until it answers
GOODBYE = 20.0  # seconds to answer what is in flight


class Serving:
    """A running endpoint. ``url`` is where it answers, ``stop()`` ends it; so does leaving its ``with``."""

    def __init__(self, project: Project, port: int = 0, control_port: int = 0) -> None:
        self.project = project
        self.name = project.workspace.endpoint.name
        self.port, self.control_port = port or _free(), control_port or _free()
        self.log = project.workspace.state / "serve.log"
        words = [sys.executable, "-m", "rivals", "serve", *project.workspace.command]
        words += ["--workers", "1", "--port", str(self.port), "--control-port", str(self.control_port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- ourselves
                words, stdout=log, stderr=log, start_new_session=True
            )
        atexit.register(self.stop)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Where clients send rows: Open Inference Protocol."""
        return f"http://127.0.0.1:{self.port}/v2/models/{self.name}/infer"

    def predict(self, rows: Mapping[str, Sequence[Any]], variant: str | None = None) -> list[list[float]]:
        """Ask it about some rows, given as columns; probabilities by label, or values. Raises ``RivalsError``."""
        inputs = []
        for name, values in rows.items():
            data = [None if value != value else value for value in values]  # noqa: PLR0124 -- NaN travels as null
            kind = "BYTES" if any(isinstance(value, str) for value in data) else "FP64"
            inputs.append({"name": name, "shape": [len(data)], "datatype": kind, "data": data})
        path = f"/v2/models/{self.name}{f'/versions/{variant}' if variant else ''}/infer"
        status, said = self._ask("POST", path, {"inputs": inputs})
        if status != http.client.OK:
            raise RivalsError(str(said.get("error", said)))
        output = said["outputs"][0]
        width = output["shape"][-1] if len(output["shape"]) > 1 else 1
        flat = output["data"]
        return [flat[i : i + width] for i in range(0, len(flat), width)]

    def status(self) -> Facts:
        """What runs: champion, weights, rollout, evidence, counts."""
        return self.project.status()

    def stop(self) -> None:
        """End it; what is in flight is answered first."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GOODBYE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Serving({self.url}, {'running' if self._process.poll() is None else 'stopped'})"

    def _repr_html_(self) -> str:
        return html(
            ["endpoint", "address", "control"], [[self.name, self.url, f"http://127.0.0.1:{self.control_port}"]]
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                lines = self.log.read_text(errors="replace").strip().splitlines()
                raise RivalsError(
                    f"The endpoint did not start: {lines[-1] if lines else 'it said nothing'} ({self.log})"
                )
            try:
                if self._ask("GET", "/v2/health/ready")[0] == http.client.OK and self._control():
                    return
            except OSError:
                pass
            time.sleep(0.05)

    def _control(self) -> bool:
        return self._ask("GET", "/api/clock", port=self.control_port)[0] == http.client.OK

    def _ask(self, method: str, path: str, body: Any = None, port: int = 0) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        try:
            raw = None if body is None else json.dumps(body).encode()
            connection.request(method, path, raw, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else {}
        finally:
            connection.close()


def begin(project: Project, ranked: Sequence[str], challenger: str | None, port: int, control_port: int) -> Serving:
    """Serve the project, and start the challenger: the best variant that is not the champion if none is named."""
    if challenger is not None:
        project.workspace.spec_variant(challenger)
    serving = Serving(project, port, control_port)
    try:
        champion = project.workspace.table().champion
        chosen = challenger or next((name for name in ranked if name != champion), None)
        running = project.workspace.store.active_rollout(serving.name)
        if chosen and chosen != champion and running is None:
            project.start_rollout(chosen)
    except BaseException:
        serving.stop()
        raise
    return serving


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
