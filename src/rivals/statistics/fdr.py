"""An error budget over a stream of tests whose end nobody knows: of all discoveries so far, few are false.

e-LOND: the t-th test gets the level ``alpha * gamma_t * (discoveries so far + 1)``, fixed before its first datum, where
the gammas add up to 1; it is a discovery once its e-process reaches 1 / level. The expected share of false ones among
the discoveries is then at most alpha, at every moment and however the tests depend on one another. Tests may overlap:
what counts are the discoveries known when a test begins.
Xu & Ramdas, "Online multiple testing with e-values", AISTATS 2024, arXiv:2311.06412; the levels are those of LOND,
Javanmard & Montanari, arXiv:1502.06197. A running maximum is no e-value, but a process stopped where it first reaches
its fixed level is one, and reaches it just when the maximum does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rivals.errors import DataError

DECAY = 1.6  # gamma_t falls as t^-1.6: slow enough to leave something for the hundredth test
_EXACT = 1_000


def _total() -> float:
    """The sum of t^-DECAY over all t, from above: the tail by its integral."""
    head = math.fsum(math.pow(t, -DECAY) for t in range(1, _EXACT + 1))
    return head + math.pow(_EXACT, 1 - DECAY) / (DECAY - 1)


_TOTAL = _total()


def gamma(test: int) -> float:
    """The part of the budget that the ``test``-th test gets, counted from 1; all of them add up to 1 at most."""
    if test < 1:
        raise DataError(f"Tests are counted from 1, not {test}.")
    return math.pow(test, -DECAY) / _TOTAL


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tests were begun and how many became discoveries."""

    tests: int = 0
    discoveries: int = 0

    def level(self, alpha: float) -> float:
        """The level of the next test; at most ``alpha`` itself, which a rollout never asks more than."""
        return min(alpha, alpha * gamma(self.tests + 1) * (self.discoveries + 1))

    def begun(self) -> Budget:
        """After one more test began."""
        return replace(self, tests=self.tests + 1)

    def discovered(self) -> Budget:
        """After one more became a discovery."""
        return replace(self, discoveries=self.discoveries + 1)
