"""May a variant go live? The project's gate on offline evidence, before a single request is asked."""

from __future__ import annotations

from dataclasses import dataclass

from rivals import plugins
from rivals.decide.gate import gate, offline, worst
from rivals.flows.compare import compare_project
from rivals.flows.workspace import Workspace
from rivals.protocols import Judge
from rivals.values import Status, Verdict


@dataclass(frozen=True, slots=True)
class GateReport:
    """The worst verdict counts."""

    variant: str
    champion: str
    status: Status
    verdicts: tuple[Verdict, ...]


def gate_project(workspace: Workspace, variant: str | None = None) -> GateReport:
    """Ask the judges under ``gate`` about a variant: the recommended one if none is named."""
    spec = workspace.spec
    wanted = [str(judge.options.get("metric")) for judge in spec.gate if "metric" in judge.options]
    boards = [compare_project(workspace, metric) for metric in dict.fromkeys([spec.measures[0], *wanted])]
    chosen = variant or boards[0].recommended
    trained = workspace.trained(chosen)
    extras = workspace.store.trained_extras(chosen)
    evidence = offline(
        boards, chosen, p50_us=trained.predict_us, p99_us=float(extras.get("p99_us", 0.0)), size=trained.bytes
    )
    verdicts = gate(evidence, [plugins.make(Judge, use) for use in spec.gate])
    return GateReport(chosen, boards[0].champion, worst(verdicts), tuple(verdicts))
