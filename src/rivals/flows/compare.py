"""The leaderboard, from the prediction bank: nothing is fitted again."""

from __future__ import annotations

import numpy as np

from rivals.build import bank
from rivals.build.bank import Bank
from rivals.build.evaluate import measure
from rivals.decide.compare import Entry, Leaderboard, Truth, compare
from rivals.errors import DataError
from rivals.flows.workspace import Workspace
from rivals.values import Trained


def compare_project(workspace: Workspace, metric: str | None = None) -> Leaderboard:
    """Rank every built variant on the rows none of them was fitted on. Raises ``DataError`` where there is none."""
    spec = workspace.spec
    known = {one.variant: one for one in workspace.store.trained_all()}
    built = [known[one.name] for one in spec.variants if one.name in known]
    if not built:
        raise DataError("No variant is built yet; `rivals train` builds them.")
    banks = [banked(workspace, one) for one in built]
    first = banks[0]
    for one, other in zip(built, banks, strict=True):
        if not np.array_equal(other.ids, first.ids):
            raise DataError(f"{one.variant!r} was built on other rows than {built[0].variant!r}; `rivals train` again.")
    entries = [
        Entry(one.variant, said.outputs, one.fit_seconds, one.predict_us, one.bytes)
        for one, said in zip(built, banks, strict=True)
    ]
    truth = Truth(first.target, first.weight, first.time, first.group)
    judged = measure(metric or spec.measures[0], spec.data.task, first.labels)
    return compare(entries, truth, judged, champion=champion_of(workspace), seed=spec.seed)


def banked(workspace: Workspace, trained: Trained) -> Bank:
    """What a variant said of the rows it is compared on."""
    return bank.read(workspace.state / "bank" / trained.wish).judged


def champion_of(workspace: Workspace) -> str:
    """Who answers now, or who is to answer first; empty where nobody was named."""
    endpoint = workspace.spec.endpoint
    if endpoint is None:
        return ""
    table = workspace.store.table(endpoint.name)
    return table.champion if table else endpoint.champion or ""
