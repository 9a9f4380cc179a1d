"""Builds and searches as MLflow hears of them."""

from __future__ import annotations

import msgspec

from rivals.build.bundle import Bundle
from rivals.flows.trial import before
from rivals.flows.workspace import Workspace
from rivals.registry.lineage import Lineage
from rivals.values import Trained, Version

TRIALS = 50  # of a variant, the best: each costs MLflow some hundredths of a second


def build(workspace: Workspace, trained: Trained, bundle: Bundle, lineage: Lineage, rows: tuple[str, int]) -> Version:
    """Record a build made from ``rows`` (their digest, and how many). Raises ``RivalsError`` where MLflow does not."""
    from rivals.registry.mlflow import Data  # noqa: PLC0415 -- importing MLflow costs a second: not before it is needed

    variant = workspace.spec.variant(trained.variant)
    params = msgspec.to_builtins(variant.model_dump(mode="python", by_alias=True, exclude_none=True))
    source = workspace.spec.data.sets.get(workspace.spec.set_of(trained.variant), workspace.spec.data.source)
    return workspace.tracker.register(
        trained,
        bundle.folder,
        params={key: value for key, value in params.items() if value not in ("", (), {})},
        metrics=dict(trained.scores.metrics),
        lineage=lineage,
        data=Data(workspace.spec.project, *rows, source.name),
    )


def trials(workspace: Workspace, version: Version, key: str) -> None:
    """Record the best trials of the search ``key`` as child runs of the variant's run."""
    whole = [one for one in before(workspace.state / "tuning" / key) if one.whole]
    whole.sort(key=lambda one: (one.loss, one.number))
    told = [
        (f"{version.variant} trial {one.number}", one.params, {"loss": one.loss, "seconds": one.seconds})
        for one in whole[:TRIALS]
    ]
    workspace.tracker.trials(version, told)
