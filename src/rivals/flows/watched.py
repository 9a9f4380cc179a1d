"""What an endpoint heard, as columns to look at: inputs once, scores, labels, errors and rewards by variant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.bundles import REFERENCE, read, read_manifest
from rivals.flows.workspace import Workspace
from rivals.observe.outcomes import Metric
from rivals.observe.quality import Block, Judged, block, losses
from rivals.protocols import Window
from rivals.registry.heard import Heard
from rivals.statistics.cells import cells
from rivals.statistics.performance import ANSWER
from rivals.usual import NumberSketch, Reference, Sketch, TextSketch
from rivals.values import Arm, Shadow, Signature

Watched = list[tuple[Sketch, Window]]
PAIRED = 200  # rows of two rivals that say how often they usually disagree
BINARY = 2


@dataclass(frozen=True, slots=True)
class Met:
    """A variant as clients meet it: its bundle, and how that was at build."""

    digest: str
    signature: Signature
    reference: Reference
    judged: Judged | None  # None: a bundle of an earlier day, which knows no held-out rows


def met(workspace: Workspace) -> dict[str, Met]:
    """The variants of the routing table that say what they were like, the champion first."""
    table = workspace.table()
    arms = sorted(table.arms, key=lambda arm: arm.variant != table.champion)
    who: list[Arm | Shadow] = [*table.named, *table.shadows, *arms]  # whoever answers clients has the last word
    digests = {one.variant: one.digest for one in who}
    found = {}
    for name in sorted(digests, key=lambda name: (name != table.champion, name)):
        folder = workspace.blobs.path(digests[name])
        if (folder / REFERENCE).exists():
            found[name] = _met(workspace, digests[name], folder)
    return found


def _met(workspace: Workspace, digest: str, folder: Path) -> Met:
    signature, reference = read_manifest(folder).signature, read(folder / REFERENCE, Reference)
    usual: Metric = "squared" if signature.task == "regression" else "brier"
    metric = workspace.endpoint.rollout.metric or usual
    held = reference.held
    judged = Judged(metric, signature.labels, held) if held and metric in held.losses else None
    return Met(digest, signature, reference, judged)


def inputs(rows: Sequence[Heard], known: Mapping[str, Met], start: float, end: float) -> Watched:
    """Each input once, whoever was asked; against the champion's training rows, or those of whoever has the column."""
    first: dict[str, Heard] = {}
    for row in rows:
        if row.asked is not None:
            first.setdefault(row.id, row)  # its shadows were asked the same
    asked = [row.asked for row in first.values() if row.asked is not None]
    times = np.array([row.time for row in first.values()])
    found: Watched = []
    for name, reference in sketches(known).items():
        if not any(name in one for one in asked):
            continue  # nothing was captured, or this column is never written down
        values, right = column([one.get(name) for one in asked], reference)
        wrong = len(right) - int(right.sum())
        found.append((reference, Window(name, start, end, times[right], values, wrong=wrong)))
    return found


def sketches(known: Mapping[str, Met]) -> dict[str, Sketch]:
    """The inputs of all variants as they were in training; the champion's word comes first."""
    found: dict[str, Sketch] = {}
    for one in reversed(list(known.values())):
        found |= {**one.reference.numbers, **one.reference.texts}
    return found


def column(values: Sequence[Any], reference: Sketch) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Those values that are of the column's type, and which ones they are; numbers as the models see them."""
    if isinstance(reference, TextSketch):
        right = np.array([value is None or isinstance(value, str) for value in values], bool)
        kept = np.empty(int(right.sum()), object)
        kept[:] = [value for value, fits in zip(values, right.tolist(), strict=True) if fits]
        return kept, right
    right = np.array([value is None or isinstance(value, (int, float)) for value in values], bool)
    numbers = [math.nan if value is None else float(value) for value, fits in zip(values, right, strict=True) if fits]
    return np.array(numbers, np.float64).astype(np.float32).astype(np.float64), right


def answers(rows: Sequence[Heard], known: Mapping[str, Met], start: float, end: float) -> Watched:
    """The scores of each variant: of two labels the second one's, of more each one's, or the value."""
    found: Watched = []
    for name, one in known.items():
        mine = [row for row in rows if row.variant == name]
        if not mine:
            continue
        times, outputs = np.array([row.time for row in mine]), np.array([row.output for row in mine])
        for place, (label, sketch) in enumerate(one.reference.scores.items()):
            if len(one.reference.scores) == BINARY and not place:
                continue
            title = f"{name}: score {label}" if one.signature.labels else f"{name}: answer"
            found.append((sketch, Window(title, start, end, times, outputs[:, place], "score", name)))
    return found


def disagreements(
    rows: Sequence[Heard], known: Mapping[str, Met], usual: Mapping[str, NumberSketch], start: float, end: float
) -> tuple[Watched, dict[str, NumberSketch]]:
    """How often two rivals say different things of the same row, and how often they did in the first rows they shared.

    No label is needed, and no row of training. Of values: their distance, in standard deviations up to 1.
    """
    found, after = list[tuple[Sketch, Window]](), dict(usual)
    for one, other in combinations(known, 2):
        first = {row.id: row for row in rows if row.variant == one}
        both = [(first[row.id], row) for row in rows if row.variant == other and row.id in first]
        if not both:
            continue
        apart = np.array([_apart(known[one], a.output, b.output) for a, b in both])
        title = f"{one} | {other}"
        if title in usual:
            times = np.array([row.time for _, row in both])
            found.append((usual[title], Window(title, start, end, times, apart, "disagreement", other)))
        elif len(both) >= PAIRED:
            after[title] = _unit(float(apart.mean()), float(apart.std()), len(apart))
    return found, after


