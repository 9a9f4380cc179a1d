"""Synthetic incidents for the arena: a service with days and nights, and a challenger of which the truth is known.

Requests follow a daily cycle (x 0.3 to x 3.3), failures another one (x 0.5 to x 2) that peaks six hours earlier. Either
rival's answers are the true chance plus noise of its own for each row, and a shift of its own for each day: whole days
go well or badly for one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rivals.decide.certify import Traffic

Floats = NDArray[np.float64]
Truth = Literal["worse", "equal", "better"]

DAY = 86_400.0
FAILING = 0.005  # of the champion's requests, on average
LOAD, CYCLE = 1.2, 0.7  # of traffic, of failures: logarithm of the most and the least, against the middle
UNLABELLED = 0.02
OUTAGE = (1, 2)  # its days
REGIONS = ("a", "b", "c", "d", "e")  # the declared slices
NOISE, SHIFT = 0.15, 0.03  # of the champion's answers: by row, by day
DELAY = DAY / 4  # the longest that a label takes


@dataclass(frozen=True, slots=True)
class Incident:
    """What happens, whether the challenger is worse, and how to draw the traffic of one such period."""

    name: str
    truth: Truth
    draw: Callable[[np.random.Generator], Traffic]


@dataclass(frozen=True, slots=True)
class Challenger:
    """How a challenger differs: ``failing`` times as many failures, ``noise`` times the noise, from start to end.

    ``region``: in that one only. ``outage``: a factor on both rivals' failures on the second and third day.
    """

    failing: tuple[float, float] = (1.0, 1.0)
    noise: tuple[float, float] = (1.0, 1.0)
    region: str = ""
    outage: float = 1.0


CHALLENGERS: Sequence[tuple[str, Truth, Challenger]] = (
    ("identical", "equal", Challenger()),
    ("identical, shared outage", "equal", Challenger(outage=5.0)),
    ("better", "better", Challenger(failing=(0.5, 0.5), noise=(0.5, 0.5))),
    ("fails twice as often", "worse", Challenger(failing=(2.0, 2.0))),
    ("fails ten times as often", "worse", Challenger(failing=(10.0, 10.0))),
    ("answers a little worse", "worse", Challenger(noise=(1.5, 1.5))),
    ("answers much worse", "worse", Challenger(noise=(2.5, 2.5))),
    ("answers badly in one slice", "worse", Challenger(noise=(3.0, 3.0), region="a")),
    ("degrades slowly", "worse", Challenger(failing=(1.0, 10.0), noise=(1.0, 2.5))),
)


def synthetic(days: int = 14, per_day: int = 2_000) -> list[Incident]:
    """Every kind of incident, over so many days of so many requests."""
    return [Incident(name, truth, _drawn(challenger, days, per_day)) for name, truth, challenger in CHALLENGERS]


def _drawn(challenger: Challenger, days: int, per_day: int) -> Callable[[np.random.Generator], Traffic]:
    def draw(rng: np.random.Generator) -> Traffic:
        time = _moments(days, per_day, rng)
        part, day = time / (days * DAY), (time / DAY).astype(int)
        regions = rng.integers(len(REGIONS), size=len(time))
        touched = (regions == REGIONS.index(challenger.region)) if challenger.region else np.ones(len(time), bool)
        base = FAILING * np.exp(CYCLE * np.cos(2 * np.pi * time / DAY)) / _MEAN
        base = np.where(np.isin(day, OUTAGE), challenger.outage, 1.0) * base
        times = np.where(touched, np.interp(part, (0, 1), challenger.failing), 1.0)
        noisier = np.where(touched, np.interp(part, (0, 1), challenger.noise), 1.0)
        chance = rng.uniform(0.05, 0.95, len(time))
        label = (rng.random(len(time)) < chance).astype(float)

        def said(noise: Floats) -> Floats:
            shift = rng.normal(0, SHIFT, days)[day]
            return np.asarray(np.clip(chance + shift + noise * rng.normal(0, NOISE, len(time)), 0, 1))

        return Traffic(
            time=time,
            label=np.where(rng.random(len(time)) < UNLABELLED, np.nan, label),
            due=time + rng.uniform(0, DELAY, len(time)),
            champion=said(np.ones(len(time))),
            challenger=said(noisier),
            champion_failed=rng.random(len(time)) < base,
            challenger_failed=rng.random(len(time)) < base * times,
            slices=_SLICES[regions].tolist(),
        )

    return draw


def _moments(days: int, per_day: int, rng: np.random.Generator) -> Floats:
    """Sorted moments: traffic is highest at the end of a day's first quarter."""
    hours = np.linspace(0, days * 24, days * 24 * 4 + 1)
    load = np.exp(LOAD * np.sin(2 * math.pi * hours / 24))
    area = np.concatenate([[0.0], np.cumsum(load[1:] + load[:-1])])
    return np.asarray(np.interp(np.sort(rng.random(days * per_day)), area / area[-1], hours) * 3_600)


_HOURS = np.linspace(0, 1, 1_000, endpoint=False) * 2 * math.pi
# a failure rate is an average over requests, which come at other hours than failures do
_MEAN = float((np.exp(LOAD * np.sin(_HOURS) + CYCLE * np.cos(_HOURS))).mean() / np.exp(LOAD * np.sin(_HOURS)).mean())
_SLICES = np.empty(len(REGIONS), object)
_SLICES[:] = [(f"region={one}",) for one in REGIONS]
