"""What judging costs: processor microseconds per exposure of the evidence and judges of a rollout, and bytes remembered per pair.

Asked: under 5 us, and memory that does not grow. Exposures are of a canary at 10 % with 1 % failures, in batches of what
a second brings; each batch ends with a look of every judge. Prints one line per kind of unit.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np

from rivals.decide.analysis import analyse
from rivals.decide.judges.failures import Failures
from rivals.decide.judges.latency import Latency
from rivals.decide.judges.ratio import Ratio
from rivals.observe.evidence import EvidenceState, Rules, advance, begin, evidence
from rivals.values import Exposure, Outcome, Phase, Rollout, Version

EXPOSURES, BATCH, SHARE, FAILING = 200_000, 1_000, 0.1, 0.01
JUDGES = (Failures(among=2, silence=math.inf), Latency(among=2), Ratio())
ROLLOUT = replace(
    Rollout("r", "e", Version("old", "a"), Version("new", "b"), (SHARE,), 1.0, 1e9, started=0.0, changed=0.0),
    phase=Phase.CANARY,
    step=0,
)


def batches(units: int | None, rng: np.random.Generator) -> Iterator[list[Exposure]]:
    """Exposures as they close: of units that come once, or of so many that come again and again."""
    propensity = {"old": 1 - SHARE, "new": SHARE}
    for start in range(0, EXPOSURES, BATCH):
        which = np.arange(start, start + BATCH) if units is None else rng.integers(0, units, BATCH)
        hers = rng.random(BATCH) < SHARE if units is None else which * 7919 % 1_000 < 1_000 * SHARE
        failed, took = rng.random(BATCH) < FAILING, rng.lognormal(8, 0.6, BATCH).astype(int)
        yield [
            Exposure(
                f"{start + at}/0", "new" if new else "old", False, "e", 1, (start + at) / BATCH, str(unit), propensity,
                Outcome.ERROR if bad else Outcome.OK, us,
            )
            for at, (unit, new, bad, us) in enumerate(
                zip(which.tolist(), hers.tolist(), failed.tolist(), took.tolist(), strict=True)
            )
        ]  # fmt: skip


def bytes_of(state: EvidenceState) -> int:
    return len(msgspec.json.encode(state))


def measured(units: int | None) -> tuple[float, list[int]]:
    """Microseconds per exposure, the median over batches, and what is remembered after each quarter."""
    state, taken, sizes = begin(ROLLOUT, tau_ms=12.0), [], []
    for number, few in enumerate(batches(units, np.random.default_rng(1))):
        gc.collect(0)
        began = time.process_time()
        state = advance(state, few, (), few[-1].time, Rules())
        analyse(evidence(state, ROLLOUT, few[-1].time), JUDGES)
        taken.append(time.process_time() - began)
        if (number + 1) % (EXPOSURES // BATCH // 4) == 0:
            sizes.append(bytes_of(state))
    return 1e6 * float(np.median(taken)) / BATCH, sizes


def main() -> None:
    kinds = {"units that come once": None, "2,000 units": 2_000, "100,000 units": 100_000}
    for name, units in kinds.items():
        cost, sizes = measured(units)
        kept = ", ".join(f"{one:,}" for one in sizes)
        print(f"{name:22} {cost:.2f} us per exposure (asked: under 5); bytes kept at each quarter: {kept}")


if __name__ == "__main__":
    main()
