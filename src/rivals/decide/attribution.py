"""Why did it change, and what helps: the findings of a look and the variants' quality, put together. Pure.

Five rules, the first that holds:

1. A column is broken (missing, of another type, unseen, out of range or stuck): mend it. No model must learn from it.
2. Some variants got worse and the others hardly did: they are at fault, not the world. Roll them back.
3. Every variant got worse: the world changed, in its inputs or in what they mean. Retrain.
4. Labels stay away: what came is a selection, and says nothing about quality. Wait.
5. Nobody got worse: drift of inputs is noted, and no more.

A variant got worse where its loss is proven to be above what it expects by itself, or its labels to be elsewhere than
it says. What merely became harder, and was said to be so, is no fault of a model and no reason to train another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rivals.values import Cause, Finding, Quality, Trouble

BROKEN = "unseen"  # the detector whose findings are about broken columns


@dataclass(frozen=True, slots=True)
class Bounds:
    """From where on the figures say something.

    ``proof``: the log evidence that a loss or a bias needs. ``broken``: the new share of bad values in a column.
    ``labels``: below this part of the usual share of labels, they are late. ``loss`` (a part of the held-out one) and
    ``bias`` are the units in which variants are compared: one suffers ``alone`` where the others suffer less than this
    part of it.
    """

    proof: float = math.log(200)
    broken: float = 0.3
    labels: float = 0.5
    rows: int = 20  # labels without which a variant's quality is unknown
    loss: float = 0.05
    bias: float = 0.02
    alone: float = 1 / 3


def attribute(findings: Sequence[Finding], qualities: Sequence[Quality], bounds: Bounds | None = None) -> Cause:
    """The cause that explains a look; of every variant at most one quality, the newest."""
    asked = bounds or Bounds()
    drifted = [one for one in findings if one.drifted]
    inputs = [one for one in drifted if one.kind == "input"]
    known = [one for one in qualities if not math.isnan(one.now)]
    worse = [one for one in known if _worse(one, asked)]
    if broken := [one for one in inputs if one.detector == BROKEN and one.statistic >= asked.broken]:
        return _cause(Trouble.FEATURE, f"{_columns(broken)}: {_told(broken)}; mend what feeds it", broken, worse)
    if worse:
        return _somebody(known, worse, drifted, asked)
    if late := [one for one in qualities if _late(one, asked)]:
        return _late_labels(late, inputs)
    if inputs:
        told = "no variant got worse" if known else "no labels yet say whether a variant got worse"
        return _cause(Trouble.INPUTS, f"{_columns(inputs)} drifted ({_told(inputs)}); {told}", inputs)
    return Cause(Trouble.NOTHING, "nothing drifted, and no variant got worse")


def _somebody(known: Sequence[Quality], worse: Sequence[Quality], drifted: Sequence[Finding], bounds: Bounds) -> Cause:
    """One variant, or the world: by how much the others suffer from the same traffic."""
    most = max(_size(one, bounds) for one in worse)
    little = {
        True: bounds.alone * bounds.alone * most,
        False: max(1.0, bounds.alone * most),
    }  # proven to suffer, or not
    fine = [one for one in known if _size(one, bounds) <= little[one in worse]]
    bad = [one for one in known if one not in fine]
    if fine:
        told = f"{_suffering(bad)}; {', '.join(one.variant for one in fine)} hardly did on the same traffic"
        own = [one for one in drifted if one.variant in {suffering.variant for suffering in bad}]
        return _cause(Trouble.VARIANT, told, own, bad)
    inputs = [one for one in drifted if one.kind == "input"]
    began = f"{_columns(inputs)} drifted" if inputs else "no input drifted, so what follows from them has"
    return _cause(Trouble.WORLD, f"{_suffering(bad)}: every variant got worse; {began}", drifted, bad)


def _size(one: Quality, bounds: Bounds) -> float:
    """How much a variant suffers, in units of what is tolerated."""
    loss = (one.now - one.expected) / (bounds.loss * one.before) if one.before > 0 else 0.0
    return max(loss, 0.0 if math.isnan(one.bias) else abs(one.bias) / bounds.bias)


def _worse(one: Quality, bounds: Bounds) -> bool:
    return max(one.log_worse, one.log_biased) >= bounds.proof


def _late(one: Quality, bounds: Bounds) -> bool:
    """Far fewer labels than usual, where that is known."""
    usual = one.usual_labelled
    return one.answered >= bounds.rows and one.labelled < bounds.labels * usual * one.answered


def _late_labels(late: Sequence[Quality], inputs: Sequence[Finding]) -> Cause:
    share = sum(one.labelled for one in late) / sum(one.answered for one in late)
    usual = sum(one.usual_labelled for one in late) / len(late)
    reason = f"{share:.0%} of the answers have a label, usually {usual:.0%}: those that came are a selection"
    variants = tuple(one.variant for one in late)
    columns = tuple(dict.fromkeys(one.column for one in inputs))
    figures = {"labelled": share, "usual": usual}
    return Cause(Trouble.LABELS, reason, variants, columns, min(one.start for one in late), figures)


def _cause(trouble: Trouble, reason: str, findings: Sequence[Finding], worse: Sequence[Quality] = ()) -> Cause:
    began = [one.since for one in findings if one.since is not None] or [one.start for one in worse]
    figures = {f"{one.variant}.{name}": value for one in worse for name, value in _figures(one)}
    figures |= {f"{one.column}.{one.detector}": one.effect for one in findings if not one.variant}
    return Cause(
        trouble,
        reason,
        tuple(one.variant for one in worse),
        tuple(dict.fromkeys(one.column for one in findings if one.kind == "input")),
        min(began, default=None),
        figures,
    )


def _figures(one: Quality) -> list[tuple[str, float]]:
    kept = [("now", one.now), ("expected", one.expected), ("bias", one.bias)]
    kept += [("log_worse", one.log_worse), ("log_biased", one.log_biased)]
    return [(name, value) for name, value in kept if not math.isnan(value)]


def _suffering(worse: Sequence[Quality]) -> str:
    return ", ".join(f"{one.variant} ({one.metric} {one.now:.4g}, expected {one.expected:.4g})" for one in worse)


def _columns(findings: Sequence[Finding]) -> str:
    return ", ".join(dict.fromkeys(one.column for one in findings))


def _told(findings: Sequence[Finding]) -> str:
    strongest = max(findings, key=lambda one: (one.effect, one.log_e))
    return strongest.told or f"{strongest.detector} {strongest.statistic:.3g}"
