"""The leaderboard, from the prediction bank: nothing is fitted again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rivals.build import bank
from rivals.build.bank import Bank
from rivals.build.evaluate import measure
from rivals.decide.compare import Entry, Leaderboard, Truth, compare
from rivals.errors import DataError
from rivals.flows.workspace import Workspace
from rivals.values import Trained


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the variants that can be ranked together said; ``first`` has the rows and the truth that all share."""

    entries: tuple[Entry, ...]
    first: Bank
    data: str  # the set these rows are of
    apart: tuple[str, ...] = ()


def compare_project(workspace: Workspace, metric: str | None = None) -> Leaderboard:
    """Rank every built variant on the rows none of them was fitted on. Raises ``DataError`` where there is none."""
    found, spec = gather(workspace), workspace.spec
    judged = measure(metric or spec.measures[0], spec.data.task, found.first.labels)
    board = compare(found.entries, truth_of(found.first), judged, champion=champion_of(workspace), seed=spec.seed)
    return replace(board, apart=found.apart)


def gather(workspace: Workspace) -> Gathered:
    """Read the banks of the built variants. Raises ``DataError`` where there is none."""
    spec = workspace.spec
    known = {one.variant: one for one in workspace.store.trained_all()}
    built = [known[one.name] for one in spec.variants if one.name in known]
    if not built:
        raise DataError("No variant is built yet; `rivals train` builds them.")
    banks = [banked(workspace, one) for one in built]
    names = [one.variant for one in built]
    sets = [spec.set_of(name) for name in names]
    chosen, apart = same_rows(names, banks, sets, champion_of(workspace), by_id=spec.data.id is not None)
    entries = tuple(
        Entry(built[i].variant, banks[i].outputs, built[i].fit_seconds, built[i].predict_us, built[i].bytes)
        for i in chosen
    )
    return Gathered(entries, banks[chosen[0]], sets[chosen[0]], apart)


def truth_of(said: Bank) -> Truth:
    """What happened on the rows of a bank."""
    return Truth(said.target, said.weight, said.time, said.group)


def same_rows(
    names: Sequence[str], banks: Sequence[Bank], sets: Sequence[str], champion: str = "", *, by_id: bool = True
) -> tuple[list[int], tuple[str, ...]]:
    """Which variants can be ranked together: those scored on the champion's rows, or on the most variants' rows.

    A sentence names the others. Without ids nothing tells whether rows of two data sets are the same. Raises
    ``DataError`` where variants of one data set were scored on different rows.
    """
    groups: list[list[int]] = []
    for i, one in enumerate(banks):
        mine = next(
            (group for group in groups if (by_id or sets[group[0]] == sets[i]) and _same(banks[group[0]], one)), None
        )
        if mine is None:
            if known := [group[0] for group in groups if sets[group[0]] == sets[i]]:
                raise DataError(f"{names[i]!r} was built on other rows than {names[known[0]]!r}; `rivals train` again.")
            groups.append([i])
        else:
            mine.append(i)
    chosen = next((group for group in groups if champion in [names[i] for i in group]), max(groups, key=len))
    apart = [
        f"{', '.join(names[i] for i in group)}: scored on other rows (data set {sets[group[0]]}), so not ranked here"
        for group in groups
        if group is not chosen
    ]
    return chosen, tuple(apart)


def _same(one: Bank, other: Bank) -> bool:
    alike = one.labels == other.labels and np.array_equal(one.ids, other.ids)
    return alike and np.array_equal(one.target, other.target)


def banked(workspace: Workspace, trained: Trained) -> Bank:
    """What a variant said of the rows it is compared on."""
    return bank.read(workspace.state / "bank" / trained.wish).judged


def prediction_hashes(workspace: Workspace) -> dict[str, str]:
    """SHA-256 of what each built variant said of which rows: equal hashes, equal predictions to the last bit."""
    known = {one.variant: one for one in workspace.store.trained_all()}
    found = {}
    for variant in workspace.spec.variants:
        if one := known.get(variant.name):
            said = bank.read(workspace.state / "bank" / one.wish)
            whole = hashlib.sha256("\0".join(said.ids.tolist()).encode())
            whole.update(np.ascontiguousarray(said.outputs, "<f8").tobytes())
            found[variant.name] = whole.hexdigest()
    return found


def champion_of(workspace: Workspace) -> str:
    """Who answers now, or who is to answer first; empty where nobody was named."""
    endpoint = workspace.spec.endpoint
    if endpoint is None:
        return ""
    table = workspace.store.table(endpoint.name)
    return table.champion if table else endpoint.champion or ""
