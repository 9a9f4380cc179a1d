"""Prometheus and Alertmanager beside the demo, where they are installed; stopped with it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rivals

PROMETHEUS, ALERTMANAGER = 9090, 9093  # ports that everyone knows them by


@contextmanager
def watched(project: rivals.Project) -> Iterator[None]:
    """Start them over what ``rivals export monitoring`` writes, and stop them at the end."""
    folder = project.workspace.state / "monitoring"
    project.export_monitoring(folder)
    alerts = ["--config.file=alertmanager.yml", f"--storage.path={folder / 'alerts'}", "--cluster.listen-address="]
    series = ["--config.file=prometheus.yml", f"--storage.tsdb.path={folder / 'series'}"]
    series += ["--enable-feature=exemplar-storage"]
    with ExitStack() as stack:
        for names, port, words in (
            (("prometheus",), PROMETHEUS, series),
            (("prometheus-alertmanager", "alertmanager"), ALERTMANAGER, alerts),
        ):
            stack.enter_context(_running(folder, names, port, words))
        yield


@contextmanager
def _running(folder: Path, names: Sequence[str], port: int, words: Sequence[str]) -> Iterator[None]:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None or not _free(port):
        why = f"port {port} is taken" if found else "it is not installed; `make parts` brings it"
        print(f"{names[0]}: {why}", file=sys.stderr)
        yield
        return
    command = [found, *words, f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / f"{names[0]}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    print(f"{names[0]}: http://127.0.0.1:{port}", file=sys.stderr)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
