"""A variant behind a server of its own: the same answers, and neither its death nor its exchange is a client's error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rivals.flows.workspace import open_workspace

from .conftest import Server, a_row, free_port, infer, wait_until

INFER = "/v2/models/toy/infer"
RULES = "  policy: {use: match, with: {rules: [{when: {header: X-To, is: boosted}, to: boosted}, {when: {header: X-To, is: blend}, to: blend}]}}\n"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `rivals serve-bundle`, and wait until it listens."""
    running: list[subprocess.Popen[bytes]] = []

    def start(bundle: Path, name: str, port: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "rivals", "serve-bundle", str(bundle), "--name", name, "--port", str(port)]
        log = tmp_path / f"alone-{len(running)}.log"
        with log.open("ab") as stderr:
            running.append(subprocess.Popen(command, stderr=stderr, cwd=tmp_path))
        wait_until(lambda: "worker.started" in log.read_text(), 60, log)
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


@pytest.mark.slow
def test_a_variant_elsewhere_answers_as_here_and_the_champion_stands_in_for_it(
    project: Path, serve: Callable[..., Server], alone: Callable[..., subprocess.Popen[bytes]]
) -> None:
    file = project / "rivals.yaml"
    file.write_text(file.read_text().replace("  champion: weak\n", "  champion: weak\n" + RULES, 1))
    bench = open_workspace(project)
    folders = {name: bench.blobs.path(bench.trained(name).digest) for name in ("weak", "boosted", "blend")}
    ports = {name: free_port() for name in ("boosted", "blend")}
    places = [f"{name}=http://127.0.0.1:{port}/{name}" for name, port in ports.items()]
    there = {name: alone(folders[name], name, port) for name, port in ports.items()}

    def ask(server: Server, to: str, number: int = 0) -> tuple[str, list[float], bool]:
        status, told, body = server.request("POST", INFER, infer(a_row(number)), X_To=to)
        assert status == 200, body
        return told["x-rivals-variant"], body["outputs"][0]["data"], told.get("x-rivals-degraded") == "true"

    here = serve(project, workers=1)
    wanted = {(to, number): ask(here, to, number)[1] for to in ports for number in range(20)}
    here.stop()
    router = serve(project, workers=1, places=places)
    for (to, number), values in wanted.items():
        assert ask(router, to, number) == (to, pytest.approx(values, abs=1e-6), False)
    assert "rivals_" in str(router.request("GET", "/metrics")[2])

    there["boosted"].terminate()  # it dies
    there["boosted"].wait(20)
    assert [ask(router, "boosted", number)[::2] for number in range(8)] == [("weak", True)] * 8
    assert ask(router, "blend")[0] == "blend"
    other = alone(folders["weak"], "boosted", ports["boosted"])  # another bundle comes to live there
    assert [ask(router, "boosted", number)[::2] for number in range(8)] == [("weak", True)] * 8
    router.stop()
    router = serve(project, workers=1, places=places)  # and is not taken for it by one that begins
    problem = router.get("/v2/models/toy")[1]["problem"]
    assert f"'boosted' at http://127.0.0.1:{ports['boosted']}/boosted" in problem
    assert f"Serve bundle {folders['boosted'].name[:12]} there." in problem
    assert ask(router, "none")[0] == "weak"
    other.terminate()
    other.wait(20)
    alone(folders["boosted"], "boosted", ports["boosted"])  # the right one is back
    wait_until(lambda: ask(router, "boosted")[0] == "boosted", 30, router.log)
    assert ask(router, "boosted") == ("boosted", pytest.approx(wanted["boosted", 0], abs=1e-6), False)
