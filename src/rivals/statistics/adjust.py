"""Regression adjustment: take off what was known of a unit before it was assigned, and fewer units are needed.

The variance shrinks by 1 - rho^2, where rho is the correlation of outcome and expectation. Coefficients come from past
units only, so each score stays a fair bet and every sequence in ``betting`` and ``sequences`` holds.
Deng, Xu, Kohavi & Walker, CUPED, WSDM 2013; at every look: Waudby-Smith et al., arXiv:2210.08589.
"""

from __future__ import annotations

import numpy as np

from rivals.errors import DataError
from rivals.statistics.losses import Floats

GROWTH = 1.25  # units from one fit to the next
RIDGE = 1e-6  # of each covariate's variance


def expected(covariates: Floats, outcomes: Floats, first: float = 0.0) -> Floats:
    """What each outcome was expected to be, from the units before it: (units,), for ``betting.scores(expected=...)``.

    ``covariates``: (units,) or (units, covariates), known before assignment, such as the same figure in the week
    before. ``outcomes``: (units,), in the order they came; ``first``: what to expect before there is anything to learn
    from. Least squares over both arms, fitted again whenever there are a quarter more units. Expectations stay within
    the outcomes seen so far and ``first``, so that bounded outcomes keep their bounds.
    Raises ``DataError`` on figures that are missing.
    """
    known = np.asarray(covariates, np.float64)
    known = known if known.ndim > 1 else known[:, None]
    if not (np.isfinite(known).all() and np.isfinite(outcomes).all()):
        raise DataError("Regression adjustment needs finite covariates and outcomes; fill in what is missing first.")
    found = np.full(len(outcomes), float(first))
    fit = known.shape[1] + 2
    while fit < len(outcomes):
        until = max(fit + 1, int(fit * GROWTH))
        found[fit:until] = _predicted(known[:fit], outcomes[:fit], known[fit:until])
        lowest, highest = min(first, outcomes[:fit].min()), max(first, outcomes[:fit].max())
        found[fit:until] = np.clip(found[fit:until], lowest, highest)
        fit = until
    return found


def _predicted(known: Floats, outcomes: Floats, asked: Floats) -> Floats:
    centre, mean = known.mean(0), outcomes.mean()
    apart = known - centre
    square = apart.T @ apart
    ridge = np.diag(RIDGE * np.diag(square) + np.finfo(np.float64).tiny)
    predicted: Floats = mean + (asked - centre) @ np.linalg.solve(square + ridge, apart.T @ (outcomes - mean))
    return predicted
