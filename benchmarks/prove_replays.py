"""Are bad challengers caught on real days? 200 replays a case of resampled flight days, through the real decision code.

Flights out of New York, 2013, as in ``prove_rollouts``; models are trained once. A replay draws whole days of the 66
from May on, with replacement, and of each day a quarter of its flights; routing and failures are drawn as well. Judges
are failures, quality, the declared slices (by origin) and the split, at alpha 5 % for the whole rollout. The cases:

- sabotaged: the champion with hour and distance swapped;
- one slice: an equal rival, trained on another sample, with that fault for flights out of Newark only;
- hidden slice: the champion has the fault everywhere but there, the challenger there alone, so that the two are about
  equal overall;
- twin: the champion itself;
- even: two equal rivals, trained on two samples, that change places by the day at random: real day shocks, no truth.

Exits 1 where a promise is broken.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from prove_rollouts import DAY, FAILING, FLIGHTS, ROWS, boosted, flights

from rivals.decide.certify import Course, Measure, Traffic, certify
from rivals.decide.judges.failures import Failures
from rivals.decide.judges.quality import Quality
from rivals.decide.judges.ratio import Ratio
from rivals.decide.judges.slices import Slices
from rivals.decide.rollout import start
from rivals.observe.evidence import EvidenceState, Rules, advance, begin, due, evidence
from rivals.values import Phase, Version

REPLAYS = 200
DAYS = 60
TICK = 6 * 3_600.0  # between two looks
PART = 0.25  # of a day's flights
BAD = "EWR"
RULES = Rules(block=DAY, label_delay=2 * DAY)
JUDGES = (Failures(among=3), Quality(among=3), Slices(among=3), Ratio())
MEASURE: Measure[EvidenceState] = Measure(
    begin=begin,
    due=lambda state, now: due(state, now, RULES),
    advance=lambda state, exposures, blocks, now: advance(state, exposures, blocks, now, RULES),
    evidence=evidence,
    block=RULES.block,
)


@cache  # once per process; workers are forked and inherit it
def said() -> tuple[pd.DataFrame, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The period's flights with their day, and per case what champion and challenger say of them."""
    frame = flights()
    period = frame[frame["month"] >= 5].iloc[:FLIGHTS].reset_index(drop=True)
    period["day"] = ((period["time"] - period["time"].iloc[0]) // DAY).astype(int)
    known = frame[(frame["month"] <= 4) & frame["late"].notna()]
    rows, others = known.sample(ROWS, random_state=1), known.sample(ROWS, random_state=2)
    tree, other = boosted().fit(rows, rows["late"]), boosted().fit(others, others["late"])
    swapped = tree.predict_proba(period.assign(hour=period["distance"], distance=period["hour"]))[:, 1]
    ours, theirs = tree.predict_proba(period)[:, 1], other.predict_proba(period)[:, 1]
    bad = period["origin"].to_numpy() == BAD
    return period, {
        "sabotaged": (ours, swapped),
        "one slice": (ours, np.where(bad, swapped, theirs)),
        "hidden slice": (np.where(bad, ours, swapped), np.where(bad, swapped, ours)),
        "twin": (ours, ours),
        "even": (ours, theirs),
    }


def resampled(
    period: pd.DataFrame, answers: tuple[np.ndarray, np.ndarray], case: str, rng: np.random.Generator,
    days: int = DAYS, part: float = PART,
) -> Traffic:  # fmt: skip
    """So many days drawn from those of the period, a part of the flights of each."""
    champion, challenger = answers
    by_day = [rows for _, rows in sorted(period.groupby("day").indices.items())]
    picked, moved = [], []
    for day, drawn in enumerate(rng.integers(len(by_day), size=days)):
        rows = by_day[drawn][rng.random(len(by_day[drawn])) < part]
        picked.append(rows)
        moved.append(np.full(len(rows), (day - drawn) * DAY))
    rows, shift = np.concatenate(picked), np.concatenate(moved)
    ours, theirs = champion[rows], challenger[rows]
    if case == "even":
        swap = np.repeat(rng.random(days) < 0.5, [len(one) for one in picked])
        ours, theirs = np.where(swap, theirs, ours), np.where(swap, ours, theirs)
    return Traffic(
        time=period["time"].to_numpy(float)[rows] + shift,
        label=period["late"].to_numpy(float)[rows],
        due=period["due"].to_numpy(float)[rows] + shift,
        champion=ours,
        challenger=theirs,
        champion_failed=rng.random(len(rows)) < FAILING,
        challenger_failed=rng.random(len(rows)) < FAILING,
        slices=[(f"origin={one}",) for one in period["origin"].to_numpy()[rows]],
    )


def replay(case: str, number: int) -> Course:
    """One rollout over ``DAYS`` days drawn from those of the period."""
    period, answers = said()
    rng = np.random.default_rng([number, *case.encode()])
    traffic = resampled(period, answers[case], case, rng)
    rollout = start(
        endpoint="flights",
        champion=Version("champion", "a" * 64),
        challenger=Version(case.replace(" ", "-"), "b" * 64),
        steps=(0.01, 0.05, 0.25, 0.5),
        every=DAY,
        deadline=DAYS * DAY,
        autonomy="act",
        now=float(period["time"].iloc[0]),
        base_revision=1,
    )
    return certify(traffic, rollout, MEASURE, JUDGES, rng, tick=TICK)


def main() -> int:
    """Run all cases; print what became of them."""
    replays = int(sys.argv[1]) if len(sys.argv) > 1 else REPLAYS
    _, answers = said()
    kept = True
    pool = ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork"))
    for case in answers:
        began = time.perf_counter()
        courses = list(pool.map(partial(replay, case), range(replays), chunksize=max(1, replays // 16)))
        phases = [course.rollout.phase for course in courses]
        back = phases.count(Phase.ROLLED_BACK)
        days = [course.days for course in courses if course.rollout.phase is Phase.ROLLED_BACK]
        least = {"sabotaged": 0.95, "one slice": 0.75, "hidden slice": 0.75}.get(case)
        met = back >= least * replays if least else back <= 0.09 * replays
        kept &= met
        bound = f"at least {least * replays:.0f}" if least else f"at most {0.09 * replays:.0f}"
        by = [course.rollout.reason.split(":")[0] for course in courses if course.rollout.phase is Phase.ROLLED_BACK]
        print(
            f"{case}: {back} of {replays} rolled back ({bound}) {'kept' if met else 'BROKEN'}; "
            f"median {statistics.median(days) if days else float('nan'):.0f} days; "
            f"promoted {phases.count(Phase.PROMOTED)}; "
            f"found by {', '.join(f'{name} {by.count(name)}' for name in sorted(set(by))) or 'none'}; "
            f"{time.perf_counter() - began:.0f} s",
            flush=True,
        )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
