"""Sample-ratio mismatch: variants that do not get the shares they were promised."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rivals.errors import DataError

STRENGTH = 100.0  # units' worth of belief in the promised shares
ALARM = math.log(1 / 0.001)  # a log e-value of so much is a mismatch, at one false alarm in a thousand


def srm_log_e(counts: Sequence[float], expected: Sequence[float], strength: float = STRENGTH) -> float:
    """Log e-value against "units fall on the variants as promised"; alarm at ``ALARM``, however often one looks.

    ``counts``: units so far per variant; ``expected``: the promised shares, scaled to a sum of 1; a share of 0 must
    have no units. ``strength``: how close to the promise the alternatives are taken to be, in units. The
    Dirichlet-multinomial Bayes factor of Lindon & Malek, arXiv:2011.03567. Count what was randomised: requests of
    sticky users are no independent units. Raises ``DataError`` on counts or shares that cannot be.
    """
    total = math.fsum(expected)
    if len(counts) != len(expected) or not total > 0 or min(*expected, 0.0) < 0 or not math.isfinite(total):
        raise DataError(
            f"A sample ratio needs one share of 0 or more per count; got {len(expected)}: {list(expected)}."
        )
    if not strength > 0 or any(not 0 <= count < math.inf for count in counts):
        raise DataError(f"A sample ratio needs counts of 0 or more and a strength above 0; got {list(counts)}.")
    units, found = math.fsum(counts), 0.0
    for count, share in zip(counts, expected, strict=True):
        theta = share / total
        if theta == 0:
            if count:
                return math.inf  # who was promised nothing got something
            continue
        found += math.lgamma(strength * theta + count) - math.lgamma(strength * theta) - count * math.log(theta)
    return found + math.lgamma(strength) - math.lgamma(strength + units)
