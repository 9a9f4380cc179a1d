"""How far two distributions are apart, from counts in the same bins, and how surely that is more than chance.

Each distance is freed of what chance alone adds to it in samples of that size, so that a small window is not called a
shift. Certainty is the natural logarithm of 1 / p, from bounds in closed form: for chi-square statistics that of
Chernoff, for Kolmogorov's that of Dvoretzky, Kiefer, Wolfowitz and Massart, which holds for two samples of common sizes
(Wei & Dudley, Statistics & Probability Letters 2012, arXiv:1107.5356).
"""

from __future__ import annotations

import math

import numpy as np

from rivals.statistics.losses import Floats

HALF = 0.5  # of a row, in every bin: an empty one says little in a small window


def psi(before: Floats, now: Floats) -> tuple[float, float]:
    """The population stability index of counts, and its certainty. Siddiqi, Credit Risk Scorecards, 2006."""
    p, q = _shares(before), _shares(now)
    found = float(((q - p) * np.log(q / p)).sum())
    return max(0.0, found - (len(p) - 1) / _size(before, now)), chi_square(before, now)


def js(before: Floats, now: Floats) -> tuple[float, float]:
    """The Jensen-Shannon distance of counts, in [0, 1], and its certainty. Endres & Schindelin, IEEE IT 2003."""
    p, q = before / before.sum(), now / now.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(p > 0, p * np.log2(p / middle), 0.0) + np.where(q > 0, q * np.log2(q / middle), 0.0)
    chance = (int(((before + now) > 0).sum()) - 1) / (8 * math.log(2) * _size(before, now))
    return math.sqrt(max(0.0, float(parts.sum()) / 2 - chance)), chi_square(before, now)


def ks(before: Floats, now: Floats) -> tuple[float, float]:
    """Kolmogorov's and Smirnov's distance of counts in ordered bins, at the bins' edges, and its certainty."""
    apart = np.abs(np.cumsum(before) / before.sum() - np.cumsum(now) / now.sum()).max()
    size = _size(before, now)
    chance = math.sqrt(math.log(2) / (2 * size))  # what is met half of the time, at most
    return max(0.0, float(apart) - chance), max(0.0, 2 * size * float(apart) ** 2 - math.log(2))


def wasserstein(before: Floats, now: Floats, points: Floats) -> float:
    """Earth mover's distance of counts in ordered bins: the area between the two ways from 0 to 1.

    ``points`` (bins + 1,): lower end of the first bin, the edges between bins, upper end of the last one.
    """
    gaps = np.concatenate([[0.0], np.cumsum(before) / before.sum() - np.cumsum(now) / now.sum()])
    left, right = gaps[:-1], gaps[1:]
    crossing = left * right < 0
    total = np.abs(left) + np.abs(right)
    area = np.where(crossing, (left**2 + right**2) / np.where(total > 0, total, 1.0), total) / 2
    return float((area * np.diff(points)).sum())


def chi_square(before: Floats, now: Floats) -> float:
    """How surely two samples of counts are not of one distribution: log of 1 / p. Rare bins are merged."""
    kept = (before + now) >= 10  # noqa: PLR2004 -- five expected in each, as the handbooks have it
    if not kept.all():
        rest = before[~kept].sum(), now[~kept].sum()
        before, now = np.append(before[kept], rest[0]), np.append(now[kept], rest[1])
    total, n, m = before + now, before.sum(), now.sum()
    used = total > 0
    if used.sum() < 2:  # noqa: PLR2004 -- one bin: nothing to compare
        return 0.0
    statistic = float(((before * math.sqrt(m / n) - now * math.sqrt(n / m))[used] ** 2 / total[used]).sum())
    return chi_square_tail(statistic, int(used.sum()) - 1)


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Log of 1 / p of a chi-square statistic, from below (Chernoff); 0 up to its mean."""
    if statistic <= freedom:
        return 0.0
    return (statistic - freedom - freedom * math.log(statistic / freedom)) / 2


def share_above(hits: int, rows: int, limit: float) -> float:
    """How surely a share is above ``limit``: log of 1 / p, from below (Chernoff, Hoeffding 1963)."""
    if not rows or hits / rows <= limit:
        return 0.0
    share = hits / rows
    certain = share * math.log(share / limit)
    return rows * (certain if share >= 1 else certain + (1 - share) * math.log((1 - share) / (1 - limit)))


def _shares(counts: Floats) -> Floats:
    smooth = counts + HALF
    return np.asarray(smooth / smooth.sum())


def _size(before: Floats, now: Floats) -> float:
    """The size that counts where two samples are compared."""
    n, m = float(before.sum()), float(now.sum())
    return n * m / (n + m)
