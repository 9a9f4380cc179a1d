"""A variant that only its own pipeline answers, behind the endpoint: it may die or hang, and every client is answered."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from rivals.flows.workspace import open_workspace

from .conftest import Server, a_row, infer, rivals, wait_until

CUBE = """

def cube(block):
    return np.asarray(block) ** 3
"""
FEATURES = """features:
  cubed: [{use: impute, with: {columns: numeric}}, {use: function, with: {function: "toy:cube", columns: numeric}}, {use: encode, with: {columns: [color]}}]
"""
ENSEMBLE = """variants:
  - {name: odd, features: cubed, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: spread, family: ensemble, members: [weak, odd], with: {deadline_ms: 400, quorum: 1, combiner: {use: mean, with: {weights: {weak: 3, odd: 1}}}}}
"""
VARIANT = """variants:
  - {name: odd, features: cubed, family: sklearn, with: {estimator: LogisticRegression}}
"""
RULE = """  champion: weak
  policy: {use: match, with: {rules: [{when: {header: X-Tier, is: odd}, to: odd}]}}
"""
INFER = "/v2/models/toy/infer"


@pytest.fixture
def odd(project: Path) -> Path:
    """The toy project with a variant whose steps hold a function of the user's."""
    (project / "toy.py").write_text((project / "toy.py").read_text() + CUBE)
    file = project / "rivals.yaml"
    text = file.read_text()
    for old, new in (("features:\n", FEATURES), ("variants:\n", VARIANT), ("  champion: weak\n", RULE)):
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)
    done = rivals("train", "--variant", "odd", cwd=project)
    assert done.returncode == 0, done.stderr
    return project


def processes() -> set[int]:
    """Those of child variants, of whichever worker."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"rivals.flows.child" in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_variant_in_a_process_of_its_own_answers_as_its_pipeline_did_and_its_death_is_nobodys_error(
    odd: Path, serve: Callable[..., Server]
) -> None:
    bench = open_workspace(odd)
    trained = bench.trained("odd")
    assert trained.runtime == "child"
    before = processes()
    server = serve(odd, workers=1)
    (pid,) = processes() - before

    def ask(number: int, tier: str = "odd") -> tuple[str, bool]:
        status, told, body = server.request("POST", INFER, infer(a_row(number)), X_Tier=tier)
        assert status == 200, body
        degraded = told.get("x-rivals-degraded") == "true"
        return told["x-rivals-variant"], degraded

    probe = json.loads((bench.blobs.path(trained.digest) / "probe.json").read_text())
    rows = [dict(zip(probe["columns"], values, strict=True)) for values in zip(*probe["columns"].values(), strict=True)]
    for row, expected in zip(rows, probe["outputs"], strict=True):
        given = {name: value for name, value in row.items() if value is not None or name == "c"}
        if given.keys() == row.keys():
            _, told, body = server.request("POST", INFER, infer(row), X_Tier="odd")
            assert told["x-rivals-variant"] == "odd"
            assert body["outputs"][0]["data"] == pytest.approx(expected, abs=1e-6)

    os.kill(pid, signal.SIGSTOP)  # it hangs
    assert {ask(number) for number in range(8)} == {("weak", True)}
    assert ask(0, "none") == ("weak", False)
    os.kill(pid, signal.SIGKILL)  # it dies
    for number in range(20):
        assert ask(number)[0] in {"weak", "odd"}
    wait_until(lambda: ask(1)[0] == "odd", 60, server.log)  # it is started again
    assert pid not in processes()
    server.stop()
    wait_until(lambda: not processes() - before, 10)


@pytest.mark.slow
def test_an_ensemble_answers_without_the_member_that_hangs_or_dies(project: Path, serve: Callable[..., Server]) -> None:
    (project / "toy.py").write_text((project / "toy.py").read_text() + CUBE)
    file = project / "rivals.yaml"
    text = file.read_text().replace("features:\n", FEATURES, 1).replace("variants:\n", ENSEMBLE, 1)
    file.write_text(text.replace("  champion: weak\n", "  champion: spread\n", 1))
    done = rivals("train", "--variant", "spread", cwd=project)
    assert done.returncode == 0, done.stderr
    bench = open_workspace(project)
    assert bench.trained("spread").runtime == "fanout"
    before = processes()
    server = serve(project, workers=1)
    (pid,) = processes() - before

    def ask(number: int) -> bool:
        status, told, body = server.request("POST", INFER, infer(a_row(number)))
        assert status == 200, body
        assert told["x-rivals-variant"] == "spread"
        return told.get("x-rivals-degraded") == "true"

    wait_until(lambda: not ask(0), 30, server.log)
    os.kill(pid, signal.SIGSTOP)  # it hangs
    assert all(ask(number) for number in range(8))
    os.kill(pid, signal.SIGKILL)  # it dies
    for number in range(20):
        ask(number)
    wait_until(lambda: not ask(1), 60, server.log)  # it is started again
    assert pid not in processes()
    _, _, text = server.request("GET", "/metrics")
    assert 'rivals_degraded_total{endpoint="toy",variant="spread",reason="partial"}' in str(text)
    server.stop()
    wait_until(lambda: not processes() - before, 10)
