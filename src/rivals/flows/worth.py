"""What another policy would have earned, or a variant that never answered, from the decisions that are kept.

Only decisions that were drawn count, one for each unit. A policy is valued by weighing their rewards by how much
likelier it would have drawn what was drawn. A variant that never answered is asked about the captured inputs: where
labels tell, by its own losses, which needs no weighing; where rewards do, by those of decisions that it would have made
alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from rivals import plugins
from rivals.bundles import read_manifest
from rivals.errors import DataError, RivalsError, SpecError
from rivals.flows.archive import archive_of
from rivals.flows.learn import Row, Shadows, as_json
from rivals.flows.tied import policy_for
from rivals.flows.workspace import Workspace
from rivals.observe.experience import Told, experiences
from rivals.observe.outcomes import Metric
from rivals.plugins import nearest
from rivals.protocols import Learns, Policy, Predictor
from rivals.serve.runtimes import open_bundle
from rivals.spec.parts import as_plugin, as_share
from rivals.statistics.assignment import slots
from rivals.statistics.losses import Floats
from rivals.statistics.off_policy import Estimate, Estimates, estimates
from rivals.values import Arm, Columns, Experience, Exposure, Request, RoutingTable, Use

ASKS = ("policy", "variant", "weights")
DAY = 86_400.0
FOLDS = 2  # of the model of the reward: each half is told by the other one


@dataclass(frozen=True, slots=True)
class Worth:
    """What something would have earned. ``by``: rewards, or labels (1 less the loss); ``how`` it was valued."""

    what: str
    by: str
    how: str
    estimates: Estimates
    sentence: str


def asked_by(policy: Path) -> Mapping[str, Any] | None:
    """What a file asks the worth of; None: its keys are those of a rollout."""
    try:
        raw = yaml.safe_load(policy.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise SpecError(f"{policy}: the policy cannot be read: {error}") from None
    asked = [name for name in ASKS if isinstance(raw, Mapping) and name in raw]
    if asked and (len(asked) > 1 or len(raw) > 1):
        raise SpecError(
            f"{policy}: it says one of {', '.join(ASKS)}, and nothing else; not {', '.join(map(str, raw))}."
        )
    return raw if asked else None


def worth(workspace: Workspace, wish: Mapping[str, Any]) -> Worth:
    """The worth of a ``policy`` (as in endpoint.policy), of ``weights`` by variant, or of a ``variant``.

    Raises ``SpecError`` where it is none of them, ``DataError`` where no decision can tell.
    """
    log = _Log(workspace)
    if "variant" in wish:
        name = workspace.spec_variant(str(wish["variant"]))
        if any(one.propensity.get(name) for one in log.decisions):
            return _weighed(log, f"variant {name}", lambda: _constant(log, {name: 1.0}))
        return _direct(log, name) if log.by == "labels" else _alike(log, name)
    if "weights" in wish:
        return _weighed(log, "these weights", lambda: _constant(log, _weights(workspace, wish["weights"])))
    try:
        use = as_plugin(wish["policy"])
    except ValueError as error:
        raise SpecError(f"policy: {error}") from None
    if not isinstance(use, Use):
        raise SpecError(f"policy: it is a name, or {{use: name, with: {{...}}}}; not {wish['policy']!r}.")
    costed = policy_for(workspace, workspace.table().champion, use)
    return _weighed(log, f"policy {use.name}", lambda: _drawn(log, costed))


# -- the log --------------------------------------------------------------------------------------------------


class _Log:
    """Decisions that were drawn and told of, in the order of time, and the captured rows with a label."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        spec, endpoint = workspace.spec, workspace.endpoint
        self.metric: Metric = endpoint.rollout.metric or ("squared" if spec.data.answers == "regression" else "brier")
        arm = workspace.table().arms[0]
        self.labels = read_manifest(workspace.blobs.path(arm.digest)).signature.labels
        self.decisions: list[Experience] = []
        self.captured: list[Told] = []
        self.revisions: dict[str, int] = {}
        shadows = Shadows(workspace)
        for rows in self._days():
            told = [Told(row[1], row[2], row[3], row[4]) for row in rows]
            self.decisions += experiences(told, shadows, self.metric, self.labels)
            self.revisions |= {one.exposure.id.rpartition("/")[0]: one.exposure.revision for one in told}
            self.captured += [
                one
                for one in told
                if not one.exposure.shadow and one.label is not None and one.inputs and one.exposure.output
            ]
        rewarded = [one.reward for one in self.decisions if one.reward is not None]
        self.by = "rewards" if rewarded else "labels"
        self.least = min([0.0, *rewarded]) if rewarded else 0.0

    def rewards(self) -> tuple[list[Experience], Floats]:
        """The first decision of each unit, and the mean of what its decisions earned."""
        units: dict[str, tuple[Experience, list[float]]] = {}
        for one in self.decisions:
            if (earned := self._earned(one)) is not None:
                units.setdefault(one.unit, (one, []))[1].append(earned)
        if not units:
            raise DataError("No decision that was drawn has a reward or a label yet: there is nothing to value by.")
        return [one for one, _ in units.values()], np.array([math.fsum(each) / len(each) for _, each in units.values()])

    def _earned(self, one: Experience) -> float | None:
        if one.failed:
            return self.least
        if self.by == "rewards":
            return one.reward
        return 1.0 - one.losses[one.variant] if one.variant in one.losses else None

    def _days(self) -> Iterator[list[Row]]:
        store, name = self.workspace.store, self.workspace.endpoint.name
        archive = archive_of(self.workspace) if self.workspace.endpoint.capture is not None else None
        for day in archive.days() if archive else ():
            start = float(np.datetime64(day, "D").astype(np.int64)) * DAY
            found = {
                (one.exposure.id, one.exposure.variant): one
                for one in (archive.between(start, start + DAY) if archive else ())
            }
            yield [(one.closed_seq, one.exposure, one.label, one.reward, one.inputs) for one in found.values()]
        since = store.first_time(name)
        latest = store.latest_time(name)
        archived = set(archive.days()) if archive else set()
        while since is not None and latest is not None and since <= latest:
            start = since // DAY * DAY
            if str(np.datetime64(int(start // DAY), "D")) not in archived:
                yield list(store.closed(name, start, start + DAY))
            since = store.first_time(name, start + DAY)


# -- by weighing ------------------------------------------------------------------------------------------------


def _weighed(log: _Log, what: str, wanted: Any) -> Worth:
    decisions, reward = log.rewards()
    chances: Mapping[str, Mapping[str, float]] = wanted()
    kept = [at for at, one in enumerate(decisions) if one.id in chances]
    if not kept:
        raise DataError(f"{what}: it looks at what was asked, and no decision kept that; endpoint.capture keeps it.")
    some, earned = [decisions[at] for at in kept], reward[kept]
    logged = np.array([one.propensity[one.variant] for one in some])
    new = np.array([min(1.0, chances[one.id].get(one.variant, 0.0)) for one in some])
    found = estimates(earned, logged, new, expected=_expected(some, earned, chances))
    return _told(log, what, "weighing what was drawn", found)


def _constant(log: _Log, weights: Mapping[str, float]) -> dict[str, Mapping[str, float]]:
    return {one.id: weights for one in log.decisions}


def _weights(workspace: Workspace, told: Any) -> dict[str, float]:
    if not isinstance(told, Mapping) or not told:
        raise SpecError("weights: shares by variant, as {a: 70%, b: 30%}.")
    try:
        shares = {workspace.spec_variant(str(name)): as_share(share) for name, share in told.items()}
    except ValueError as error:
        raise SpecError(f"weights: {error}") from None
    found = {name: float(one) for name, one in shares.items() if isinstance(one, (int, float)) and one >= 0}
    if len(found) < len(shares):
        raise SpecError(f"weights: shares are numbers from 0 up, as {{a: 70%, b: 30%}}; not {told!r}.")
    total = math.fsum(found.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise SpecError(f"weights: shares sum to 100 %, not to {total:.4g}.")
    return found


def _drawn(log: _Log, use: Use) -> dict[str, Mapping[str, float]]:
    """Chances of every decision under another policy, which learns from the log as it would have while serving."""
    workspace = log.workspace
    policy = plugins.make(Policy, use)
    if headers := getattr(policy, "headers", ()):
        raise SpecError(f"policy {use.name}: it looks at the header {min(headers)!r}, and headers are not kept.")
    known = [one.name for one in workspace.spec.variants]
    for name in sorted(getattr(policy, "variants", ())):
        if name not in known:
            raise SpecError(f"policy {use.name}: there is no variant {name!r}.{nearest(name, known)}")
    looks = bool(getattr(policy, "columns", ()))
    mind = _Mind(workspace, use, policy)
    found = {}
    for one in log.decisions:
        mind.hear(one)
        rows = len(next(iter(one.inputs.values()), ()))
        if looks and not rows:
            continue
        request = Request(one.id, Columns(one.inputs, max(1, rows)), one.unit, one.time)
        table = mind.table(log.revisions[one.id])
        found[one.id] = policy.choose(table, request, Random(0)).propensity  # noqa: S311 -- propensities are not drawn
    return found


class _Mind:
    """A policy on its way through the log: it knows what it would have known."""

    def __init__(self, workspace: Workspace, use: Use, policy: Policy) -> None:
        self._workspace, self._use, self._policy = workspace, use, policy
        self._state: Mapping[str, Any] = as_json(policy.learn({}, ())) if isinstance(policy, Learns) else {}
        self._heard: list[Experience] = []
        self._tables: dict[int, RoutingTable] = {}
        names = sorted(getattr(policy, "variants", ()))
        self._named = tuple(Arm(name, workspace.trained(name).digest, 0.0) for name in names)

    def hear(self, one: Experience) -> None:
        """Learn from the blocks whose labels had come by then; then remember this one."""
        if not isinstance(self._policy, Learns):
            return
        every, delay = self._policy.every, self._workspace.spec.data.label_delay
        while self._heard:
            end = self._heard[0].time // every * every + every
            if end + delay > one.time:
                break
            block = [heard for heard in self._heard if heard.time < end]
            self._heard = self._heard[len(block) :]
            self._state, self._tables = as_json(self._policy.learn(self._state, block)), {}
        self._heard.append(one)

    def table(self, revision: int) -> RoutingTable:
        """The table as it would have been: no rollout, only the champion and whom the policy names."""
        if revision not in self._tables:
            table = self._workspace.store.table_at(self._workspace.endpoint.name, revision) or self._workspace.table()
            champion = next(arm for arm in table.arms if arm.variant == table.champion)
            self._tables[revision] = replace(
                table, arms=(replace(champion, weight=1.0),), slots=slots([1.0]), shadows=(), policy=self._use,
                named=self._named, state=self._state, holdout=None, layer=None,
            )  # fmt: skip
        return self._tables[revision]


def _expected(
    decisions: Sequence[Experience], reward: Floats, chances: Mapping[str, Mapping[str, float]]
) -> tuple[Floats, Floats]:
    """What a model expects of the variant that answered, and of the new policy: fitted on the other half of the units.

    By variant a line in the captured numbers, or the mean where there are none.
    """
    x = _numbers(decisions)
    names = sorted({one.variant for one in decisions})
    fold = np.arange(len(decisions)) % FOLDS
    of, on = np.zeros(len(decisions)), np.zeros(len(decisions))
    variant = np.array([one.variant for one in decisions])
    for part in range(FOLDS):
        mine, others = fold == part, fold != part
        said = {
            name: _line(x[others & (variant == name)], reward[others & (variant == name)], reward, x[mine])
            for name in names
        }
        for name in names:
            share = np.array([chances[one.id].get(name, 0.0) for one, has in zip(decisions, mine, strict=True) if has])
            on[mine] += share * said[name]
            of[mine] = np.where(variant[mine] == name, said[name], of[mine])
    return of, on


def _line(x: Floats, y: Floats, every: Floats, at: Floats) -> Floats:
    if not len(y):
        return np.full(len(at), float(every.mean()))
    centre = x.mean(axis=0)
    gram = (x - centre).T @ (x - centre) + np.eye(x.shape[1])
    slope = np.linalg.solve(gram, (x - centre).T @ (y - y.mean()))
    found: Floats = y.mean() + (at - centre) @ slope
    return found.clip(every.min(), every.max())


def _numbers(decisions: Sequence[Experience]) -> Floats:
    """Captured numbers, (decisions, columns), each of spread 1; nothing where one has none."""
    if not all(one.inputs for one in decisions):
        return np.zeros((len(decisions), 0))
    names = [
        name for name, values in decisions[0].inputs.items() if all(isinstance(one, (int, float)) for one in values)
    ]
    rows = [
        [math.fsum(v for v in one.inputs.get(name, ()) if isinstance(v, (int, float))) for name in names]
        for one in decisions
    ]
    found = np.array(rows, np.float64).reshape(len(decisions), len(names))
    spread = found.std(axis=0)
    scaled: Floats = (found - found.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


# -- by asking ----------------------------------------------------------------------------------------------------


def _direct(log: _Log, name: str) -> Worth:
    """A variant that never answered, by its own losses on captured rows: as if it had been in the shadow."""
    if log.workspace.spec.data.labels_depend_on_decision:
        raise DataError(f"{name!r} never answered, and labels depend on what was decided: no log can tell its worth.")
    if not log.captured:
        raise DataError(
            f"{name!r} never answered, and nothing that was asked is kept with its label: endpoint.capture: "
            "{features: all} keeps it."
        )
    outputs = _ask(log.workspace, name, [one.inputs or {} for one in log.captured])
    asked = [
        (one, replace(one.exposure, variant=name, output=tuple(said)))
        for one, said in zip(log.captured, outputs.tolist(), strict=True)
    ]
    drawn = [(one.exposure, exposure, one.label) for one, exposure in asked]
    own, its = (_earned([Told(_as_drawn(row[at]), row[2]) for row in drawn], log) for at in (0, 1))
    if not len(its):
        raise DataError("No label fits the answers: it is none of the task's, or a squared loss, which has no bound.")
    found = estimates(its, np.ones(len(its)), np.ones(len(its)))
    return _told(log, f"variant {name}", "asking it what was asked", replace(found, logged=_mean_of(own)))


def _as_drawn(exposure: Exposure) -> Exposure:
    return replace(exposure, propensity={exposure.variant: 0.5, "": 0.5})


def _earned(told: Sequence[Told], log: _Log) -> Floats:
    """1 less the loss, by unit."""
    units: dict[str, list[float]] = {}
    for one in experiences(told, {}, log.metric, log.labels):
        if not one.failed and one.variant in one.losses:
            units.setdefault(one.unit, []).append(1.0 - one.losses[one.variant])
    return np.array([math.fsum(each) / len(each) for each in units.values()])


def _mean_of(rewards: Floats) -> Estimate:
    return estimates(rewards, np.ones(len(rewards)), np.ones(len(rewards))).logged


def _alike(log: _Log, name: str) -> Worth:
    """A variant that never answered, by the rewards of decisions that it would have made alike."""
    if log.workspace.spec.data.answers == "regression":
        raise DataError(f"{name!r} never answered, and two values are never alike: rewards cannot tell its worth.")
    decisions, reward = log.rewards()
    kept = [at for at, one in enumerate(decisions) if one.inputs and len(next(iter(one.inputs.values()))) == 1]
    if not kept:
        raise DataError(f"{name!r} never answered, and nothing that was asked is kept: endpoint.capture keeps it.")
    some, earned = [decisions[at] for at in kept], reward[kept]
    rows = [{column: values[0] for column, values in one.inputs.items()} for one in some]
    said = {
        one: _ask(log.workspace, one, rows).argmax(axis=1) for one in {name, *(v for d in some for v in d.propensity)}
    }
    logged, new = np.zeros(len(some)), np.zeros(len(some))
    for at, one in enumerate(some):
        made = said[one.variant][at]
        logged[at] = min(1.0, math.fsum(p for variant, p in one.propensity.items() if said[variant][at] == made))
        new[at] = float(said[name][at] == made)
    return _told(
        log, f"variant {name}", "rewards of decisions it would have made alike", estimates(earned, logged, new)
    )


def _ask(workspace: Workspace, name: str, rows: Sequence[Mapping[str, Any]]) -> Floats:
    digest = workspace.trained(name).digest
    predictor: Predictor = open_bundle(workspace.blobs.path(digest), workspace.blobs.path)
    wanted = [column.name for column in predictor.signature.inputs]
    if missing := [column for column in wanted if any(column not in row for row in rows)]:
        raise RivalsError(f"{name!r} needs {', '.join(missing)}, and what was kept of requests has not got it.")
    return predictor.predict(Columns({column: [row[column] for row in rows] for column in wanted}, len(rows)))


def _told(log: _Log, what: str, how: str, found: Estimates) -> Worth:
    unit = "reward" if log.by == "rewards" else "1 less the loss"
    if found.refused:
        said = f"{what} cannot be valued: {found.refused}."
    else:
        best = found.found[-1]
        said = (
            f"{what} would have earned {best.value:.5g} ({unit}; 95 % interval {best.low:.5g} to {best.high:.5g}, "
            f"{best.name}); the log earned {found.logged.value:.5g}."
        )
    return Worth(what, log.by, how, found, said)