def _apart(one: Met, mine: Sequence[float], theirs: Sequence[float]) -> float:
    if one.signature.labels:
        return float(np.argmax(mine) != np.argmax(theirs))
    spread = next(iter(one.reference.scores.values())).std or 1.0
    return min(1.0, abs(mine[0] - theirs[0]) / spread)


def outcomes(rows: Sequence[Heard], known: Mapping[str, Met], target: str, start: float, end: float) -> Watched:
    """What happened, once, and each variant's errors, of rows whose labels have had the time to come."""
    found: Watched = []
    labelled: dict[str, Heard] = {}
    for row in rows:
        if row.label is not None:
            labelled.setdefault(row.id, row)
    first = next((one for one in known.values() if one.reference.happened is not None), None)
    if labelled and first is not None and (usual_label := first.reference.happened) is not None:
        values, right = column([_said(row.label, first) for row in labelled.values()], usual_label)
        times = np.array([row.time for row in labelled.values()])[right]
        found.append((usual_label, Window(target, start, end, times, values, "label")))
    for name, one in known.items():
        mine = [row for row in rows if row.variant == name and _fits(row.label, one)]
        if mine and one.judged is not None:
            happened = np.array([_index(row.label, one) for row in mine], np.float64)
            each = losses(one.judged, np.array([row.output for row in mine]), happened)
            sketch, largest = one.judged.held.losses[one.judged.metric], one.judged.held.bound or 1.0
            times = np.array([row.time for row in mine])
            title = f"{name}: {one.judged.metric}"
            usual = replace(sketch, mean=sketch.mean / largest, std=sketch.std / largest)
            found.append((usual, Window(title, start, end, times, each / largest, "error", name)))
    return found


def rewards(
    rows: Sequence[Heard], usual: Mapping[str, NumberSketch], bounds: tuple[float, float], start: float, end: float
) -> tuple[Watched, dict[str, NumberSketch]]:
    """What is missing to the best reward, by variant, against the first rewards there were."""
    found, after, (low, high) = list[tuple[Sketch, Window]](), dict(usual), bounds
    for name in sorted({row.variant for row in rows}):
        mine = [row for row in rows if row.variant == name and row.reward is not None and not row.shadow]
        lost = np.array([(high - (row.reward or 0.0)) / (high - low) for row in mine]).clip(0, 1)
        title = f"{name}: reward missed"
        if title in usual and mine:
            times = np.array([row.time for row in mine])
            found.append((usual[title], Window(title, start, end, times, lost, "reward", name)))
        elif len(mine) >= PAIRED:
            after[title] = _unit(float(lost.mean()), float(lost.std()), len(lost))
    return found, after


def blocks(
    rows: Sequence[Heard], known: Mapping[str, Met], start: float, end: float, columns: Sequence[str] = ()
) -> dict[str, Block]:
    """How good each variant was, where it says how it was on held-out rows; by the values of these columns, too."""
    found = {}
    shapes = sketches(known)
    for name, one in known.items():
        mine = [row for row in rows if row.variant == name]
        if mine and one.judged is not None:
            outputs, labels = np.array([row.output for row in mine]), [row.label for row in mine]
            found[name] = block(
                one.judged, outputs, labels, start, end, _codes(mine, one, shapes), _slices(mine, columns)
            )
    return found


def _slices(rows: Sequence[Heard], columns: Sequence[str]) -> list[list[str]]:
    """Of each row the slices it falls into; of what was not captured none."""
    return [[f"{name}={row.asked[name]}" for name in columns if row.asked and name in row.asked] for row in rows]


def _codes(rows: Sequence[Heard], one: Met, shapes: Mapping[str, Sketch]) -> dict[str, NDArray[np.int64]]:
    """Cells of inputs and answer, for what a regressor's loss is foreseen from; what was not captured is in none."""
    if one.judged is None or one.judged.held.tables is None:
        return {}
    own: Mapping[str, Sketch] = {**one.reference.numbers, **one.reference.texts}
    found = {}
    for name, sketch in own.items():
        code = np.full(len(rows), -1, np.int64)
        has = [i for i, row in enumerate(rows) if row.asked is not None and name in row.asked]
        values, right = column([(rows[i].asked or {})[name] for i in has], shapes.get(name, sketch))
        code[np.array(has, int)[right]] = cells(sketch, values)
        found[name] = code
    said = np.array([row.output[0] for row in rows])
    return {**found, ANSWER: cells(next(iter(one.reference.scores.values())), said)}


def _fits(label: Any, one: Met) -> bool:
    if one.signature.labels:
        return not isinstance(label, (list, dict)) and label in one.signature.labels
    return isinstance(label, (int, float)) and math.isfinite(label)


def _index(label: Any, one: Met) -> float:
    return float(one.signature.labels.index(label)) if one.signature.labels else float(label)


def _said(label: Any, one: Met) -> Any:
    """A label as the reference has it."""
    if not one.signature.labels:
        return label
    return str(one.signature.labels[int(_index(label, one))]) if _fits(label, one) else str(label)


def _unit(mean: float, std: float, rows: int) -> NumberSketch:
    """What is usual of numbers in [0, 1] of which the mean is watched."""
    return NumberSketch(rows, 0, mean, std, [0.0] * 21, [], [rows])
