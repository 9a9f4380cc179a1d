"""``rivals.Project``: the verbs of the command line as methods that return values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rivals.flows.workspace import open_workspace
from rivals.tables import Entries, Facts

if TYPE_CHECKING:
    from rivals.build.watchdog import Leak
    from rivals.decide.compare import Leaderboard
    from rivals.flows.asked import Asked
    from rivals.flows.autopilot_report import Report
    from rivals.flows.begin import Started
    from rivals.flows.events import BuildReport
    from rivals.flows.fences import Preflight
    from rivals.flows.gated import GateReport
    from rivals.flows.live import Serving
    from rivals.flows.sweep import Sweep
    from rivals.strategy import Strategy
    from rivals.values import Rollout, Trained


class Project:
    """A project file and its verbs: ``Project("rivals.yaml").train()``.

    Every method returns a value; what the command line refuses with a sentence is raised as a ``RivalsError``.
    """

    def __init__(self, file: str | Path | Sequence[str | Path] = "rivals.yaml", settings: Sequence[str] = ()) -> None:
        files = [file] if isinstance(file, (str, Path)) else file
        self.workspace = open_workspace([Path(one) for one in files], settings)

    def __repr__(self) -> str:
        spec = self.workspace.spec
        return f"Project({spec.project!r}, {len(spec.variants)} variants)"

    def plan(self) -> Facts:
        """Every variant, and whether it would be built."""
        from rivals.flows.train import plan_project

        return Facts(plan_project(self.workspace))

    def why(self, variant: str) -> list[str]:
        """Why the variant would be built again, cause by cause."""
        from rivals.flows.train import why_project

        return Entries(why_project(self.workspace, variant))

    def train(self, variants: Sequence[str] = ()) -> BuildReport:
        """Build what is missing, all variants side by side."""
        from rivals.flows.train import train_project

        return train_project(self.workspace, variants)

    def compare(self, metric: str | None = None) -> Leaderboard:
        """Rank the variants from the prediction bank."""
        from rivals.flows.compare import compare_project

        return compare_project(self.workspace, metric)

    def bank(self) -> Asked:
        """The predictions of every built variant, to ask any metric, slice, threshold, test or ensemble of."""
        from rivals.flows.asked import ask

        return ask(self.workspace)

    def runs(self) -> list[Trained]:
        """Every variant that was ever built, the newest first."""
        return self.workspace.store.runs()

    def leaks(self) -> dict[str, tuple[Leak, ...]]:
        """Fit null models, in which nothing can be learned: what they know has leaked."""
        from rivals.flows.watch import watch_project

        return watch_project(self.workspace)

    def gate(self, variant: str | None = None) -> GateReport:
        """Ask whether a variant may go live."""
        from rivals.flows.gate import gate_project

        return gate_project(self.workspace, variant)

    def serve(self, *, port: int = 0, control_port: int = 0) -> Serving:
        """Start the endpoint beside this session; use it in a ``with``, or call ``stop()``."""
        from rivals.flows.live import Serving

        return Serving(self, port, control_port)

    def start_rollout(self, variant: str, *others: str, strategy: Strategy | None = None) -> Started:
        """Start a challenger in the shadow; with ``strategy="ab"`` a test, of several if ``others`` are named."""
        from rivals.flows.begin import start_rollout

        return start_rollout(self.workspace, variant, *others, strategy=strategy)

    def steer(self, command: str, variant: str = "") -> Rollout:
        """Pause, resume, advance, promote or rollback the running rollout."""
        from rivals.flows.rollout import steer

        return steer(self.workspace, command, variant)

    def retrain(self, by: str = "") -> Sweep:
        """Train new challengers now, and roll them out where the endpoint acts alone."""
        from rivals.flows.retrain import by_hand

        return by_hand(self.workspace, by)

    def autopilot(self, rows: Any = None, *, due: str | None = None) -> Report:
        """Stream a frame (the source's own later rows if none is given) through the whole loop in virtual time."""
        from rivals.flows.autopilot import autopilot
        from rivals.flows.autopilot_report import report_of

        return report_of(autopilot(self.workspace, rows, due=due))

    def preflight(self) -> Preflight:
        """Check that the endpoint is fit to act alone."""
        from rivals.flows.preflight import run_preflight

        return run_preflight(self.workspace)

    def status(self) -> Facts:
        """What runs: champion, weights, rollout, evidence, counts."""
        from rivals.flows.status import status_of

        return Facts(status_of(self.workspace))

    def history(self) -> list[dict[str, Any]]:
        """What was decided, and on what evidence."""
        from rivals.flows.status import history_of

        return Entries(history_of(self.workspace))

    def explain(self, request_id: str) -> Facts:
        """Why a request went where it went."""
        from rivals.flows.explain import explain_request

        return Facts(explain_request(self.workspace, request_id))

    def feedback(self, file: str | Path) -> Facts:
        """Take labels, rewards and ratings from a file."""
        from rivals.flows.feedback import take_feedback

        return Facts(take_feedback(self.workspace, Path(file)))

    def forget(self, unit: str) -> Facts:
        """Erase what is known of a unit."""
        from rivals.flows.forget import forget_unit

        return Facts(forget_unit(self.workspace, unit))

    def export_monitoring(self, out: str | Path = "monitoring") -> list[Path]:
        """Write files for Prometheus, Alertmanager, Grafana and Datadog; returns which."""
        from rivals.flows.monitoring import export_monitoring

        return export_monitoring(self.workspace, Path(out))

    def verify(self) -> Facts:
        """Derive every decision again from what it was made from."""
        from rivals.flows.verify import verify_ledger

        return Facts(verify_ledger(self.workspace))
