"""Anything asked of the prediction bank later: a metric, a slice, a threshold, calibration, a test, an ensemble.

Nothing is fitted again; only slices read the source once more, for the column's values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals import plugins
from rivals.build.bank import Bank
from rivals.build.evaluate import measure
from rivals.build.rows import prepare
from rivals.decide.compare import Entry, Leaderboard, Truth, compare
from rivals.decide.slicing import Slice, front, slices
from rivals.ensemble.family import blend
from rivals.errors import DataError, SpecError
from rivals.flows.compare import champion_of, gather, truth_of
from rivals.flows.reading import anchored
from rivals.flows.workspace import Workspace
from rivals.protocols import Combiner, Lesson, Looking, Source
from rivals.rules import TIME, is_beside
from rivals.statistics.curves import Reliability, cut, reliability, thresholds
from rivals.statistics.losses import Floats, Metric
from rivals.statistics.paired import Posterior, Tested, corrected_t, correlated_t, delong, mcnemar
from rivals.values import Columns, Use

BEST = "best"
UNCUT = {"roc_auc", "average_precision", "balanced_log_loss"}  # no mean of losses, and of probabilities all the same


@dataclass(frozen=True, slots=True)
class Answered:
    """A leaderboard, with what else was asked for."""

    board: Leaderboard
    slices: tuple[Slice, ...] = ()
    front: tuple[str, ...] = ()  # nobody is better in score, time and size at once
    thresholds: Mapping[str, float] | None = None  # by variant, tuned on all rows; scores are cross-fitted


@dataclass(frozen=True)
class Asked:
    """The bank of a project, opened once; every method answers from it."""

    workspace: Workspace
    entries: tuple[Entry, ...]
    first: Bank  # rows, truth and folds, which all share
    data: str  # the set these rows are of
    apart: tuple[str, ...] = ()  # sentences on who is not among them

    @property
    def truth(self) -> Truth:
        """What happened."""
        return truth_of(self.first)

    def metric(self, name: str | None = None) -> Metric:
        """The metric of that name, the deciding one if not said."""
        return measure(name or self.workspace.spec.measures[0], self.first.task, self.first.labels)

    def outputs(self, variant: str) -> Floats:
        """What a variant said of every row. Raises ``DataError`` with the nearest name."""
        known = {entry.variant: entry.outputs for entry in self.entries}
        if variant not in known:
            raise DataError(f"{variant!r} is not in the bank.{plugins.nearest(variant, list(known))}")
        return known[variant]

    def board(self, metric: str | None = None, threshold: str | float | None = None) -> Answered:
        """Rank by any metric, at any threshold (binary; ``best``: each variant's own, cross-fitted)."""
        judged = self.metric(metric)
        entries, tuned = self._cut(judged, threshold)
        champion, seed = champion_of(self.workspace), self.workspace.spec.seed
        board = compare(entries, self.truth, judged, champion=champion, seed=seed)
        board = replace(board, apart=self.apart)
        return Answered(board, (), front(board.rows, lower_is_better=board.lower_is_better), tuned)

    def sliced(
        self, column: str, metric: str | None = None, threshold: str | float | None = None, reference: str = ""
    ) -> tuple[Slice, ...]:
        """Every variant on every value of a column of the source, against the champion or, without one, the best."""
        judged = self.metric(metric)
        entries, _ = self._cut(judged, threshold)
        against = reference or champion_of(self.workspace)
        if against not in [entry.variant for entry in entries]:
            against = self.board(metric, threshold).board.rows[0].variant
        return slices(entries, self.truth, judged, self.column(column), reference=against)

    def answer(
        self, metric: str | None = None, column: str | None = None, threshold: str | float | None = None
    ) -> Answered:
        """The leaderboard and, where a column is named, its slices."""
        found = self.board(metric, threshold)
        return replace(found, slices=self.sliced(column, metric, threshold)) if column else found

    def column(self, name: str) -> NDArray[Any]:
        """A column of the source, for the rows of the bank. Raises ``DataError`` where the source has changed."""
        data = self.workspace.spec.data
        source = data.sets.get(self.data, data.source)
        frame = plugins.make(Source, anchored(self.workspace, source)).read()
        if name not in frame.columns:
            raise DataError(f"There is no column {name!r} to slice by.{plugins.nearest(name, list(frame.columns))}")
        rows = prepare(frame, data)
        truth = dict(zip(rows.ids, rows.target, strict=True))
        ids = frame[data.id].astype(str) if data.id else [str(i) for i in range(len(frame))]
        values = dict(zip(ids, frame[name].tolist(), strict=True))
        same = all(
            one in truth and truth[one] == said for one, said in zip(self.first.ids, self.first.target, strict=True)
        )
        if not same:
            raise DataError(
                "The source no longer gives the rows that the bank was made of; `rivals train` makes it anew."
            )
        dtype = None if frame[name].dtype.kind in "fiu" else object
        return np.array([values[one] for one in self.first.ids], dtype)

    def calibration(self, variant: str, bins: int = 10) -> Reliability:
        """How often it happened where a variant said so. Binary only."""
        self._binary("Calibration")
        return reliability(self.first.target, self.outputs(variant)[:, 1], self.first.weight, bins)

    def test(self, one: str, other: str, kind: str = "corrected_t", metric: str | None = None) -> Tested:
        """Test two variants: ``corrected_t`` on any metric by fold; ``mcnemar``; ``delong``.

        The last two take rows for independent: where days or groups hang together, believe the leaderboard instead.
        """
        first, second = self.outputs(one), self.outputs(other)
        match kind:
            case "corrected_t":
                return corrected_t(*self._folds(first, second, metric))
            case "mcnemar" if self.first.labels:
                target = self.first.target
                return mcnemar(first.argmax(axis=1) == target, second.argmax(axis=1) == target)
            case "delong":
                self._binary("DeLong's test")
                return delong(self.first.target, first[:, 1], second[:, 1])
        raise SpecError(
            f"No test of this task is called {kind!r}; known: corrected_t, mcnemar (labels), delong (binary)."
        )

    def practically(self, one: str, other: str, rope: float, metric: str | None = None) -> Posterior:
        """How likely ``one`` scores lower, within ``rope``, or higher than ``other``: Bayesian correlated t."""
        differences, ratio = self._folds(self.outputs(one), self.outputs(other), metric)
        return correlated_t(differences, ratio, rope)

    def ensemble(self, name: str, members: Sequence[str], combiner: str | Use = "mean") -> Asked:
        """The same with an ensemble of members added, learned across folds; it costs what those it asks cost."""
        use = combiner if isinstance(combiner, Use) else Use(combiner)
        bank, known = self.first, {entry.variant: entry for entry in self.entries}
        lesson = Lesson(
            {one: self.outputs(one) for one in members}, bank.target, bank.task, self.workspace.spec.measures[0],
            bank.weight, {one: (known[one].predict_us / 1e3, known[one].bytes / 1e6) for one in members},
            rows=self._seen(use),
        )  # fmt: skip
        blended = blend(use, lesson, bank.fold, ordered=self.workspace.spec.data.split.by == "time")
        said, parts = blended.outputs, [known[one] for one in blended.members]
        cost = Entry(
            name, said, sum(one.fit_seconds for one in parts), sum(one.predict_us for one in parts),
            sum(one.bytes for one in parts),
        )  # fmt: skip
        return replace(self, entries=(*self.entries, cost))

    def _seen(self, use: Use) -> Columns | None:
        """The columns that a combiner looks at, and the time; headers nobody has kept."""
        combiner = plugins.make(Combiner, use)
        if not isinstance(combiner, Looking):
            return None
        values = {name: self.column(name).tolist() for name in combiner.columns if not is_beside(name)}
        times = {} if self.first.time is None else {TIME: self.first.time.tolist()}
        return Columns({**values, **times}, len(self.first))

    def _folds(self, first: Floats, second: Floats, metric: str | None) -> tuple[list[float], float]:
        judged, bank = self.metric(metric), self.first
        gaps = []
        for fold in sorted(set(bank.fold[bank.fold >= 0].tolist())):
            kept = bank.fold == fold
            weight = None if bank.weight is None else bank.weight[kept]
            group = None if bank.group is None else bank.group[kept]
            mine, theirs = (judged.of(bank.target[kept], said[kept], weight, group) for said in (first, second))
            gaps.append(mine - theirs)
        many = len(gaps)
        if self.workspace.spec.data.split.by == "time":  # each fold is trained on all before it
            return gaps, float(np.mean(1 / np.arange(1, many + 1)))
        return gaps, 1 / max(many - 1, 1)

    def _cut(self, metric: Metric, threshold: str | float | None) -> tuple[list[Entry], dict[str, float] | None]:
        if threshold is None:
            return list(self.entries), None
        self._binary("A threshold")
        if metric.rows is not None or metric.name in UNCUT or "@" in metric.name:
            raise SpecError(
                f"{metric.name} looks at probabilities, not at decisions; a threshold goes with accuracy or f1."
            )
        if threshold != BEST:
            at = _number(threshold)
            return [replace(entry, outputs=cut(entry.outputs, at)) for entry in self.entries], None
        found = [self._tuned(metric, entry) for entry in self.entries]
        return [entry for entry, _ in found], {entry.variant: at for entry, at in found}

    def _tuned(self, metric: Metric, entry: Entry) -> tuple[Entry, float]:
        """Each part of the rows is cut where the others say it is best, so that tuning flatters nobody."""
        bank = self.first
        parts = bank.fold if len(set(bank.fold.tolist())) > 1 else np.arange(len(bank)) * 2 // len(bank)
        at = np.empty(len(bank))
        for part in sorted(set(parts.tolist())):
            at[parts == part] = _best(metric, bank, entry.outputs, parts != part)
        return replace(entry, outputs=cut(entry.outputs, at)), _best(
            metric, bank, entry.outputs, np.full(len(bank), True)
        )

    def _binary(self, what: str) -> None:
        if self.first.task != "binary":
            raise SpecError(f"{what} goes with a binary task; this one is {self.first.task}.")


def ask(workspace: Workspace) -> Asked:
    """Open the bank of every built variant. Raises ``DataError`` where there is none, or on different rows."""
    found = gather(workspace)
    return Asked(workspace, found.entries, found.first, found.data, found.apart)


def _best(metric: Metric, bank: Bank, outputs: Floats, kept: NDArray[np.bool_]) -> float:
    target, weight = bank.target[kept], None if bank.weight is None else bank.weight[kept]
    group = None if bank.group is None else bank.group[kept]
    places = thresholds(outputs[kept, 1])
    found = np.array([metric.of(target, cut(outputs[kept], at), weight, group) for at in places])
    return float(places[int(np.nanargmin(found) if metric.lower_is_better else np.nanargmax(found))])


def _number(threshold: str | float) -> float:
    try:
        at = float(threshold)
    except ValueError:
        at = -1.0
    if not 0 < at < 1:
        raise SpecError(f"A threshold lies between 0 and 1, or is '{BEST}'; {threshold!r} is neither.")
    return at
