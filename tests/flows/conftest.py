"""A project over a real store, with bundles made by hand: nothing is trained, and the traffic is written straight in."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rivals.flows.begin import start_rollout
from rivals.flows.control import publish
from rivals.flows.fences import Check, Preflight, config_digest, keep_preflight
from rivals.flows.rollout import tick
from rivals.flows.serve import endpoint_config, first_table
from rivals.flows.workspace import Workspace, open_workspace
from rivals.registry.ledger import Ledger
from rivals.serve.reconcile import publish_endpoint
from rivals.values import Exposure, Feedback, Outcome, Rollout, Scores, Trained, Version
from tests.serve.stage import bundle

BIAS = {"old": 0.0, "new": 0.1, "third": 0.2}
PROJECT = """
project: toy
data: {{source: {{use: csv, with: {{path: rows.csv}}}}, task: binary, target: y, time: t, label_delay: 1h}}
variants:
  - {{name: old, family: sklearn}}
  - {{name: new, family: sklearn}}
  - {{name: third, family: sklearn}}
endpoint:
  name: {name}
  champion: old
  autonomy: act
  rollout: {{steps: [50%], every: 1m, deadline: 30d, judges: [{judges}]}}
{more}
"""
MONDAY = 1_767_600_000.0  # 2026-01-05 08:00 UTC


@dataclass
class Site:
    """An endpoint on the traffic's own clock."""

    workspace: Workspace
    now: float = MONDAY
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def name(self) -> str:
        return self.workspace.endpoint.name

    def again(self) -> Site:
        """The same site through a store of its own, as another process sees it."""
        return Site(open_workspace(self.workspace.file), self.now, self.numbers)

    def on(self, folder: Path) -> Path:
        """The project on another host: the same file and bundles, a run directory of its own."""
        shutil.copytree(self.workspace.blobs.folder, folder / ".rivals" / "bundles")
        return Path(shutil.copy(self.workspace.file, folder / "rivals.yaml"))

    def traffic(self, variant: str, many: int, *, failed: int = 0, shadow: bool = False, labelled: int = 0) -> None:
        """Answers of a variant to as many units; the first ones failed."""
        batch = next(self.numbers)
        opens, closes = [], []
        for i in range(many):
            one = f"{self.name}-{batch}-{i}/0"
            sure = {} if shadow else {variant: 1.0}
            opens.append(Exposure(one, variant, shadow, self.name, 1, self.now, one, sure))
            outcome = Outcome.ERROR if i < failed else Outcome.OK
            closes.append((one, variant, outcome, 100, (0.5, 0.5) if outcome is Outcome.OK else ()))
        labels = [Feedback(one.id, i % 2, time=self.now) for i, one in enumerate(opens[:labelled])]
        self.workspace.store.ship(f"test-{self.name}", batch, opens, closes, labels)

    def start(self, variant: str = "new", *, force: bool = False) -> Rollout:
        return start_rollout(self.workspace, variant, by="ann", force=force).rollout

    def judge(self, later: float = 61.0) -> Rollout:
        """A round of the control process, a while later."""
        self.now += later
        self.traffic("old", 1)
        found = tick(self.workspace, self.now)
        assert found is not None
        return found

    def good(self, variant: str = "new", many: int = 1500) -> None:
        """Enough to pass, at the budget's level too."""
        self.traffic(variant, many, shadow=True)

    def bad(self, variant: str = "new") -> None:
        self.traffic(variant, 300, failed=200, shadow=True)

    def preflight(self, *, passed: bool = True) -> None:
        """As if it had been done now."""
        check = Check("drill", passed, "as asked for by the test")
        with self.workspace.store.transaction() as tx:
            keep_preflight(tx, self.workspace, Preflight(self.now, config_digest(self.workspace), (check,)))

    def kinds(self) -> list[str]:
        return [one.kind for one in Ledger(self.workspace.store).entries(self.name)]


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    """Make an endpoint with more keys of its part of the project file; those of one test share a store."""

    def make(more: str = "", *, name: str = "toy", judges: str = "failures", preflight: bool = True) -> Site:
        return a_site(tmp_path / f"{name}.yaml", more, name=name, judges=judges, preflight=preflight)

    return make


def a_site(file: Path, more: str = "", *, name: str = "toy", judges: str = "failures", preflight: bool = True) -> Site:
    """An endpoint with a champion, two challengers and one answer."""
    file.write_text(PROJECT.format(name=name, judges=judges, more=more))
    made = Site(open_workspace(file))
    for variant, bias in BIAS.items():
        if made.workspace.store.trained(variant) is None:
            digest = bundle(made.workspace.blobs.folder, bias)
            trained = Trained(variant, digest, f"wish-{variant}", Scores({}), 1.0, 10.0, 100, "native", 0.0)
            with made.workspace.store.transaction() as tx:
                tx.put_trained(trained, Version(variant, digest))
    first_table(made.workspace)
    publish_endpoint(made.workspace.run_dir, endpoint_config(made.workspace, "replay"))
    publish(made.workspace)
    made.traffic("old", 1)
    if preflight:
        made.preflight()
    return made
