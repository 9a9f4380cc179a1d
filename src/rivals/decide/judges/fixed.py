"""Is the challenger better on the same rows, at the looks that were planned? For tests whose length is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from rivals.decide.proof import Budget
from rivals.errors import SpecError
from rivals.statistics.group_sequential import spending
from rivals.values import Evidence, Status, Verdict

MOST_LOOKS = 20


@dataclass(frozen=True, slots=True)
class Fixed:
    """Compare the losses of paired answers at ``looks`` planned times in ``blocks`` blocks, and never in between.

    Sooner at a decision than ``quality`` where the plan is kept: boundaries are O'Brien and Fleming's, two-sided at
    ``alpha``, on Student's t over blocks turned into z. PASS where the challenger is better at a look, FAIL where it is
    worse; with one look it is the test of fixed length. ``among``: judges that share ``alpha`` for rolling back.

    ``Fixed(blocks=28, looks=4)``. O'Brien & Fleming, Biometrics 1979; Lan & DeMets, Biometrika 1983.
    """

    blocks: int
    looks: int = 1
    alpha: float = 0.05
    among: int = 1

    def __post_init__(self) -> None:
        Budget("fixed", self.alpha, self.among)
        if not all(type(one) is int for one in (self.blocks, self.looks)):
            raise SpecError(f"judge fixed: blocks and looks are whole numbers, not {self.blocks!r}, {self.looks!r}.")
        if not (1 <= self.looks <= MOST_LOOKS and self.blocks >= 2 * self.looks):
            raise SpecError(
                f"judge fixed: 1 to {MOST_LOOKS} looks, and two blocks or more for each; "
                f"not {self.looks} looks in {self.blocks} blocks."
            )

    @property
    def planned(self) -> tuple[int, ...]:
        """Blocks after which it looks."""
        return tuple(math.ceil(self.blocks * look / self.looks) for look in range(1, self.looks + 1))

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at ``quality.z/<blocks>`` of the planned looks that are past."""
        found = [(n, evidence.estimates.get(f"quality.z/{n}", math.nan)) for n in self.planned]
        done = [(n, z) for n, z in found if not math.isnan(z)]
        for (blocks, z), ours, theirs in zip(
            done, self._bounds(self.alpha), self._bounds(self.alpha / self.among), strict=False
        ):
            figures = {"z": z, "bound": ours, "blocks": float(blocks)}
            if z >= theirs:
                return Verdict("fixed", Status.FAIL, f"it is worse: z {z:+.2f} after {blocks} blocks", figures)
            if z <= -ours:
                return Verdict("fixed", Status.PASS, f"it is better: z {z:+.2f} after {blocks} blocks", figures)
        if len(done) == self.looks:
            reason = f"no difference was proven at any of the {self.looks} looks planned; there is none to come"
        else:
            reason = f"{evidence.blocks} blocks so far; the next look is planned after {self.planned[len(done)]}"
        return Verdict("fixed", Status.INCONCLUSIVE, reason, {"z": done[-1][1]} if done else {})

    def _bounds(self, alpha: float) -> tuple[float, ...]:
        return _boundaries(self.planned, alpha)


@cache
def _boundaries(planned: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    return tuple(spending([n / planned[-1] for n in planned], alpha).tolist())
