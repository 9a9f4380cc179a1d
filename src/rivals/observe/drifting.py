"""Do a variant's answers still look as they did on held-out rows? Bet on by block, beside the champion's. Pure.

The population stability index of a block is the sum of (q - p) ln(q / p) over ten bins of the held-out answers: p their
share there, q in the block. Above 0.1 is commonly called a shift, above 0.25 a large one (Siddiqi, Credit Risk
Scorecards, 2006). Traffic drifts for everybody, so what is bet on is the difference of the two rivals' indices on the
same rows.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from rivals.statistics.eprocess import BlockBets, on_block
from rivals.values import Pair

BINS = 10
HALF = 0.5  # of a row, in every bin: an empty one says little in a small block


@dataclass(frozen=True, slots=True)
class Usual:
    """How a variant's held-out answers were spread: inner edges of the bins, and the share in each."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DriftRules:
    """How the two were spread, champion first, and how much more the challenger's index may be."""

    champion: Usual
    challenger: Usual
    margin: float = 0.1


@dataclass(frozen=True, slots=True)
class DriftBets:
    """Bets on the difference of the indices; sums of the indices themselves."""

    bets: BlockBets = field(default_factory=BlockBets)
    champion: float = 0.0
    challenger: float = 0.0

    def found(self) -> tuple[dict[str, float], dict[str, float]]:
        """Log e-values, and the mean index of each; none before the first block."""
        if not self.bets.blocks:
            return {}, {}
        log_e = {"drift.worse": self.bets.worse.highest, "drift.noninferior": self.bets.noninferior.highest}
        many = self.bets.blocks
        return log_e, {"drift.champion": self.champion / many, "drift.challenger": self.challenger / many}


def usual(outputs: Sequence[Sequence[float]]) -> Usual:
    """The spread of held-out answers (rows, labels) or (rows, 1). Bins with equal edges are one."""
    scores = sorted(score(one) for one in outputs)
    edges = sorted({scores[len(scores) * cut // BINS] for cut in range(1, BINS)})
    return Usual(tuple(edges), _shares(scores, edges))


def score(output: Sequence[float]) -> float:
    """What is binned: a value, the probability of the second of two labels, or that of the likeliest of more."""
    return output[-1] if len(output) <= 2 else max(output)  # noqa: PLR2004 -- two labels


def index(outputs: Sequence[Sequence[float]], before: Usual) -> float:
    """The population stability index of these answers against what was usual."""
    now = _shares([score(one) for one in outputs], before.edges)
    return math.fsum((q - p) * math.log(q / p) for q, p in zip(now, before.shares, strict=True))


def on_pairs(state: DriftBets, pairs: Sequence[Pair], rules: DriftRules) -> DriftBets:
    """Settle one bet on a block's paired answers; labels are not needed."""
    ours = index([one.champion for one in pairs], rules.champion)
    theirs = index([one.challenger for one in pairs], rules.challenger)
    return DriftBets(
        on_block(state.bets, theirs - ours, rules.margin), state.champion + ours, state.challenger + theirs
    )


def _shares(scores: Sequence[float], edges: Sequence[float]) -> tuple[float, ...]:
    counts = [HALF] * (len(edges) + 1)
    for one in scores:
        counts[bisect_right(edges, one)] += 1
    total = math.fsum(counts)
    return tuple(count / total for count in counts)
