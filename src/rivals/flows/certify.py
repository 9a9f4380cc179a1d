"""The certificate: simulated rollouts, some of them retraced request by request through what decides in production."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from rivals.decide.certificate import ALPHA, MARGIN, PROOF, Cell, Traffic, cells, certify_traffic, drawn, faults
from rivals.decide.judges.failures import Failures
from rivals.observe.arm import RIPE
from rivals.observe.evidence import Rules, advance, begin, evidence
from rivals.statistics.fleet import Events, fleet
from rivals.values import Exposure, Outcome, Phase, Rollout, Status, Version

QUICK, FULL = 200, 2_000  # rollouts a cell
RETRACED = 5_000  # requests of each cell that are retraced, for every 200 rollouts
SAME = 1e-9  # relative: exp and log may differ in their last bits
SEED = 11
JUDGE = Failures(alpha=2 * ALPHA, silence=math.inf)  # who has two ways to fail, and gives each one half
RULES = Rules(margin=MARGIN, limit=0.999)  # no rate is over it
ROLLOUT = replace(
    Rollout("certificate", "e", Version("old", "a"), Version("new", "b"), (0.5,), 1.0, 1.0, started=0.0, changed=0.0),
    phase=Phase.CANARY,
    step=0,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What every cell came to, and what is not as it should be."""

    rollouts: int
    alpha: float
    margin: float
    cells: Sequence[Cell]
    looks: int  # through the evidence and the judge that rollouts use
    faults: Sequence[str]


def certify(*, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> Certificate:
    """Simulate rollouts under all kinds of traffic, on up to two processes; the figures do not depend on how many."""
    rollouts, traffics = QUICK if quick else FULL, cells()
    longest = sorted(range(len(traffics)), key=lambda cell: -_failures(traffics[cell]))
    at_once = min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    found: dict[int, tuple[Cell, int, int]] = {}
    with ProcessPoolExecutor(at_once, multiprocessing.get_context("spawn")) as pool:
        for number, one in zip(longest, pool.map(_certified, longest, [rollouts] * len(longest)), strict=True):
            found[number] = one
            say(f"{len(found)} of {len(traffics)}: {one[0].traffic}")
    each = [found[number] for number in range(len(traffics))]
    wrong = [told for cell, _, _ in each for told in faults(cell, rollouts)]
    wrong += [f"{cell.traffic}: {other} of {looks} looks differ when retraced" for cell, looks, other in each if other]
    return Certificate(rollouts, ALPHA, MARGIN, [one[0] for one in each], sum(one[1] for one in each), wrong)


def _failures(traffic: Traffic) -> float:
    return sum(one.requests * one.base for one in traffic.segments)


def _certified(cell: int, rollouts: int) -> tuple[Cell, int, int]:
    """A cell, the looks that were retraced, and how many of them differ; a module function travels to a process."""
    traffic, rng = cells()[cell], np.random.default_rng([SEED, cell])
    looks, other = retrace(traffic, RETRACED * rollouts // QUICK, np.random.default_rng([SEED, cell, 1]))
    return certify_traffic(traffic, rollouts, rng), looks, other


def retrace(traffic: Traffic, requests: int, rng: np.random.Generator) -> tuple[int, int]:
    """Looks at every failure of so many requests through the evidence and the judge, and those that see otherwise."""
    looks = other = done = 0
    while done < requests:
        (events,) = drawn(traffic.segments, traffic.ratio, 1, rng)
        found, state = fleet(events, MARGIN), begin(ROLLOUT)
        for at, few in _exposures(events):
            state, done = advance(state, few, (), float(done), RULES), done + len(few)
            if not events.failed[0, at]:
                continue
            seen = evidence(state, ROLLOUT, float(done))
            harm, fine = found.harm[0, at], found.noninferior[0, at]
            same = math.isclose(seen.log_e["failures.harm"], harm, rel_tol=SAME, abs_tol=SAME)
            same &= math.isclose(seen.log_e["failures.noninferior"], fine, rel_tol=SAME, abs_tol=SAME)
            # A look that is proof to the last bit may fall on either side.
            same &= (JUDGE.judge(seen).status is Status.FAIL) == (harm >= PROOF) or abs(harm - PROOF) < SAME
            looks, other = looks + 1, other + (not same)
            if done >= requests:
                break
    return looks, other


def _exposures(events: Events) -> Iterator[tuple[int, list[Exposure]]]:
    """The first rollout's requests, up to and with each failure, or up to a change of the split.

    Each of them follows when the ones before are ripe, as requests do that are few or far between.
    """
    columns = (events.failed, events.challenger, events.share, events.good, events.ours)
    number = 0
    for at, (failed, hers, share, good, ours) in enumerate(zip(*(one[0].tolist() for one in columns), strict=True)):
        ends = [("old", Outcome.OK)] * good + [("new", Outcome.OK)] * ours
        ends += [("new" if hers else "old", Outcome.ERROR)] * failed
        shares, few = {"old": 1 - share, "new": share}, []
        for variant, outcome in ends:
            number += 1
            name = str(number)
            when = 2 * RIPE * (2 * at + (outcome is not Outcome.OK))
            few.append(Exposure(f"{name}/0", variant, False, "e", 1, when, name, shares, outcome))
        if few:
            yield at, few
