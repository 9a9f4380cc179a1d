"""Who is best, who cannot be told apart from the best, and whom to take: from predictions, with no refit.

Every variant answered the same held-out rows. Days are drawn, not rows; intervals against the champion hold together;
the tie group is a model confidence set (see ``statistics.offline``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rivals import tables
from rivals.errors import DataError
from rivals.statistics.losses import Floats, Metric
from rivals.statistics.offline import (
    DAY,
    LEAST,
    Difference,
    blocks_of,
    confidence_set,
    differences,
    drawn,
    influences,
    interval,
)
from rivals.statistics.winner import Honest, honest

DRAWS = 4_000

Against = Literal["champion", "better", "worse", "tied", ""]


@dataclass(frozen=True, slots=True)
class Truth:
    """What happened on the rows all variants answered: ``target`` as labels' indexes or values; ``time`` in seconds."""

    target: NDArray[Any]
    weight: Floats | None = None
    time: Floats | None = None
    group: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A variant's answers on those rows, (rows, labels) or (rows, 1), and what it costs.

    ``predict_us`` is one row's median; 0: nothing answers it in process, so it is never recommended.
    """

    variant: str
    outputs: Floats
    fit_seconds: float = 0.0
    predict_us: float = 0.0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the leaderboard. ``difference`` is variant minus champion, in units of the metric."""

    variant: str
    score: float
    low: float
    high: float
    tied: bool  # with the best
    verdict: Against  # on the champion; nothing where there is none
    difference: float
    difference_low: float
    difference_high: float
    fit_seconds: float
    predict_us: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Variants, the best score first, and the one to take. Intervals are at 1 - ``alpha``."""

    metric: str
    lower_is_better: bool
    rows: tuple[Row, ...]
    recommended: str
    reason: str
    champion: str
    alpha: float
    scored: int  # rows
    blocks: int  # that were drawn
    apart: tuple[str, ...] = ()  # who is not ranked here, for it was scored on other rows
    honest: Honest | None = None  # what the best one is worth, without the luck of being the best

    def row(self, variant: str) -> Row:
        """The line of that variant; ``KeyError`` if it was not compared."""
        return {one.variant: one for one in self.rows}[variant]

    def __repr__(self) -> str:
        return "\n".join([tables.text(*self._table()), *self._told()])

    def _repr_html_(self) -> str:
        return tables.html(*self._table(), self._told())

    def _table(self) -> tuple[list[str], list[list[str]]]:
        head = ["variant", self.metric, f"{1 - self.alpha:.0%} interval", "tied", "against champion", "fit", "one row"]
        rows = [
            [
                row.variant, f"{row.score:.5f}", f"[{row.low:.5f}, {row.high:.5f}]", "yes" if row.tied else "no",
                row.verdict, f"{row.fit_seconds:.1f} s", f"{row.predict_us:.0f} us",
            ]
            for row in self.rows
        ]  # fmt: skip
        return head, rows

    def _told(self) -> list[str]:
        told = [f"recommended: {self.recommended}, for {self.reason}", *self.apart]
        if self.honest is not None:
            told.append(f"expect of {self.honest.variant} on new rows: {self.honest.told()}")
        return told


def compare(
    entries: Sequence[Entry],
    truth: Truth,
    metric: Metric,
    *,
    champion: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    block: float = DAY,
) -> Leaderboard:
    """Rank by one metric. Raises ``DataError`` where the variants did not answer the same rows."""
    _same_rows(entries, truth)
    blocks = blocks_of(len(truth.target), truth.time, truth.group, length=block)
    if int(blocks.max()) + 1 < LEAST:
        raise DataError(
            f"{len(truth.target)} held-out rows are too few to compare on; hold out more (data.split.test)."
        )
    looked = [influences(metric, truth.target, entry.outputs, truth.weight, blocks, truth.group) for entry in entries]
    scores, influence = np.array([score for score, _ in looked]), np.array([each for _, each in looked])
    if np.isnan(scores).any():
        name = entries[int(np.isnan(scores).argmax())].variant
        raise DataError(
            f"{metric.name} of {name!r} is undefined on these {len(truth.target)} rows; choose another metric."
        )
    counts = drawn(influence.shape[1], DRAWS, np.random.default_rng(seed))
    sign = 1.0 if metric.lower_is_better else -1.0
    won = honest(tuple(entry.variant for entry in entries), sign * scores, sign * influence, counts, alpha)
    tied = confidence_set(sign * scores, sign * influence, counts, alpha)
    against: dict[str, Difference | None] = {}
    names = [entry.variant for entry in entries]
    if champion in names:
        at = names.index(champion)
        found = differences(scores - scores[at], influence - influence[at], counts, alpha)
        against = {**dict(zip(names, found, strict=True)), champion: None}
    rows = []
    for i, entry in enumerate(entries):
        gap = against.get(entry.variant)
        score = Difference(float(scores[i]), *interval(scores[i], influence[i], counts, alpha))
        rows.append(_row(entry, score, i in tied, gap, _verdict(gap, sign) if against else ""))
    rows.sort(key=lambda row: (sign * row.score, row.variant))
    recommended, reason = _recommend(rows, metric.name, int(influence.shape[1]))
    return Leaderboard(
        metric.name, metric.lower_is_better, tuple(rows), recommended, reason,
        champion if against else "", alpha, len(truth.target), int(influence.shape[1]),
        honest=won if sign > 0 else won.turned(),
    )  # fmt: skip


def _same_rows(entries: Sequence[Entry], truth: Truth) -> None:
    if not entries or not len(truth.target):
        raise DataError("There is nothing to compare: no variant has held-out predictions; `rivals train` makes them.")
    for entry in entries:
        if len(entry.outputs) != len(truth.target):
            raise DataError(
                f"{entry.variant!r} answered {len(entry.outputs)} rows where {len(truth.target)} were held out; "
                "`rivals train` builds it again on the present data."
            )


def _row(entry: Entry, score: Difference, tied: bool, gap: Difference | None, verdict: Against) -> Row:
    apart = gap or Difference(0.0, 0.0, 0.0)
    return Row(
        entry.variant, score.estimate, score.low, score.high, tied, verdict, apart.estimate, apart.low, apart.high,
        entry.fit_seconds, entry.predict_us, entry.bytes,
    )  # fmt: skip


def _verdict(gap: Difference | None, sign: float) -> Against:
    if gap is None:
        return "champion"
    if gap.low <= 0 <= gap.high:
        return "tied"
    return "worse" if sign * gap.estimate > 0 else "better"


def _recommend(rows: Sequence[Row], metric: str, blocks: int) -> tuple[str, str]:
    """The cheapest of those that cannot be told apart from the best."""
    tied = [row for row in rows if row.tied]
    able = [row for row in tied if row.predict_us > 0] or tied
    chosen = min(able, key=lambda row: row.predict_us)
    if len(tied) == 1:
        return (
            chosen.variant,
            f"its {metric} is the best, and no other variant is tied with it on {blocks} blocks of rows.",
        )
    names = [row.variant for row in tied]
    told = f"{', '.join(names[:-1])} and {names[-1]} cannot be told apart by {metric} on {blocks} blocks of rows"
    if not chosen.predict_us:
        return chosen.variant, f"{told}; what they cost to ask is not known."
    return chosen.variant, f"{told}; of these it answers a row fastest, in {chosen.predict_us:.0f} us."
