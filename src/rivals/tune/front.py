"""Loss, time of a row, size: what counts where no one of them decides alone.

A trial dominates another where it is nowhere worse and somewhere better; those that nobody dominates are the front. A
tuner, which knows one number, is told by how many a trial is dominated (the rank of Fonseca and Fleming, Genetic
algorithms for multiobjective optimization, ICGA 1993), and of equals the one with less loss is the better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivals.tune.search import Tried

EQUAL = 1.02  # times that are not told apart


def dominates(one: Tried, other: Tried, beside: Sequence[str]) -> bool:
    """Whether the first is nowhere worse, and somewhere better; of what is not known, nothing is said."""
    pairs = [(one.loss, other.loss), *((getattr(one, name), getattr(other, name)) for name in beside)]
    if not all(left is not None and right is not None and math.isfinite(left) for left, right in pairs):
        return False
    return all(left <= right for left, right in pairs) and any(left < right for left, right in pairs)


def cheaper(one: Tried, costs: Sequence[float | None], beside: Sequence[str]) -> bool:
    """Whether the trial costs no more than these costs, in ``beside``'s order."""
    known = [(getattr(one, name), mine) for name, mine in zip(beside, costs, strict=True)]
    return all(theirs is not None and mine is not None and theirs <= mine * EQUAL for theirs, mine in known)


def front(tried: Iterable[Tried], beside: Sequence[str]) -> list[Tried]:
    """Whole trials that nobody dominates, the least loss first."""
    whole = [one for one in tried if one.whole]
    kept = [one for one in whole if not any(dominates(other, one, beside) for other in whole)]
    return sorted(kept, key=lambda one: (one.loss, one.number))


def score(one: Tried, among: Sequence[Tried], beside: Sequence[str]) -> float:
    """What a tuner is told: less is better; NaN where the trial failed."""
    if not math.isfinite(one.loss) or not beside:
        return one.loss
    known = [other for other in among if other is not one and math.isfinite(other.loss)]
    less = sum(other.loss < one.loss for other in known)
    return sum(dominates(other, one, beside) for other in known) + less / (len(known) + 1)
