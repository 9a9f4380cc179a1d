"""Many tests at once, few of the findings false.

Benjamini & Hochberg, JRSS B 57 (1995): p-values that are independent or rise together. Benjamini & Yekutieli, Annals of
Statistics 29 (2001): p-values of any dependence. e-BH (Wang & Ramdas 2022) is ``many.e_bh``'s, for evidence watched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.statistics.losses import Floats


def adjusted(p: Any, *, dependent: bool = False) -> Floats:
    """The smallest false-discovery rate at which each test is a finding (q-value); NaN is no test."""
    values = np.asarray(p, np.float64)
    known = np.flatnonzero(~np.isnan(values))
    result = np.full(len(values), np.nan)
    many = len(known)
    if not many:
        return result
    order = known[np.argsort(values[known], kind="stable")]
    factor = float(np.sum(1 / np.arange(1, many + 1))) if dependent else 1.0
    scaled = values[order] * many * factor / np.arange(1, many + 1)
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return result


def found(p: Any, rate: float = 0.05, *, dependent: bool = False) -> NDArray[np.bool_]:
    """Which tests are findings, of which a share of ``rate`` is expected to be false."""
    return np.asarray(adjusted(p, dependent=dependent) <= rate, np.bool_)
