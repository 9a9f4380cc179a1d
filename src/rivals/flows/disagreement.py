"""What a trial in the shadow has to tell: where the challenger answers differently, by slice, and who is right."""

from __future__ import annotations

from rivals.bundles import read_manifest
from rivals.decide.disagreement import Disagreement, disagreement
from rivals.errors import RolloutError
from rivals.flows.archive import archive_of
from rivals.flows.workspace import Workspace
from rivals.values import Rollout


def report_of(workspace: Workspace, variant: str = "", *, tolerance: float = 0.0) -> Disagreement:
    """Every row that both rivals of the newest rollout answered; of ``variant``'s newest one if named.

    ``tolerance``: regressors that are no farther apart agree. Raises ``RolloutError`` where nothing was compared.
    """
    endpoint = workspace.endpoint
    known = [one for one in workspace.store.rollouts(endpoint.name) if variant in {"", one.challenger.variant}]
    if not known:
        whose = f" of {variant!r}" if variant else ""
        raise RolloutError(f"No rollout{whose} was ever started on {endpoint.name!r}.")
    rollout = known[-1]
    names = (rollout.champion.variant, rollout.challenger.variant)
    since, until = rollout.started, _until(rollout)
    if endpoint.capture is None:
        pairs = workspace.store.pairs(endpoint.name, *names, since, until)
    else:
        pairs = archive_of(workspace).pairs(*names, since, until)
    if not pairs:
        raise RolloutError(f"No row was answered by both {names[0]!r} and {names[1]!r} in this rollout yet.")
    signature = read_manifest(workspace.blobs.path(rollout.champion.digest)).signature
    return disagreement(*names, pairs, task=signature.task, labels=signature.labels, tolerance=tolerance)


def _until(rollout: Rollout) -> float:
    return rollout.changed if rollout.phase.final else float("inf")
