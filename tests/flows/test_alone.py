"""One bundle behind a server of its own: no project, no record, and nobody else's answers."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rivals.errors import BundleError, RivalsError, SpecError
from rivals.flows.alone import read_places, serve_alone
from rivals.flows.serve import serve_project
from tests.flows.test_serve import workspace_of
from tests.serve.stage import ROW, bundle, free_port, infer, raw, wait_until
from tests.serve.stage import ask as put


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., tuple[int, Path]]]:
    """Start `rivals serve-bundle`: its port and its log; it ends with the test and leaves nothing behind."""
    running: list[subprocess.Popen[bytes]] = []
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def start(folder: Path, *words: str, **env: str) -> tuple[int, Path]:
        port, log = free_port(), tmp_path / f"{len(running)}.log"
        command = [sys.executable, "-m", "rivals", "serve-bundle", str(folder), "--port", str(port), *words]
        with log.open("ab") as stderr:
            running.append(subprocess.Popen(command, stderr=stderr, env={**os.environ, "TMPDIR": str(scratch), **env}))
        return port, log

    yield start
    for process in running:
        process.terminate()
        process.wait(20)
    assert not list(scratch.glob("rivals-*"))


def ask(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, str], object]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        return put(connection, method, path, body, **headers)


def test_a_bundle_answers_without_a_project_and_nothing_is_written_down(
    tmp_path: Path, alone: Callable[..., tuple[int, Path]]
) -> None:
    digest = bundle(tmp_path / "bundles", 1.0)
    port, log = alone(tmp_path / "bundles" / digest, "--name", "strong", RIVALS_TOKEN="secret")
    wait_until(lambda: "worker.started" in log.read_text(), 30, log)
    known = {"Authorization": "Bearer secret"}
    assert ask(port, "GET", "/v2/health/ready")[0] == 200
    assert ask(port, "POST", "/v2/models/strong/infer", infer(ROW))[0] == 401
    for _ in range(20):
        status, told, _ = ask(port, "POST", f"/v2/models/strong/versions/{digest[:12]}/infer", infer(ROW), **known)
        assert (status, told["x-rivals-variant"]) == (200, digest[:12])
    status, _, said = ask(port, "POST", "/v2/feedback", {"id": "a/0", "label": 1}, **known)
    assert status == 404
    assert "feedback goes to the router" in str(said)
    assert not list((tmp_path / "scratch").rglob("*.log"))


def test_a_bundle_that_answers_its_probe_otherwise_never_listens_and_says_why(
    tmp_path: Path, alone: Callable[..., tuple[int, Path]]
) -> None:
    port, log = alone(tmp_path / "bundles" / bundle(tmp_path / "bundles", 1.0, spoilt=True))
    wait_until(lambda: "answers its probe" in log.read_text(), 30, log)
    with pytest.raises(OSError, match="refused"):
        raw(port, b"GET /v2/health/ready HTTP/1.1\r\n\r\n")


def test_what_is_no_bundle_is_refused_at_once(tmp_path: Path) -> None:
    def start(folder: Path, name: str = "m", host: str = "127.0.0.1") -> None:
        serve_alone(folder, name, host=host, port=0, grpc_port=0, workers=1, say=print)

    with pytest.raises(BundleError, match="called by its digest"):
        start(tmp_path)
    with pytest.raises(BundleError, match="cannot be read"):
        start(tmp_path / ("a" * 64))
    with pytest.raises(SpecError, match="part of a URL"):
        start(tmp_path, "a/b")
    with pytest.raises(RivalsError, match="open to others"):
        start(tmp_path / bundle(tmp_path, 0.0), host="0.0.0.0")


def test_places_are_read_by_variant() -> None:
    words = ["boosted=http://b:8080/boosted", "Big=https://[::1]/big-net"]
    assert read_places(words, ["boosted", "Big"]) == {
        "boosted": "http://b:8080/boosted",
        "Big": "https://[::1]/big-net",
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["bosted=http://b/m"], "no variant 'bosted'. Did you mean 'boosted'"),
        (["boosted"], "write it as boosted=http://host:8080/boosted"),
        (["boosted=http://b:8080"], "the model's name last"),
        (["boosted=http://b:8080/m/versions/2"], "write it as"),
        (["boosted=http://me:word@b/m"], "write it as"),
        (["boosted=ftp://b/m"], "write it as"),
        (["boosted=http://b/m", "boosted=http://c/m"], "has a place already, http://b/m"),
    ],
)
def test_a_place_that_is_none_is_refused_by_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(SpecError) as refused:
        read_places(words, ["boosted", "old"])
    assert sentence in str(refused.value)


def test_a_place_of_an_unknown_variant_stops_the_router_before_it_begins(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path)
    with pytest.raises(SpecError, match="no variant 'b'"):
        serve_project(
            workspace, host="127.0.0.1", port=0, workers=1, control_port=0, grpc_port=0,
            places=["b=http://b/b"], tls=None, clock="wall", say=print,
        )  # fmt: skip
    assert not (workspace.state / "store.db").exists()
