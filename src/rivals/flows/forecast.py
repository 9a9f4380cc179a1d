"""How long a decision should take: the judge's own bets, played on the held-out days of the prediction bank."""

from __future__ import annotations

import math

import numpy as np

from rivals.errors import DataError
from rivals.flows.compare import banked
from rivals.flows.judges import among
from rivals.flows.workspace import Workspace
from rivals.observe.outcomes import LOSSES
from rivals.statistics.offline import blocks_of
from rivals.statistics.power import expected_days


def forecast(workspace: Workspace, champion: str, challenger: str) -> float | None:
    """Median days until a decision on quality; infinite where the two look alike, None without held-out days."""
    wish, spec = workspace.endpoint.rollout, workspace.spec
    try:
        ours, theirs = (banked(workspace, workspace.trained(name)) for name in (challenger, champion))
    except DataError:
        return None
    if ours.time is None or not np.array_equal(ours.ids, theirs.ids):
        return None
    metric = wish.metric or ("squared" if spec.data.answers == "regression" else "brier")
    target = ours.target.astype(float)
    gaps = LOSSES[metric](target, ours.outputs, math.inf) - LOSSES[metric](target, theirs.outputs, math.inf)
    blocks = blocks_of(len(gaps), ours.time, None, length=wish.block)
    means = np.bincount(blocks, weights=gaps) / np.maximum(np.bincount(blocks), 1)
    return expected_days(
        means.tolist(),
        np.random.default_rng(spec.seed),
        proof=math.log(1 / wish.risk.alpha),
        against=math.log(among(workspace) / wish.risk.alpha),
        block=wish.block,
        label_delay=spec.data.label_delay,
        climb=wish.every * len(wish.steps),
    )
