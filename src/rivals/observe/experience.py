"""Decisions of a policy and what they turned out to mean, from the exposures of a time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rivals.observe.outcomes import LOSSES, Metric, truths_of
from rivals.values import Experience, Exposure, Outcome


@dataclass(frozen=True, slots=True)
class Told:
    """A closed exposure, and what is known of it: label, reward, and what it asked."""

    exposure: Exposure
    label: Any = None
    reward: float | None = None
    inputs: Mapping[str, Any] | None = None


Shadowing = Mapping[int, tuple[str, Mapping[str, float]]]  # by revision: the champion, and shares of its shadows


def experiences(
    told: Iterable[Told], shadows: Shadowing, metric: Metric, labels: Sequence[Any], bound: float = math.inf
) -> list[Experience]:
    """Decisions that were drawn, from all exposures of their time; in the order of time and id.

    A decision of which nothing is known yet is left out, and so is one that could not have been another: pinned, by a
    rule, kept apart, the stand-in for one that failed. Squared losses are known where ``bound`` is finite, as parts
    of it. Where a shadow had no room, no loss of that decision counts: those that are known would be a selection.
    """
    decisions: dict[str, list[Told]] = {}
    for one in told:
        decisions.setdefault(one.exposure.id.rpartition("/")[0] or one.exposure.id, []).append(one)
    every = [one for few in decisions.values() for one in few]
    lost = _losses_of(every, metric, labels, bound)
    found = [_experience(name, few, shadows, lost) for name, few in decisions.items()]
    return sorted((one for one in found if one is not None), key=lambda one: (one.time, one.id))


def _experience(
    name: str, few: Sequence[Told], shadows: Shadowing, lost: Mapping[tuple[str, str], float]
) -> Experience | None:
    rows = sorted((one for one in few if not one.exposure.shadow), key=lambda one: one.exposure.id)
    drawn = [one for one in rows if 0 < one.exposure.propensity.get(one.exposure.variant, 0.0) < 1]
    if not drawn:
        return None
    first = drawn[0].exposure
    failed = any(one.exposure.outcome is not Outcome.OK for one in drawn)
    rewards = [one.reward for one in drawn if one.reward is not None and math.isfinite(one.reward)]
    answered = [one.exposure for one in few if one.exposure.shadow or one.exposure.variant == first.variant]
    shed = any(one.shadow and one.outcome is Outcome.SHED for one in answered)
    by: dict[str, list[float]] = {}
    for one in answered:
        if not shed and (one.id, one.variant) in lost:
            by.setdefault(one.variant, []).append(lost[one.id, one.variant])
    if failed:
        by[first.variant] = [1.0]
    if not (failed or rewards or by):
        return None
    return Experience(
        name,
        first.unit,
        first.variant,
        first.time,
        first.propensity,
        failed,
        math.fsum(rewards) / len(rewards) if rewards and not failed else None,
        {variant: math.fsum(each) / len(each) for variant, each in sorted(by.items())},
        _seen(first.propensity, *shadows.get(first.revision, ("", {}))) if by else {},
        _columns([one.inputs for one in drawn]),
    )


def _seen(propensity: Mapping[str, float], champion: str, shares: Mapping[str, float]) -> dict[str, float]:
    """How likely each loss was to be known: of whoever answers, and of those paired with it in the shadow."""
    found = dict(propensity)
    for variant, share in shares.items():
        found[variant] = found.get(variant, 0.0) + propensity.get(champion, 0.0) * share
        found[champion] = found.get(champion, 0.0) + propensity.get(variant, 0.0) * share
    return found


def _losses_of(
    told: Sequence[Told], metric: Metric, labels: Sequence[Any], bound: float
) -> dict[tuple[str, str], float]:
    """The loss in [0, 1] of each labelled answer, by the exposure's id and variant."""
    if metric == "squared" and not math.isfinite(bound):
        return {}
    truths = truths_of([one.label for one in told], metric, labels)
    known = [
        (one.exposure, truth)
        for one, truth in zip(told, truths, strict=True)
        if truth is not None and one.exposure.outcome is Outcome.OK and one.exposure.output
    ]
    if not known:
        return {}
    outputs = np.array([one.output for one, _ in known], np.float64)
    each = LOSSES[metric](np.array([truth for _, truth in known]), outputs, bound)
    each = each / bound if metric == "squared" else each
    return {
        (one.id, one.variant): float(loss)
        for (one, _), loss in zip(known, each.tolist(), strict=True)
        if math.isfinite(loss)
    }


def _columns(rows: Sequence[Mapping[str, Any] | None]) -> dict[str, Sequence[Any]]:
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return {}
    return {name: [row.get(name) for row in known] for name in known[0]}
